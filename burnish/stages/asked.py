"""The prompts of a run that samples as it learns: as token ids, and short enough to be answered.

    examples ──► to train on, to look at ──► the model's template ──► room for an answer ──► Asked

`prepare.py` is the same for data that is trained on as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from burnish.batch import Tree
from burnish.data.read import Reading
from burnish.errors import DataError
from burnish.example import Example
from burnish.stages.prepare import Prepared, load_text, read_divided
from burnish.text.rendering import TemplateSettings
from burnish.text.template import ChatText
from burnish.text.truncate import Truncation, TruncationReport, truncated
from burnish.training.rollouts import Prompt


@dataclass(frozen=True, kw_only=True)
class Asked(Prepared):
    """Prompts to train on, and prompts to look at.

    Attributes:
        prompts: to sample answers to.
        looked_at: held-out prompts; empty if there are none.
        text: of the model.
    """

    prompts: Sequence[Prompt]
    looked_at: Sequence[Prompt]
    text: ChatText


def prepare_prompts(
    model: str,
    data: str,
    *,
    reading: Reading,
    template: TemplateSettings,
    truncation: Truncation,
    answer_tokens: int,
    say: Callable[[str], None],
    held_out: int = 0,
    held_out_data: str | None = None,
    seed: int = 0,
) -> Asked:
    """Read prompts as token ids.

    Args:
        model: whose tokenizer and template are used.
        data: what holds the prompts.
        reading, template: how they are read.
        truncation: of a prompt with its answer; prompts that leave no room are left out, or lose their beginning.
        answer_tokens: that an answer may have.
        say: hears what was found.
        held_out: examples to take out of the data.
        held_out_data: other data to hold out.
        seed: of the split.

    Raises:
        DataError: no prompt is short enough, or a single one is held out.
        TemplateError: the template cannot render one.
    """
    text = load_text(model, template)
    split, report = read_divided(data, reading=reading, held_out=held_out, held_out_data=held_out_data, seed=seed)
    rule = _rule_of_prompts(truncation, answer_tokens)
    prompts, cut = _short_enough(split.train, text, rule)
    looked_at, held_cut = _short_enough(split.held_out, text, rule)
    for line in (*report.notes, *map(str, report.bad)):
        say(line)
    for name, found in (("prompts", cut), ("held-out prompts", held_cut)):
        if found.cut or found.dropped:
            say(f"{name} that leave no room for an answer: {found}")
    if not prompts:
        raise DataError(f"{data}: no prompt fits {rule.max_tokens} tokens; raise text.max_tokens")
    if len(looked_at) == 1:
        raise DataError("there is one held-out prompt, and a score of one has no interval; hold out 2 or more")
    facts = {**report.facts(), "prompts": len(prompts), "held_out": len(looked_at), "truncation": asdict(cut)}
    return Asked(
        tokenizer=text.tokenizer,
        template_hash=text.hash,
        trees=(),
        held_out=(),
        facts=facts,
        prompts=prompts,
        looked_at=looked_at,
        text=text,
    )


def require_room(asked: Asked, *, context: int, cache_tokens: int, in_front: int, answer_tokens: int) -> None:
    """Refuse prompts that the model could not answer, before the first one is asked.

    Args:
        asked: the prompts.
        context: positions that the model has.
        cache_tokens: that the sampler's cache holds.
        in_front: virtual tokens that an adapter puts in front of each prompt.
        answer_tokens: that an answer may have.

    Raises:
        DataError: names the example and what it needs.
    """
    limit = min(context, cache_tokens) - in_front
    for prompt in (*asked.prompts, *asked.looked_at):
        if len(prompt.tokens) + answer_tokens > limit:
            raise DataError(
                f"example '{prompt.example.id}' has {len(prompt.tokens)} tokens and an answer may have "
                f"{answer_tokens}; the model's context holds {context}, the sampler's cache (rollout.cache_tokens) "
                f"{cache_tokens}; set text.max_tokens to {limit}, so that longer prompts are left out or cut"
            )


def _rule_of_prompts(truncation: Truncation, answer_tokens: int) -> Truncation:
    """The rule for prompts alone.

    Raises:
        DataError: it leaves them no tokens.
    """
    room = truncation.max_tokens - answer_tokens
    if room < 2:
        raise DataError(
            f"text.max_tokens is {truncation.max_tokens} and an answer may have {answer_tokens} tokens, which leaves "
            "none for a prompt; raise text.max_tokens or lower rollout.decoding.max_tokens"
        )
    return replace(truncation, max_tokens=room)


def _short_enough(
    examples: Sequence[Example], text: ChatText, rule: Truncation
) -> tuple[list[Prompt], TruncationReport]:
    """Prompts that fit; longer ones are left out, or lose their beginning."""
    prompts: list[Prompt] = []
    report = TruncationReport()
    for example in examples:
        bare = replace(example, completions=())
        tree = Tree(id=example.id, prompt=text.prompt(bare), branches=())
        kept, found = truncated([tree], rule, begin_token=text.begin_token)
        prompts += [Prompt(example=bare, tokens=tuple(one.prompt)) for one in kept]
        report = report.merge(found)
    return prompts, report
