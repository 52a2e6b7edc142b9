"""`fineweb-quality`: the three rules that FineWeb adds to the older ones (Penedo et al. 2024, arXiv 2406.17557, 3.6).

    unpunctuated-lines    dropped if at most 12% of lines end with punctuation
    repeated-line-chars   dropped if at least 10% of characters are in repeated lines
    short-lines           dropped if at least 67% of lines have fewer than 30 characters

The limit itself is beyond the limit, as the paper states the rules. A line without the white space around it is looked
at; punctuation is `lines.TERMINAL`; of equal lines the first is no repetition.
"""

from __future__ import annotations

from types import FunctionType
from typing import ClassVar, Literal, cast

import numpy as np

from burnish.config import setting, settings
from burnish.data.curate.documents import Documents
from burnish.data.curate.lines import TERMINAL, lines_of, repeated
from burnish.data.curate.step import Decisions, RowStep, Rule, by_rules
from burnish.store import Code


@settings
class FineWebQuality(RowStep):
    """Drop lists, menus and other text that is not made of sentences."""

    source: ClassVar[str] = "Penedo et al. 2024, arXiv 2406.17557, section 3.6"

    kind: Literal["fineweb-quality"] = "fineweb-quality"
    min_punctuated_lines: float = setting(0.12, "share of lines that end with punctuation; must be above", ge=0, le=1)
    max_repeated_line_chars: float = setting(0.1, "share of characters in repeated lines; must be below", ge=0, le=1)
    max_short_lines: float = setting(0.67, "share of short lines; must be below", ge=0, le=1)
    short_line: int = setting(30, "lines with fewer are short", unit="characters", ge=1)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """In the order of the paper."""
        return (
            Rule(
                reason="unpunctuated-lines", measure="punctuated_lines", at_least=self.min_punctuated_lines, open=True
            ),
            Rule(
                reason="repeated-line-chars",
                measure="repeated_line_chars",
                at_most=self.max_repeated_line_chars,
                open=True,
            ),
            Rule(reason="short-lines", measure="short_lines", at_most=self.max_short_lines, open=True),
        )

    def decide(self, documents: Documents) -> Decisions:
        """Measure, then obey the rules."""
        rows = np.array([self._measures(lines_of(text)) for text in documents.texts]).reshape(-1, 3)
        measures = dict(zip(self.measures, rows.T, strict=True))
        return by_rules(self, measures, len(documents))

    def code(self) -> tuple[Code, ...]:
        """What makes the lines."""
        return (cast(FunctionType, lines_of),)

    def _measures(self, lines: list[str]) -> tuple[float, float, float]:
        if not lines:
            return 0.0, 0.0, 0.0
        punctuated = sum(line.endswith(TERMINAL) for line in lines)
        short = sum(len(line) < self.short_line for line in lines)
        return punctuated / len(lines), repeated(lines)[1] / sum(map(len, lines)), short / len(lines)
