"""Copies of a text with changes, and how alike they truly are.

    words     words here and there are other ones
    ending    the end is another one
    added     a passage is added
    cut       the end is missing

How much is changed follows from the Jaccard that is aimed at; what the changed text truly has is counted afterwards,
from the two sets of word n-grams as `minhash-dedup` defines them (`burnish.data.curate.shingles`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from burnish.data.curate.shingles import jaccard, shingle_sets
from burnish.data.curate.words import Words

NGRAM = 5
"""Words of a shingle, on both sides."""

_SPACE = re.compile(r"(\s+)")


def near_copy(text: str, aim: float, rng: random.Random, sentences: Sequence[str]) -> str:
    """The text with changes, at a Jaccard of about `aim`.

    Args:
        text: to be changed; its layout stays.
        aim: from (0, 1).
        rng: decides what is changed and how.
        sentences: whose words stand instead.
    """
    change = CHANGES[rng.choice(sorted(CHANGES))]
    parts = _SPACE.split(text)
    return "".join(change(parts, aim, rng, sentences))


def sets_of(texts: Sequence[str]) -> list[np.ndarray]:
    """The set of shingles of each text, (k,) uint64."""
    return shingle_sets(Words([text.split() for text in texts]), NGRAM)


def alike(one: str, other: str) -> float:
    """The true Jaccard of two texts."""
    return jaccard(*sets_of([one, other]))


def _scattered(parts: list[str], aim: float, rng: random.Random, sentences: Sequence[str]) -> list[str]:
    """Each word that is changed takes `NGRAM` shingles with it and brings as many."""
    count = len(parts[::2])
    changed = max(1, round(count * (1 - aim) / (NGRAM * (1 + aim))))
    for number in range(changed):
        place = 2 * min(count - 1, int((number + rng.random()) * count / changed))
        parts[place] = _other_word(parts[place], rng, sentences)
    return parts


def _ending(parts: list[str], aim: float, rng: random.Random, sentences: Sequence[str]) -> list[str]:
    count = _words(parts, (1 - aim) / (1 + aim))
    return [*parts[: len(parts) - 2 * count], *_passage(count, rng, sentences)]


def _added(parts: list[str], aim: float, rng: random.Random, sentences: Sequence[str]) -> list[str]:
    passage = _passage(_words(parts, (1 - aim) / aim), rng, sentences)
    place = 2 * rng.randrange(len(parts[::2]))
    return [*parts[:place], *passage, " ", *parts[place:]]


def _cut(parts: list[str], aim: float, rng: random.Random, sentences: Sequence[str]) -> list[str]:
    return parts[: len(parts) - 2 * _words(parts, 1 - aim)]


Change = Callable[[list[str], float, random.Random, Sequence[str]], list[str]]
CHANGES: Mapping[str, Change] = {"words": _scattered, "ending": _ending, "added": _added, "cut": _cut}


def _words(parts: list[str], share: float) -> int:
    return max(1, round(len(parts[::2]) * share))


def _other_word(word: str, rng: random.Random, sentences: Sequence[str]) -> str:
    while (found := rng.choice(rng.choice(sentences).split())).casefold() == word.casefold():
        pass
    return found


def _passage(count: int, rng: random.Random, sentences: Sequence[str]) -> list[str]:
    """So many words of random sentences, with blanks between them."""
    words: list[str] = []
    while len(words) < count:
        words += rng.choice(sentences).split()
    return [part for word in words[:count] for part in (word, " ")][:-1]
