"""A small corpus for the tests of the data engine's benchmarks, of text that every installation of Python carries."""

from __future__ import annotations

import functools
import string
from pathlib import Path
from pydoc_data.topics import topics

import pytest

from benchmarks.curation.corpus import Size, made
from benchmarks.curation.sentences import sentences_of

SIZE = Size(documents=500, files=4)


def write_topics(folder: Path) -> Path:
    """Python's help topics as text files, without what is no ASCII."""
    folder.mkdir(exist_ok=True)
    for name, text in topics.items():
        (folder / f"{name}.txt").write_bytes(text.encode("ascii", "ignore"))
    return folder


def small_corpus(factory: pytest.TempPathFactory) -> Path:
    """The folder of a corpus of 500 documents."""
    folder = factory.mktemp("curation")
    made(folder / "corpus", SIZE, sentences_of(write_topics(folder / "topics")))
    return folder / "corpus"


@functools.lru_cache(maxsize=1000)
def shingles(text: str) -> frozenset[tuple[str, ...]]:
    """Five words in a row each, for text that is ASCII: the definition, in plain Python."""
    words = [word.casefold().strip(string.punctuation) or word for word in text.split()]
    return frozenset(tuple(words[place : place + 5]) for place in range(len(words) - 4))


def plain_jaccard(one: str, other: str) -> float:
    """Shared shingles over all shingles."""
    ours, theirs = shingles(one), shingles(other)
    shared = len(ours & theirs)
    return shared / (len(ours) + len(theirs) - shared)
