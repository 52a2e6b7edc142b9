"""Pairs of self-play fine-tuning (SPIN): a demonstration against the model's own answer to the same prompt.

    demonstration       prompt ──► "an opal."     rank 0, chosen
    the model's own     prompt ──► "Opal? No."    rank 1, rejected

The model learns to tell the two apart, and so to answer like the demonstration; trained so, it answers again, and plays
against its former self (Chen et al. 2024, algorithm 1). The loss is DPO's with the model that answered as the
reference. Where the model's answer equals the demonstration there is nothing to tell apart: log-ratios cancel, and the
pair would add a constant to the loss and no gradient. Such answers give no pair. When all do, the game is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from burnish.errors import DataError
from burnish.example import Completion, Example, message_dict
from burnish.synth.preferences import paired

Outcome = Literal["paired", "same", "no_demonstration", "unanswered"]
"""What became of a prompt: pairs, every answer equal to the demonstration, no demonstration of it, no answer at all."""


@dataclass(frozen=True, kw_only=True)
class SelfPlay:
    """Demonstrations by prompt.

    Attributes:
        demonstrations: the demonstrations of each prompt, by what the prompt says.
        pairs_per_prompt: most answers of the model to one prompt that become pairs.
    """

    demonstrations: dict[str, list[Example]]
    pairs_per_prompt: int = 1

    def pairs(self, answered: Example) -> tuple[list[Example], Outcome]:
        """The pairs of a prompt with the model's own answers, and what became of the prompt.

        The demonstration is the one of the same prompt; of several, the one of the same id, else the first. The
        model's answers are taken in their order; those that equal the demonstration, or one before, are passed over.
        The first pair keeps the prompt's id, the others add "/2", "/3", ...
        """
        if not answered.completions:
            return [], "unanswered"
        found = self.demonstrations.get(_said(answered))
        if not found:
            return [], "no_demonstration"
        demonstration = next((one for one in found if one.id == answered.id), found[0]).completions[0]
        seen = {_words(demonstration)}
        own: list[Completion] = []
        for completion in answered.completions:
            if len(own) < self.pairs_per_prompt and _words(completion) not in seen:
                seen.add(_words(completion))
                own.append(completion)
        pairs = [paired(answered, demonstration, rejected) for rejected in own]
        pairs = [replace(pair, id=f"{pair.id}/{n}") if n > 1 else pair for n, pair in enumerate(pairs, 1)]
        return pairs, "paired" if pairs else "same"


def demonstrations_by_prompt(examples: Iterable[Example]) -> dict[str, list[Example]]:
    """Demonstrations by what their prompts say, each with its first assistant turn alone.

    The model answers a prompt with one turn, so a chat of several turns is compared by its first.

    Raises:
        DataError: an example has not exactly one completion, or the completion does not begin with an assistant turn
            that is to be learned.
    """
    found: dict[str, list[Example]] = {}
    for example in examples:
        if len(example.completions) != 1:
            raise DataError(
                f"example '{example.id}' has {len(example.completions)} completions; expected demonstrations, with one "
                "each: `burnish best` keeps the best of several"
            )
        completion = example.completions[0]
        if not completion.messages or completion.messages[0].role != "assistant" or not completion.messages[0].weight:
            raise DataError(
                f"example '{example.id}' does not begin its answer with an assistant turn of a weight above 0; "
                "expected a demonstration to learn from"
            )
        if len(completion.messages) > 1:
            completion = Completion(messages=completion.messages[:1])
        found.setdefault(_said(example), []).append(replace(example, completions=(completion,)))
    return found


def _said(example: Example) -> str:
    """What a prompt says, tools included; ids and other columns left aside."""
    return repr(([message_dict(message) for message in example.prompt], [dict(tool) for tool in example.tools]))


def _words(completion: Completion) -> str:
    """What an answer says, without the white space around it, which sampling may leave before the end of a turn."""
    stripped = [replace(message, content=message.content.strip(), weight=1.0) for message in completion.messages]
    return repr([message_dict(message) for message in stripped])
