"""The words of a batch of texts, made once and shared by the rules that count them.

A word is what stands between white space, its punctuation included, as `str.split` finds it: fast, the same in every
version of Python for the same Unicode tables, and what the published thresholds are commonly applied to. A script
that sets no spaces between words (Chinese, Japanese, Thai) has long "words"; rules on words do not fit it. What looks
for the same passage in two texts, or learns from words, takes `units` instead: in such scripts every character is one.

Every different word of a batch is looked at once; what is known of it (length, hash, letters) is then spread over its
occurrences by number, so that the rules run over flat arrays:

    texts     "to be or"   "be"
    codes     [0 1 2       1]          which different word
    starts    [0           3   4]      text k has the words starts[k] .. starts[k + 1]
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import xxhash

# Thai and Lao, Tibetan, Burmese, Khmer, Japanese and Bopomofo with their marks, Han, half-width kana.
_SPACELESS = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3105-\u312f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_CHARACTER = re.compile(f"[{_SPACELESS}]")
_UNIT = re.compile(rf"\W*[{_SPACELESS}]\W*|[^{_SPACELESS}]+")


def split_words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


def split_units(word: str) -> list[str]:
    """The units in a word: every character of a script without spaces, with the marks and punctuation around it, and
    whatever stands between such characters as one: `GPT是什么？` is `GPT`, `是`, `什`, `么？`."""
    return [word] if word.isascii() else _UNIT.findall(word)


def is_spaceless(text: str) -> bool:
    """Whether more than half of the letters and digits are of scripts without spaces between words."""
    return not text.isascii() and 2 * len(_CHARACTER.findall(text)) > sum(map(str.isalnum, text))


class Words:
    """The words of some texts.

    Args:
        split: the words of each text.
        numbered: `different` and `codes`, where they are known already.
    """

    def __init__(self, split: Sequence[list[str]], numbered: tuple[list[str], np.ndarray] | None = None) -> None:
        self.split = split
        self._known = numbered

    @cached_property
    def counts(self) -> np.ndarray:
        """Words in each text, (n,) int64."""
        return np.fromiter(map(len, self.split), np.int64, len(self.split))

    @cached_property
    def starts(self) -> np.ndarray:
        """Where the words of each text begin in the flat arrays, and where the last ends, (n + 1,) int64."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    @cached_property
    def texts(self) -> np.ndarray:
        """Which text each word is of, (w,) int64."""
        return np.repeat(np.arange(len(self.split)), self.counts)

    @property
    def _numbered(self) -> tuple[list[str], np.ndarray]:
        if self._known is not None:
            return self._known
        table: defaultdict[str, int] = defaultdict(itertools.count().__next__)  # a new word gets the next number
        codes = np.fromiter(map(table.__getitem__, itertools.chain.from_iterable(self.split)), np.int64)
        self._known = list(table), codes
        return self._known

    def taken(self, rows: np.ndarray) -> Words:
        """The words of some texts, in that order; they are numbered where these are."""
        split = [self.split[row] for row in rows.tolist()]
        if self._known is None:
            return Words(split)
        different, codes = self._known
        parts = [codes[self.starts[row] : self.starts[row + 1]] for row in rows.tolist()]
        return Words(split, (different, np.concatenate(parts) if parts else codes[:0]))

    @cached_property
    def units(self) -> Words:
        """The same texts in units that mean about the same in any script (`split_units`)."""
        parts = {
            place: split_units(word)
            for place, word in enumerate(self.different)
            if not word.isascii() and _CHARACTER.search(word)
        }
        if not parts:
            return self
        split = list(self.split)
        for row in np.unique(self.texts[np.isin(self.codes, list(parts))]).tolist():
            codes = self.codes[self.starts[row] : self.starts[row + 1]].tolist()
            split[row] = [unit for code in codes for unit in parts.get(code) or (self.different[code],)]
        return Words(split)

    @property
    def different(self) -> list[str]:
        """Every different word; some may be of texts that were there before (`taken`)."""
        return self._numbered[0]

    @property
    def codes(self) -> np.ndarray:
        """The place of each word in `different`, (w,) int64."""
        return self._numbered[1]

    @cached_property
    def lengths(self) -> np.ndarray:
        """Characters of each word, (w,) int64."""
        return self.spread(np.fromiter(map(len, self.different), np.int64, len(self.different)))

    @cached_property
    def hashes(self) -> np.ndarray:
        """A hash of each word that is the same in every batch and every process, (w,) uint64."""
        digest = xxhash.xxh3_64_intdigest
        found = (digest(word.encode("utf-8", "surrogatepass")) for word in self.different)
        return self.spread(np.fromiter(found, np.uint64, len(self.different)))

    def spread(self, values: np.ndarray) -> np.ndarray:
        """What is known of each different word, for each word, (w,)."""
        return values[self.codes] if len(values) else values

    def sums(self, values: np.ndarray) -> np.ndarray:
        """The sum of a number per word, over each text, (n,) float64.

        Args:
            values: (w,).
        """
        return np.bincount(self.texts, weights=values, minlength=len(self.split))
