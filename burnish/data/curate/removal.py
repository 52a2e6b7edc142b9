"""Passages taken out of a text: whole characters only, and no character that people see is torn apart.

A passage is given in bytes of UTF-8. It is drawn in at both ends until it holds whole characters, and further until no
end of it stands within what people see as one: a letter and its accents, an emoji with its skin colour or joined to
others, a run of flags, a Korean syllable in parts, consonants that a virama joins, a line break of two marks. (A short
form of the extended grapheme clusters of Unicode Standard Annex 29: a run of flags is never divided, and marks that
stand in front of their letter are not known.)

Where a passage with white space in it stood between two words, a space stands for it; otherwise nothing does.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

JOINER = "\u200d"
VIRAMA = 9
"""The combining class of the marks that join two consonants in the scripts of India."""


def without(text: str, passages: Sequence[tuple[int, int]]) -> tuple[str, int]:
    """A text without some passages, and the bytes that were taken out of it.

    Args:
        text: the text.
        passages: where each begins and ends, in bytes of UTF-8; in order, none overlap.
    """
    end, taken = 0, 0
    pieces: list[str] = []
    for whole in in_characters(text, passages):
        start, stop = _drawn_in(text, *whole)
        if start < stop:
            pieces.append(text[end:start])
            if _divides_words(text, start, stop):
                pieces.append(" ")
            taken += len(text[start:stop].encode())
            end = stop
    return "".join([*pieces, text[end:]]), taken


def in_characters(text: str, passages: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Where each passage begins and ends in characters, drawn in to whole ones; an empty one where none is whole.

    Args:
        text, passages: as in `without`.
    """
    data = text.encode()
    byte, place = 0, 0
    for start, stop in passages:
        while start < stop and data[start] & 0xC0 == 0x80:
            start += 1
        while start < stop < len(data) and data[stop] & 0xC0 == 0x80:
            stop -= 1
        if start == stop:
            yield place, place
            continue
        begin = place + len(data[byte:start].decode())
        byte, place = stop, begin + len(data[start:stop].decode())
        yield begin, place


def torn(text: str, at: int) -> bool:
    """Whether a cut in front of a character would tear apart what people see as one.

    Args:
        text: the text.
        at: place of the character; none is torn at the ends of the text.
    """
    if not 0 < at < len(text):
        return False
    before, behind = text[at - 1], text[at]
    if behind.isascii():
        return behind == "\n" and before == "\r"
    if before == JOINER or unicodedata.combining(before) == VIRAMA:
        return True
    return _joins(behind) or (_is_flag(before) and _is_flag(behind))


def _drawn_in(text: str, start: int, stop: int) -> tuple[int, int]:
    while start < stop and torn(text, start):
        start += 1
    while start < stop and torn(text, stop):
        stop -= 1
    return start, stop


def _joins(mark: str) -> bool:
    """Whether a character belongs to the one in front of it."""
    return (
        unicodedata.category(mark).startswith("M")
        or mark == JOINER
        or "\u1160" <= mark <= "\u11ff"  # the second and third parts of a Korean syllable
        or "\U0001f3fb" <= mark <= "\U0001f3ff"  # skin colours
        or "\U000e0020" <= mark <= "\U000e007f"  # tags, in the flags of regions
    )


def _is_flag(mark: str) -> bool:
    return "\U0001f1e6" <= mark <= "\U0001f1ff"


def _divides_words(text: str, start: int, stop: int) -> bool:
    if start == 0 or stop == len(text) or text[start - 1].isspace() or text[stop].isspace():
        return False
    return any(map(str.isspace, text[start:stop]))
