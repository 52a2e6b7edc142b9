"""How much of each text is covered by word n-grams that it repeats, for many texts at once.

All n-grams of a batch are hashed by a rolling sum over the words' hashes, h_n(i) = h_{n-1}(i) * B + w(i + n - 1) mod
2^64, with a number of the text mixed in, so that one sort finds the repetitions within every text. An n-gram can be
repeated only where its first n - 1 words are: each n looks at what is left of the one before, and little is.

Characters are those of words, without the space between them, in numerator and denominator alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from burnish.data.curate.words import Words

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD1B54A32D192ED03)


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """What share of each text's characters n-grams cover, by n; (n,) each.

    Attributes:
        top: by the n-gram that stands there most often (of equally frequent ones the longest), if it stands there
            twice.
        repeated: by n-grams that stood there before; what several of them cover counts once.
    """

    top: Mapping[int, np.ndarray]
    repeated: Mapping[int, np.ndarray]


def repetition(words: Words, *, top: tuple[int, ...], repeated: tuple[int, ...]) -> Repetition:
    """Measure the repetition in each text.

    Args:
        words: of the texts.
        top, repeated: for which n.
    """
    count = len(words.split)
    totals = words.sums(words.lengths)
    ends = words.starts[1:][words.texts]
    before = np.concatenate([[0], np.cumsum(words.lengths)])
    places = np.arange(len(words.texts))
    with np.errstate(over="ignore"):
        hashes = words.hashes + (words.texts.astype(np.uint64) + np.uint64(1)) * _MIX
    tops, covers = {}, {}
    for size in range(2, max((*top, *repeated)) + 1):
        inside = places + size <= ends[places]
        places = places[inside]
        with np.errstate(over="ignore"):
            hashes = hashes[inside] * _BASE + words.hashes[places + size - 1]
        groups = _Groups(hashes)
        if size in top:
            chars = before[places + size] - before[places]
            tops[size] = _top(groups, words.texts[places], chars, count)
        if size in repeated:
            covers[size] = _covered(words, places[groups.later], size)
        places, hashes = places[groups.several], hashes[groups.several]
    safe = np.maximum(totals, 1.0)
    return Repetition(
        top={size: np.minimum(tops[size] / safe, 1.0) for size in top},
        repeated={size: covers[size] / safe for size in repeated},
    )


class _Groups:
    """Equal hashes among some, in the order in which they stand.

    Args:
        hashes: (m,).
    """

    def __init__(self, hashes: np.ndarray) -> None:
        order = np.argsort(hashes, kind="stable")
        sorted_hashes = hashes[order]
        new = np.ones(len(order), bool)
        new[1:] = sorted_hashes[1:] != sorted_hashes[:-1]
        group = np.cumsum(new) - 1
        sizes = np.bincount(group) if len(order) else np.zeros(0, np.int64)
        self.counts = np.empty(len(order), np.int64)
        self.counts[order] = sizes[group]
        self.later = np.empty(len(order), bool)
        self.later[order] = ~new

    @property
    def several(self) -> np.ndarray:
        """Which are equal to another, (m,) bool."""
        return np.asarray(self.counts > 1)


def _top(groups: _Groups, texts: np.ndarray, chars: np.ndarray, count: int) -> np.ndarray:
    """Characters of the most frequent n-gram of each text, all its occurrences; 0 where none stands twice."""
    several = groups.several
    texts, chars, counts = texts[several], chars[several], groups.counts[several]
    best = np.zeros(count, np.int64)
    np.maximum.at(best, texts, counts)
    longest = np.zeros(count, np.int64)
    most = counts == best[texts]
    np.maximum.at(longest, texts[most], chars[most])
    return (best * longest).astype(np.float64)


def _covered(words: Words, places: np.ndarray, size: int) -> np.ndarray:
    """Characters of each text's words that lie in n-grams which begin at some places."""
    change = np.zeros(len(words.texts) + 1, np.int64)
    change[places] += 1  # each place once, so that nothing is lost
    change[places + size] -= 1
    return words.sums(np.where(np.cumsum(change[:-1]) > 0, words.lengths, 0))
