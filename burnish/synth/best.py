"""The best of a prompt's graded samples, as demonstrations: best-of-N, the choice of rejection sampling.

The highest score comes first; between equal scores chance decides, seeded by the prompt's id and the number of the
sample, so that neither the order of the samples nor their length does. An answer that the token limit cut is passed
over, because a demonstration without its end teaches not to stop.

    sample 0   score 0.2   finished          kept with keep=2
    sample 1   score 0.9   cut               passed over unless allow_cut
    sample 2   score 0.7   finished          kept
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from burnish.example import Completion, Example
from burnish.numerics import seed_from
from burnish.synth.preferences import scores_of

Outcome = Literal["kept", "below", "cut", "unanswered"]
"""What became of a prompt: demonstrations, no score high enough, every one high enough cut, no answer at all."""


@dataclass(frozen=True, kw_only=True)
class Best:
    """How the best are chosen.

    Attributes:
        keep: most demonstrations of one prompt, best first.
        at_least: lowest score of a demonstration; None takes the best whatever its score.
        allow_cut: whether an answer that the token limit cut may be one.
        seed: decides between equal scores.
    """

    keep: int = 1
    at_least: float | None = None
    allow_cut: bool = False
    seed: int = 0

    def of(self, example: Example) -> tuple[list[Example], Outcome]:
        """The demonstrations of a prompt, each an example with one completion, and what became of the prompt.

        Answers with the same messages count once. Completions keep everything: score, token ids and log-probs. The
        first keeps the prompt's id, the others add "/2", "/3", ...

        Raises:
            DataError: a completion has no score, or one that is not finite.
        """
        scores = scores_of(example)
        if not scores:
            return [], "unanswered"
        enough = [i for i, score in enumerate(scores) if self.at_least is None or score >= self.at_least]
        usable = [i for i in enough if self.allow_cut or not is_cut(example.completions[i])]
        if not usable:
            return [], "cut" if enough else "below"
        order = sorted(usable, key=lambda i: (-scores[i], self._chance(example, i)))
        chosen: list[Completion] = []
        for completion in (example.completions[i] for i in order):
            if len(chosen) < self.keep and all(completion.messages != other.messages for other in chosen):
                chosen.append(completion)
        return [_demonstration(example, completion, number) for number, completion in enumerate(chosen, 1)], "kept"

    def key(self, completion: Completion, score: float) -> tuple[float, ...]:
        """What an answer is chosen by: the larger is the better, equal ones are left to chance.

        A cut answer stands behind every finished one, unless cut ones are allowed.
        """
        return (score,) if self.allow_cut else (float(not is_cut(completion)), score)

    def _chance(self, example: Example, place: int) -> int:
        return seed_from("best", self.seed, example.id, place)


def is_cut(completion: Completion) -> bool:
    """Whether the token limit cut the answer."""
    return completion.finish == "length"


def _demonstration(example: Example, completion: Completion, number: int) -> Example:
    name = example.id if number == 1 else f"{example.id}/{number}"
    return replace(example, id=name, completions=(completion,))
