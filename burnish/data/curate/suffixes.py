"""The passages of a text that stand in it before, by its suffix array.

A suffix array lists the places of a text in the order of what follows them, so places that begin alike stand together.
With the number of bytes that neighbours in it have in common (Kasai et al. 2001), all places at which the same window
of text begins are one run of the array, and whatever the length of the window, two passes over the array find them:

    text      n o w   a n d   n o w   a n d   t h e n       windows of 4 bytes
    first     - - - - - - - - 0 1 2 3 - - - - - - - -       "now ", "ow a", "w an", " and" again; "and " is at 4 and 12
    repeated                  ───────────────               the windows at 8 to 12 make one passage

The rule. A window at place p is a *repeat* if the same window begins at a place q, and has ended when p begins: it is
compared with the first place of all, so a text does not repeat itself by overlapping itself. Of "abababababab" and
windows of 4, "abab" stays and the rest is repeated. A passage is the union of repeats that overlap or touch. Its bytes
all stand before it: each is a copy of a byte further in front, which is a copy again or is no repeat.

The texts of several documents stand one after the other with a byte between them that UTF-8 never has; a window with
that byte in it is none, so nothing is found across the border of two documents.

Windows of `bytes` may begin anywhere, in the middle of a character too, so that a passage reaches as far as the bytes
agree (whoever cuts it out has to keep to whole characters); windows of `characters` begin and end with characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from burnish.errors import MissingExtra

Unit = Literal["bytes", "characters"]

BORDER = 0xFF
"""The byte between documents; never a part of UTF-8."""

BYTES_PER_BYTE = 14
"""Memory for each byte of the text: itself, its suffix, a mark, and two 32-bit numbers at a time (rank of the suffix,
what neighbours have in common, window, first place of that). A test holds `repeats` to it."""

CHUNK = 1 << 20
"""Places that are looked at together; the memory for that is a few hundred bytes each at most."""


def repeats(text: np.ndarray, length: int, unit: Unit = "bytes") -> np.ndarray:
    """The passages that stand in a text before, and where.

    Args:
        text: documents in UTF-8, a `BORDER` after each, (n,) uint8, shorter than 2 GiB.
        length: the least length of a passage, in `unit`.
        unit: bytes or characters.

    Returns:
        A row for each passage in the order of the text, none of which overlap or touch, (k, 3) int64: where it begins,
        where it ends, and the first place of the window that it begins with.

    Raises:
        MissingExtra: pydivsufsort is not installed.
    """
    library = suffix_arrays_from()
    suffixes = library.divsufsort(text)
    common = library.kasai(text, suffixes)
    windows = window_bytes(text, length, unit)
    linked = _linked(suffixes, common, windows, length)
    del common
    return _passages(_first_places(suffixes, linked, windows), windows)


def suffix_arrays_from() -> Any:
    """The package that makes suffix arrays.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import pydivsufsort
    except ModuleNotFoundError as error:
        raise MissingExtra("pydivsufsort", "data") from error
    return pydivsufsort


def window_bytes(text: np.ndarray, length: int, unit: Unit) -> np.ndarray:
    """The bytes of the window that begins at each place, 0 where none does, (n,) int32.

    Args:
        text, length, unit: as in `repeats`.
    """
    found = np.zeros(len(text), np.int32)
    start = 0
    for stop in np.flatnonzero(text == BORDER).tolist():
        if unit == "characters":
            _character_windows(found, text, start, stop, length)
        elif stop - start >= length:
            found[start : stop - length + 1] = length
        start = stop + 1
    return found


def joined(passages: np.ndarray) -> np.ndarray:
    """Passages as the fewest that cover the same bytes, in order; each keeps the place of what it begins with.

    Args:
        passages: (k, 3) int64, as `repeats` returns them, in any order; they may overlap.
    """
    if not len(passages):
        return passages
    passages = passages[np.lexsort((passages[:, 2], passages[:, 0]))]
    reach = np.maximum.accumulate(passages[:, 1])
    begins = np.flatnonzero(np.append(True, passages[1:, 0] > reach[:-1]))
    ends = np.append(begins[1:], len(passages)) - 1
    return np.stack([passages[begins, 0], reach[ends], passages[begins, 2]], axis=1)


def _character_windows(found: np.ndarray, text: np.ndarray, start: int, stop: int, length: int) -> None:
    """Fill in the windows of one document, a chunk of it at a time."""
    for at in range(start, stop, CHUNK):
        end = min(at + CHUNK + 4 * length, stop)  # no character has more than 4 bytes
        begins = at + np.flatnonzero((text[at:end] & 0xC0) != 0x80)
        borders = np.append(begins, stop) if end == stop else begins
        found[borders[:-length]] = borders[length:] - borders[:-length]


def _linked(suffixes: np.ndarray, common: np.ndarray, windows: np.ndarray, length: int) -> np.ndarray:
    """Whether the same window begins at a suffix and at the next one of the array, (n,) bool; the last is not."""
    found = np.zeros(len(suffixes), bool)
    for start in range(0, len(suffixes) - 1, CHUNK):
        stop = min(start + CHUNK, len(suffixes) - 1)
        rows = start + np.flatnonzero(common[start:stop] >= length)
        wanted = windows[suffixes[rows]]
        found[rows] = (wanted > 0) & (common[rows] >= wanted)
    return found


def _first_places(suffixes: np.ndarray, linked: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """For each place with a repeat, where its window stands first; -1 for others, (n,) int32."""
    found = np.full(len(suffixes), -1, np.int32)
    for start, stop, alone in _runs(linked):
        if alone:
            first = suffixes[start:stop].min()
            for at in range(start, stop, CHUNK):
                places = suffixes[at : min(at + CHUNK, stop)]
                found[places[places >= first + windows[first]]] = first
            continue
        here = linked[start:stop]
        several = here.copy()
        several[1:] |= here[:-1]
        places = suffixes[start:stop][several]
        if len(places):
            begins = np.flatnonzero(np.append(True, ~here[several][:-1]))
            firsts = np.minimum.reduceat(places, begins)
            sizes = np.diff(np.append(begins, len(places)))
            again = places >= np.repeat(firsts + windows[firsts], sizes)
            found[places[again]] = np.repeat(firsts, sizes)[again]
    return found


def _runs(linked: np.ndarray) -> Iterator[tuple[int, int, bool]]:
    """Cut the array where no run is cut: start, stop, and whether it is a single run that is longer than a chunk."""
    start = 0
    while start < len(linked):
        part = linked[start : start + CHUNK]
        behind = int(np.argmin(part[::-1]))  # places behind the last end of a run
        stop = start + len(part) - behind
        alone = bool(part[len(part) - 1 - behind])
        if alone:
            stop = start + len(part) + int(np.argmin(linked[start + len(part) :])) + 1
        yield start, stop, alone
        start = stop


def _passages(first: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Repeats that overlap or touch, as passages, (k, 3) int64."""
    found = [np.zeros((0, 3), np.int64)]
    for start in range(0, len(first), CHUNK):
        places = start + np.flatnonzero(first[start : start + CHUNK] >= 0)
        found.append(joined(np.stack([places, places + windows[places], first[places]], axis=1)))
    return joined(np.concatenate(found))
