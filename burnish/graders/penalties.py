"""Penalties: what too long and repetitive answers cost. Scores run from -1 to 0, to be summed with a reward.

    length       with n tokens, a limit L and a free length F < L (soft overlong punishment, Yu et al. 2025, DAPO,
                 equation 13, with F = L_max - L_cache and L = L_max):

                     0                 n <= F
                     (F - n) / (L - F) F < n <= L
                     -1                n > L

    repetition   with r the share of n-grams that stood there before, r = 1 - distinct / all ("rep-n", Su et al. 2022,
                 A contrastive framework for neural text generation, section 4.1), and a share t that is tolerated:

                     -max(0, r - t) / (1 - t)

An answer with fewer words than one n-gram repeats nothing. Neither penalty looks at the prompt or at the truth.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

from burnish.config import setting, settings
from burnish.errors import GraderError
from burnish.example import Completion, Example
from burnish.graders.words import pieces, words
from burnish.protocols import Grade

Unit = Literal["tokens", "words"]


@settings
class LengthPenalty:
    """Costs nothing up to a length, and from there more with every token, up to 1."""

    free: int = setting(192, "length that costs nothing", unit="tokens or words", ge=0)
    limit: int = setting(256, "length from which the penalty is full; the sampler's max_tokens", ge=1)
    unit: Unit = setting("tokens", "what is counted: tokens as sampled, end-of-turn token included, or words")

    def __post_init__(self) -> None:
        if self.free >= self.limit:
            raise ValueError(f"free is {self.free} and limit is {self.limit}; the free length must be below the limit")

    def grade(self, example: Example, completion: Completion) -> Grade:
        """A score from -1 to 0; `parts` holds the length.

        Raises:
            GraderError: tokens are counted, and the completion has none.
        """
        length = self._length(example, completion)
        score = -min(1.0, max(0, length - self.free) / (self.limit - self.free))
        reasons = (f"{length} {self.unit}; {self.free} are free, {self.limit} the limit",) if score else ()
        return Grade(score=score, reasons=reasons, parts={self.unit: float(length)})

    def _length(self, example: Example, completion: Completion) -> int:
        if self.unit == "words":
            return len(words(completion.text))
        if completion.token_ids is None:
            raise GraderError(
                f"an answer to example '{example.id}' has no token ids, and the length penalty counts tokens; "
                "sample the answers with Burnish, or count words: unit: words"
            )
        return len(completion.token_ids)


@settings
class RepetitionPenalty:
    """Costs the share of n-grams of words that are repeated."""

    size: int = setting(3, "words of an n-gram, capitals and marks left aside", unit="words", ge=1)
    tolerated: float = setting(0.1, "share of repeated n-grams that costs nothing", ge=0, lt=1)

    def grade(self, example: Example, completion: Completion) -> Grade:
        """A score from -1 to 0; `parts` holds the share of repeated n-grams."""
        share = repeated_share(pieces(completion.text), self.size)
        score = -max(0.0, share - self.tolerated) / (1 - self.tolerated)
        reasons = (f"{share:.0%} of the {self.size}-grams are repeated",) if score else ()
        return Grade(score=score, reasons=reasons, parts={"repeated": share})


def repeated_share(items: Sequence[Hashable], size: int) -> float:
    """The share of n-grams that stood there before, 0 to 1: 1 - distinct / all.

    Args:
        items: words or tokens.
        size: of an n-gram, at least 1; fewer items than that make no n-gram, and repeat nothing.
    """
    grams = [tuple(items[start : start + size]) for start in range(len(items) - size + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
