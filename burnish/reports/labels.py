"""Where labels stand beside marks, so that they cover each other and the marks as little as they can.

Each label tries eight places around its mark, in the order of the runs, and takes the one that covers least. Widths are
estimated for a page on a screen; on a phone, where marks come closer, the page shows a shorter label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PAGE, LETTER, LINE = 900.0, 6.3, 14.0
"""Width of a drawing on a screen, of a letter, and height of a line, pixels."""

MARK = 6.0
"""Half the size of a mark, pixels."""

Box = tuple[float, float, float, float]
"""left, top, right, bottom"""


@dataclass(frozen=True, kw_only=True)
class Label:
    """Where a label stands: its distance from the mark in pixels, and which of its ends that is."""

    dx: float
    dy: float
    anchor: str


PLACES = tuple(
    Label(dx=dx, dy=dy, anchor=anchor)
    for dx, dy, anchor in (
        (9, 4, "start"),
        (-9, 4, "end"),
        (0, -9, "middle"),
        (0, 18, "middle"),
        (7, -7, "start"),
        (7, 15, "start"),
        (-7, -7, "end"),
        (-7, 15, "end"),
    )
)


def placed_labels(places: Sequence[tuple[float, float]], texts: Sequence[str]) -> tuple[Label, ...]:
    """A label for each mark.

    Args:
        places: of the marks, percent of the width and pixels from the top.
        texts: what the labels say.
    """
    spots = [(x / 100 * PAGE, y) for x, y in places]
    taken: list[Box] = [(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in spots]
    labels = []
    for (x, y), text in zip(spots, texts, strict=True):
        best = min(PLACES, key=lambda place: _cost(_box(x, y, place, text), taken))
        taken.append(_box(x, y, best, text))
        labels.append(best)
    return tuple(labels)


def _box(x: float, y: float, place: Label, text: str) -> Box:
    width = LETTER * len(text)
    left = x + place.dx - {"start": 0.0, "middle": width / 2, "end": width}[place.anchor]
    bottom = y + place.dy + 3
    return left, bottom - LINE, left + width, bottom


def _cost(box: Box, taken: Sequence[Box]) -> float:
    """Area that is covered twice or lies outside of the drawing."""
    outside = max(0.0, -box[0]) + max(0.0, box[2] - PAGE)
    return outside * LINE + sum(_overlap(box, other) for other in taken)


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
