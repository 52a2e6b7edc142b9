"""Runs of normalised words, and which of them stand in a list: for evaluation sets and for lists of words.

Normalised: compatibility forms resolved (NFKC), case folded, cut at everything that is no letter or digit, so that
`The end--of it!` and `the END of, it` are the same four words. In scripts without spaces between words every character
is one (`burnish.data.curate.words.split_units`). A run of k words is one 64-bit number; all runs of a batch are made by
k passes over a flat array. Two different runs get the same number with a chance of about 1 in 10^19.

    words     the  end  of  it | be                    starts [0 4 5]
    k = 2     the end, end of, of it                   no run crosses a border between texts
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xxhash

from burnish.data.curate.words import Words, is_spaceless

_WORD = re.compile(r"[^\W_]+")
CHARACTERS_PER_WORD = 2
"""So many characters of a script without spaces say about as much as a word; in Chinese a word has 1.5 to 2."""

_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no bit of a word is lost; any large odd number does


def normalised(text: str) -> list[str]:
    """The normalised words of a text."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return _WORD.findall(plain.casefold())


@lru_cache(maxsize=100_000)
def _numbers(word: str) -> tuple[int, ...]:
    """The hashes of the normalised words in what stands between white space."""
    return tuple(xxhash.xxh3_64_intdigest(one.encode("utf-8", "surrogatepass")) for one in normalised(word))


@dataclass(frozen=True)
class NormalWords:
    """The normalised words of some texts.

    Attributes:
        hashes: of each word, text after text, (w,) uint64.
        starts: where each text begins, and the last ends, (n + 1,) int64.
    """

    hashes: np.ndarray
    starts: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Words of each text, (n,) int64."""
        return np.diff(self.starts)

    def runs(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """All runs of `size` words that lie in one text: their hashes and the texts that they are of, (r,) each."""
        count = len(self.hashes) - size + 1
        if count <= 0:
            return np.zeros(0, np.uint64), np.zeros(0, np.int64)
        texts = np.repeat(np.arange(len(self.counts)), self.counts)
        inside = texts[:count] == texts[size - 1 :]
        found = np.zeros(count, np.uint64)
        for place in range(size):
            found = found * _FACTOR + self.hashes[place : place + count]
        return found[inside], texts[:count][inside]


def normal_words(words: Words) -> NormalWords:
    """The normalised words in the words of some texts."""
    words = words.units
    parts = [_numbers(word) for word in words.different]
    sizes = np.fromiter(map(len, parts), np.int64, len(parts))
    flat = np.fromiter((number for part in parts for number in part), np.uint64, int(sizes.sum()))
    per_word = words.spread(sizes)
    ends = np.concatenate([[0], np.cumsum(per_word)]).astype(np.int64)
    begins = words.spread(np.cumsum(sizes) - sizes)
    places = np.repeat(begins - ends[:-1], per_word) + np.arange(ends[-1])
    return NormalWords(hashes=flat[places] if len(flat) else flat, starts=ends[words.starts])


@dataclass(frozen=True)
class Phrases:
    """Runs that are looked for; what belongs together has one number, its owner.

    Attributes:
        sizes: words of each run, (p,) int64.
        hashes: (p,) uint64, ascending among those of one size, no two the same.
        owners: (p,) int64; of several owners of one run the lowest.
    """

    sizes: np.ndarray
    hashes: np.ndarray
    owners: np.ndarray

    def found(self, words: NormalWords) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """For each size: the size, and for every place where a listed run stands its text and its owner."""
        for size in np.unique(self.sizes).tolist():
            listed = self.hashes[self.sizes == size]
            owners = self.owners[self.sizes == size]
            runs, texts = words.runs(size)
            places = np.searchsorted(listed, runs)
            hits = listed[np.minimum(places, len(listed) - 1)] == runs
            yield size, texts[hits], owners[places[hits]]


def phrases_of(runs: Iterable[tuple[int, int, np.ndarray]]) -> Phrases:
    """Phrases from (owner, size, hashes of some runs of that size)."""
    parts = list(runs)
    sizes = np.concatenate([np.full(len(found), size) for _, size, found in parts] or [np.zeros(0, int)])
    owners = np.concatenate([np.full(len(found), owner) for owner, _, found in parts] or [np.zeros(0, int)])
    hashes = np.concatenate([found for _, _, found in parts] or [np.zeros(0, np.uint64)])
    order = np.lexsort((owners, hashes, sizes))
    sizes, hashes, owners = sizes[order], hashes[order], owners[order]
    first = np.ones(len(order), bool)
    first[1:] = (sizes[1:] != sizes[:-1]) | (hashes[1:] != hashes[:-1])
    return Phrases(sizes[first], hashes[first], owners[first])


def whole_phrases(texts: Sequence[str]) -> Phrases:
    """Each text as one run of all its words, owned by its place; texts without words are left out."""
    words = normal_words(Words([text.split() for text in texts]))
    return phrases_of(
        (place, size, _part(words, place).runs(size)[0]) for place, size in enumerate(words.counts.tolist()) if size
    )


def cut_phrases(texts: Sequence[str], owners: Sequence[int], size: int, least: int) -> Phrases:
    """All runs of `size` words of each text; a shorter text with at least `least` words is one run.

    Of a text in a script without spaces, runs have `CHARACTERS_PER_WORD` times as many characters.
    """
    words = normal_words(Words([text.split() for text in texts]))
    factors = [CHARACTERS_PER_WORD if is_spaceless(text) else 1 for text in texts]
    return phrases_of(
        (owners[place], min(factor * size, count), _part(words, place).runs(min(factor * size, count))[0])
        for place, (count, factor) in enumerate(zip(words.counts.tolist(), factors, strict=True))
        if count >= factor * min(least, size)
    )


def _part(words: NormalWords, place: int) -> NormalWords:
    """The words of one text."""
    hashes = words.hashes[words.starts[place] : words.starts[place + 1]]
    return NormalWords(hashes=hashes, starts=np.array([0, len(hashes)]))
