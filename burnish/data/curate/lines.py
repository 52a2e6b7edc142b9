"""The lines of a text, and how much of a text is said twice.

A line is what stands between line breaks, stripped; blank ones do not count. A paragraph is what stands between blank
lines. Of equal ones the first is no repetition, every later one is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_BLANK = re.compile(r"\n\s*\n")

TERMINAL = (".", "!", "?", '"', "”", "…", "。", "！", "？", "؟", "।")
"""How a sentence ends."""


def lines_of(text: str) -> list[str]:
    """The lines that are not blank, stripped."""
    return [line for raw in text.split("\n") if (line := raw.strip())]


def paragraphs_of(text: str) -> list[str]:
    """The paragraphs that are not blank, stripped."""
    return [part for raw in _BLANK.split(text) if (part := raw.strip())]


def repeated(parts: Sequence[str]) -> tuple[int, int]:
    """How many of the parts repeat an earlier one, and the characters of those."""
    if len(set(parts)) == len(parts):
        return 0, 0
    seen: set[str] = set()
    count = size = 0
    for part in parts:
        if part in seen:
            count += 1
            size += len(part)
        else:
            seen.add(part)
    return count, size
