"""`gopher-repetition`: the rules on repetition of Gopher (Rae et al. 2021, arXiv 2112.11446, table A1).

    repeated-lines, -paragraphs        share of lines, paragraphs that repeat an earlier one            0.30, 0.30
    repeated-line-, -paragraph-chars   share of the text's characters in those                          0.20, 0.20
    top-2-gram to top-4-gram           share of characters in the most frequent n-gram                  0.20, 0.18, 0.16
    repeated-5-grams to -10-grams      share of characters in n-grams that stood there before           0.15 ... 0.10

How shares are counted where the paper leaves it open: the first of equal lines, paragraphs or n-grams is no repetition,
so that a text which is said twice scores one half; n-grams are of words between white space, and their characters are
those of the words; an n-gram that stands there once is not a top one. Overlapping n-grams count a character once, as
the paper asks.
"""

from __future__ import annotations

from types import FunctionType
from typing import ClassVar, Literal, cast

import numpy as np

from burnish.config import setting, settings
from burnish.data.curate.documents import Documents
from burnish.data.curate.lines import lines_of, paragraphs_of, repeated
from burnish.data.curate.ngrams import Repetition, repetition
from burnish.data.curate.step import Decisions, RowStep, Rule, by_rules
from burnish.data.curate.words import Words
from burnish.store import Code

TOP = (2, 3, 4)
REPEATED = (5, 6, 7, 8, 9, 10)


@settings
class GopherRepetition(RowStep):
    """Drop documents that repeat themselves."""

    source: ClassVar[str] = "Rae et al. 2021, arXiv 2112.11446, table A1"

    kind: Literal["gopher-repetition"] = "gopher-repetition"
    max_repeated_lines: float = setting(0.3, "share of lines that repeat an earlier one", ge=0, le=1)
    max_repeated_paragraphs: float = setting(0.3, "share of paragraphs that repeat an earlier one", ge=0, le=1)
    max_repeated_line_chars: float = setting(0.2, "share of characters in repeated lines", ge=0, le=1)
    max_repeated_paragraph_chars: float = setting(0.2, "share of characters in repeated paragraphs", ge=0, le=1)
    max_top: tuple[float, float, float] = setting(
        (0.20, 0.18, 0.16), "share of characters in the most frequent 2-gram, 3-gram, 4-gram"
    )
    max_repeated: tuple[float, float, float, float, float, float] = setting(
        (0.15, 0.14, 0.13, 0.12, 0.11, 0.10), "share of characters in repeated 5-grams to 10-grams"
    )

    @property
    def rules(self) -> tuple[Rule, ...]:
        """In the order of the table."""
        return (
            Rule(reason="repeated-lines", measure="repeated_lines", at_most=self.max_repeated_lines),
            Rule(reason="repeated-paragraphs", measure="repeated_paragraphs", at_most=self.max_repeated_paragraphs),
            Rule(reason="repeated-line-chars", measure="repeated_line_chars", at_most=self.max_repeated_line_chars),
            Rule(
                reason="repeated-paragraph-chars",
                measure="repeated_paragraph_chars",
                at_most=self.max_repeated_paragraph_chars,
            ),
            *(
                Rule(reason=f"top-{size}-gram", measure=f"top_{size}_gram", at_most=limit)
                for size, limit in zip(TOP, self.max_top, strict=True)
            ),
            *(
                Rule(reason=f"repeated-{size}-grams", measure=f"repeated_{size}_grams", at_most=limit)
                for size, limit in zip(REPEATED, self.max_repeated, strict=True)
            ),
        )

    def decide(self, documents: Documents) -> Decisions:
        """Measure, then obey the rules."""
        found = repetition(documents.words, top=TOP, repeated=REPEATED)
        lines = np.array([_shares(lines_of(text)) for text in documents.texts]).reshape(-1, 2)
        paragraphs = np.array([_shares(paragraphs_of(text)) for text in documents.texts]).reshape(-1, 2)
        measures = {
            "repeated_lines": lines[:, 0],
            "repeated_line_chars": lines[:, 1],
            "repeated_paragraphs": paragraphs[:, 0],
            "repeated_paragraph_chars": paragraphs[:, 1],
            **{f"top_{size}_gram": values for size, values in found.top.items()},
            **{f"repeated_{size}_grams": values for size, values in found.repeated.items()},
        }
        return by_rules(self, measures, len(documents))

    def code(self) -> tuple[Code, ...]:
        """What counts the n-grams, the lines and the words."""
        return (Repetition, cast(FunctionType, repeated), Words)


def _shares(parts: list[str]) -> tuple[float, float]:
    """The share of parts that repeat an earlier one, and the share of their characters; 0 of nothing."""
    if not parts:
        return 0.0, 0.0
    count, size = repeated(parts)
    return count / len(parts), size / sum(map(len, parts))
