"""Preference pairs from graded samples: a better and a worse answer to the same prompt.

Pairs are the highest score against the lowest. Among pairs with the same gap the answers of most similar length come
first, because a difference in length that goes with the score is easily learned in place of what the score is about.
An answer stands in at most one pair. Ties give no pair: equal scores say nothing, and neither do equal answers.

Labels of people err. `flipped` turns a share of pairs round, to see what a method makes of such labels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from burnish.errors import DataError
from burnish.example import Completion, Example
from burnish.graders.words import words
from burnish.numerics import seed_from

NoPair = Literal["single", "tied", "cut"]

FLIPPED = "flipped"
"""Column of a pair that was turned round: the worse answer stands there as the chosen one."""

_SEEDS = 2**63
"""How many seeds there are."""


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """How pairs are chosen.

    Attributes:
        pairs_per_prompt: most pairs of one prompt.
        balance_length: prefer answers of similar length where the gap in score is the same; else chance decides.
        allow_cut: whether an answer that the token limit cut may be the better one.
        seed: decides what is left open.
    """

    pairs_per_prompt: int = 1
    balance_length: bool = True
    allow_cut: bool = False
    seed: int = 0

    def pairs(self, example: Example) -> list[Example]:
        """The pairs of a prompt, each an example with the chosen completion (rank 0) and the rejected one (rank 1).

        The completions keep everything else, token ids and log-probs included. The first pair keeps the prompt's id,
        the others add "/2", "/3", ...

        Raises:
            DataError: a completion has no score.
        """
        scores = scores_of(example)
        used: set[int] = set()
        found: list[Example] = []
        for better, worse in sorted(self._candidates(example, scores), key=lambda pair: self._order(example, *pair)):
            if not used & {better, worse} and len(found) < self.pairs_per_prompt:
                used |= {better, worse}
                pair = paired(example, example.completions[better], example.completions[worse])
                found.append(replace(pair, id=f"{example.id}/{len(found) + 1}") if found else pair)
        return found

    def why_none(self, example: Example) -> NoPair:
        """Why a prompt gives no pair: one answer only, equal scores or answers, or the better answers are all cut."""
        if len(example.completions) < 2:
            return "single"
        scores, places = scores_of(example), range(len(example.completions))
        return "cut" if any(_differ(example, scores, *pair) for pair in itertools.permutations(places, 2)) else "tied"

    def rejected_for(self, example: Example, chosen: Completion) -> Completion:
        """The completion of the lowest score to stand against `chosen`, of similar length if that is asked for."""
        lowest = min(scores_of(example))
        worst = [i for i, c in enumerate(example.completions) if c.score == lowest]
        place = min(worst, key=lambda i: (self._gap(chosen, example.completions[i]), self._chance(example, i)))
        return example.completions[place]

    def _candidates(self, example: Example, scores: Sequence[float]) -> list[tuple[int, int]]:
        places = range(len(scores))
        whole = [i for i in places if self.allow_cut or example.completions[i].finish != "length"]
        return [(better, worse) for better in whole for worse in places if _differ(example, scores, better, worse)]

    def _order(self, example: Example, better: int, worse: int) -> tuple[float, float, int]:
        one, other = example.completions[better], example.completions[worse]
        gap = (one.score or 0.0) - (other.score or 0.0)
        return -gap, self._gap(one, other), self._chance(example, better, worse)

    def _gap(self, one: Completion, other: Completion) -> float:
        """How much the lengths differ, as the size of the logarithm of their ratio; 0 if that does not matter."""
        if not self.balance_length:
            return 0.0
        if one.token_ids and other.token_ids:
            return abs(math.log(len(one.token_ids) / len(other.token_ids)))
        return abs(math.log((len(words(one.text)) + 1) / (len(words(other.text)) + 1)))

    def _chance(self, example: Example, *places: int) -> int:
        return seed_from("pair", self.seed, example.id, *places)


def _differ(example: Example, scores: Sequence[float], better: int, worse: int) -> bool:
    """Whether one answer has the higher score and another text; a judge may score the same text twice differently."""
    one, other = example.completions[better], example.completions[worse]
    return scores[better] > scores[worse] and one.messages != other.messages


def scores_of(example: Example) -> list[float]:
    """The scores of the completions.

    Raises:
        DataError: one has none, or one that is not finite.
    """
    scores = [completion.score for completion in example.completions if completion.score is not None]
    if len(scores) < len(example.completions):
        raise DataError(
            f"example '{example.id}' has {len(example.completions) - len(scores)} completion(s) without a score; "
            "answers are compared by their grades: run `burnish grade` first"
        )
    if wrong := [score for score in scores if not math.isfinite(score)]:
        raise DataError(
            f"example '{example.id}' has a completion with the score {wrong[0]}; expected finite numbers: "
            "grade it again, or leave the row out"
        )
    return scores


def paired(example: Example, chosen: Completion, rejected: Completion) -> Example:
    """`example` with these two completions, ranked."""
    return replace(example, completions=(replace(chosen, rank=0), replace(rejected, rank=1)))


def flipped(pairs: Sequence[Example], share: float, *, seed: int) -> list[Example]:
    """`pairs` with some of them turned round, marked in the column "flipped"; scores stay with their answers.

    Each pair is decided by itself, from the seed and its id, so more data flips no other pairs.

    Args:
        pairs: chosen and rejected.
        share: probability that a pair is turned round.
        seed: another one turns others round.
    """
    return [_turned(pair) if seed_from("flip", seed, pair.id) < share * _SEEDS else pair for pair in pairs]


def _turned(pair: Example) -> Example:
    chosen, rejected = pair.completions
    turned = paired(pair, rejected, chosen)
    return replace(turned, columns={**pair.columns, FLIPPED: True})
