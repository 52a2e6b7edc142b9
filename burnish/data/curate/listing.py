"""Lists that a user writes: files with one entry a line; `#` begins a comment, blank lines and case do not count.

# words of my own
spam
free money     # a phrase
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from burnish.data.files import opened
from burnish.errors import DataError


@dataclass(frozen=True)
class Entry:
    """An entry of a list: its text, and where it stands, as `file, line 3`."""

    text: str
    place: str


def entries(paths: Iterable[str]) -> Iterator[Entry]:
    """The entries of some files, plain or packed (`.gz`, `.zst`), in their order.

    Raises:
        DataError: a file is missing, is not UTF-8, or has no entries.
    """
    for path in paths:
        empty = True
        for number, line in enumerate(_text(Path(path).expanduser()).splitlines(), start=1):
            if text := _plain(line):
                empty = False
                yield Entry(text, f"{path}, line {number}")
        if empty:
            raise DataError(f"{path} is empty; expected a text file with one entry a line")


def _text(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"no such file: {path}; expected a text file with one entry a line")
    with opened(path) as file:
        data: bytes = file.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error


def _plain(line: str) -> str:
    """An entry without its comment: a `#` at the beginning or after white space."""
    words = line.split()
    until = next((place for place, word in enumerate(words) if word.startswith("#")), len(words))
    return " ".join(words[:until])
