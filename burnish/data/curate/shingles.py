"""N-grams of texts as sets of hashes, their MinHash signatures, and the true Jaccard of two sets.

A shingle is n units in a row. A unit is a word; in scripts that set no spaces between words (Chinese, Japanese, Thai
and others) it is a character, and a text of both kinds has both kinds of units, in their order
(`burnish.data.curate.words.split_units`). Case and Unicode form are folded (NFKC, `str.casefold`) and punctuation is
taken off both ends; a unit that is all punctuation stays as it is. A text of fewer units is one shingle; a text without
any has none, and resembles nothing.

A shingle is a 64-bit hash. Among the 10^4 shingles of two long texts, the chance that any two share a hash is about
10^-11, so the Jaccard of the sets of hashes is that of the shingles.

Signatures are rensa's R-MinHash over the whole set (fast similarity sketching, Dahlgaard, Knudsen and Thorup 2017,
arXiv:1704.04370): they follow from the set, the number of slots and the seed alone, and two sets agree in a slot with
the probability of their Jaccard. The sketch that rensa calls rho samples by position and is not used. A band is a hash
of some slots in a row.
"""

from __future__ import annotations

import string
import unicodedata
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from burnish.data.curate.words import Words
from burnish.errors import MissingExtra

_PUNCTUATION = string.punctuation + "“”„‘’‚«»‹›…–—·¿¡。、！？：；，．（）「」『』【】،؛؟।"
_BASE = np.uint64(0x9E3779B97F4A7C15)


def shingle_sets(words: Words, size: int) -> list[np.ndarray]:
    """The set of shingles of each text: hashes, sorted, each once, (k,) uint64.

    Args:
        words: of the texts.
        size: units of a shingle.
    """
    words = words.units
    hashes = words.spread(_folded_hashes(words.different))
    rolled = hashes
    short: dict[int, np.ndarray] = {}
    for length in range(1, size + 1):
        if length > 1:
            rolled = rolled[:-1] * _BASE + hashes[length - 1 :]
        if length < size:
            few = np.flatnonzero(words.counts == length).tolist()
            short.update((row, rolled[words.starts[row] : words.starts[row] + 1]) for row in few)
    ends = words.starts[1:] - size + 1
    long = words.counts >= size
    found = (
        rolled[words.starts[row] : ends[row]] if long[row] else short.get(row, rolled[:0])
        for row in range(len(words.split))
    )
    return [_different(_mixed(one)) for one in found]


def signature_bands(sets: list[np.ndarray], *, bands: int, rows: int, seed: int) -> np.ndarray:
    """The bands of each set's signature, (n, bands) uint64.

    Args:
        sets: of shingles.
        bands, rows: the signature has bands * rows slots.
        seed: of the signature.

    Raises:
        MissingExtra: rensa is not installed.
    """
    rensa = signatures_from()
    if not sets:
        return np.zeros((0, bands), np.uint64)
    ends = np.cumsum([0, *map(len, sets)]).astype(np.uint64)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(sets), ends, bands * rows, seed)
    slots = np.array(matrix.to_rows(), dtype=np.uint64).reshape(len(sets), bands, rows)
    found = np.zeros((len(sets), bands), np.uint64)
    for row in range(rows):
        found = _mixed(found * _BASE + slots[:, :, row])
    return found


def signatures_from() -> Any:
    """The package that makes signatures.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import rensa
    except ModuleNotFoundError as error:
        raise MissingExtra("rensa", "data") from error
    return rensa


def set_hash(shingles: np.ndarray) -> int:
    """A 64-bit hash of a whole set."""
    return xxhash.xxh3_64_intdigest(shingles.astype("<u8").tobytes())


def jaccard(one: np.ndarray, other: np.ndarray) -> float:
    """Shared shingles over all shingles of two sets, from [0, 1]; 0 for two empty sets.

    Args:
        one, other: sorted, each hash once, (k,) uint64.
    """
    small, large = (one, other) if len(one) <= len(other) else (other, one)
    if not len(small):
        return 0.0
    places = np.minimum(np.searchsorted(large, small), len(large) - 1)
    shared = int(np.count_nonzero(large[places] == small))
    return shared / (len(small) + len(large) - shared)


class StoredSets:
    """The sets of a whole corpus, read from the disk where they are looked at.

    Args:
        columns: for each shard a column of lists; they stay where they are, in mapped files as a rule.
    """

    def __init__(self, columns: list[pa.ChunkedArray]) -> None:
        chunks = [(chunk.offsets.to_numpy(), chunk.values.to_numpy()) for column in columns for chunk in column.chunks]
        self._chunks: list[tuple[np.ndarray, np.ndarray]] = chunks
        self._starts = np.cumsum([0, *(len(offsets) - 1 for offsets, _ in chunks)])

    def __getitem__(self, place: int) -> np.ndarray:
        """The set of the document at a place of the corpus, (k,) uint64."""
        number = int(np.searchsorted(self._starts, place, side="right")) - 1
        offsets, values = self._chunks[number]
        row = place - int(self._starts[number])
        return np.asarray(values[offsets[row] : offsets[row + 1]])


def _folded_hashes(different: list[str]) -> np.ndarray:
    digest = xxhash.xxh3_64_intdigest
    found = (digest(_folded(word).encode("utf-8", "surrogatepass")) for word in different)
    return np.fromiter(found, np.uint64, len(different))


def _folded(word: str) -> str:
    bare = (word if word.isascii() else unicodedata.normalize("NFKC", word)).casefold()
    return bare.strip(_PUNCTUATION) or bare


def _different(values: np.ndarray) -> np.ndarray:
    """The values, sorted, each once; for the few hundred of a text `np.unique` takes longer to begin than to do it."""
    values = np.sort(values)
    return values[np.append(True, values[1:] != values[:-1])] if len(values) else values


def _mixed(values: np.ndarray) -> np.ndarray:
    """Every bit of a value spread over all of its bits, one to one (the end of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))
