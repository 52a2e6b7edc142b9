"""The sentences that a benchmark's documents are made of: those of real texts, each once, in the order of the files.

A line is cut after the marks that end a sentence. What is too short, too long or has too few letters is left out, and
so most of code, tables and formulas.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from burnish.errors import DataError

FOLDERS = ("text", "domains")
"""Of the folder with real data."""

WORDS = (6, 40)
CHARACTERS = (30, 400)
LETTERS = 0.7
"""Share of the characters that are letters or blanks, at least."""

FEWEST = 1000
"""Sentences without which documents would resemble each other."""

_END = re.compile(r"(?<=[.!?])\s+")


def real_texts() -> Path:
    """The folder with real data: what BURNISH_TEST_DATA names, or the one beside the checkout."""
    return Path(os.environ.get("BURNISH_TEST_DATA", "../shared/data"))


@functools.cache
def sentences_of(folder: Path) -> list[str]:
    """The sentences of the `.txt` and `.jsonl` files in a folder, or in its folders `text` and `domains`.

    Args:
        folder: with the files.

    Raises:
        DataError: there are too few.
    """
    inside = [folder / name for name in FOLDERS if (folder / name).is_dir()] or [folder]
    paths = [path for place in inside for path in sorted(place.glob("*")) if path.suffix in (".txt", ".jsonl")]
    found = list(dict.fromkeys(one for path in paths for text in _texts(path) for one in _sentences(text)))
    if len(found) < FEWEST:
        raise DataError(
            f"{folder} has {len(found)} sentences in {len(paths)} files of text; a corpus needs {FEWEST} "
            "(set BURNISH_TEST_DATA, or type --data FOLDER)"
        )
    return found


def _texts(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        if path.suffix == ".txt":
            yield file.read()
            return
        for line in file:
            yield str(json.loads(line)["text"])


def _sentences(text: str) -> Iterator[str]:
    for line in text.splitlines():
        for part in _END.split(line.strip()):
            one = " ".join(part.split())
            if _usable(one):
                yield one


def _usable(sentence: str) -> bool:
    few, many = WORDS
    short, long = CHARACTERS
    if not (short <= len(sentence) <= long and few <= sentence.count(" ") + 1 <= many):
        return False
    return sum(sign.isalpha() or sign == " " for sign in sentence) >= LETTERS * len(sentence)
