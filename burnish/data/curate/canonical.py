"""The canonical order of documents, their shards, and ids that are unique: the rule behind "same bytes, however cut".

    stem       the id as given, or `doc-` and a hash of the content; without an ending such as `~2`
    key        64-bit hash of the stem
    order      by key, stem, hash of the content
    shard k    of K has the keys from k * 2^64 / K up to (k + 1) * 2^64 / K
    K          bytes of all texts / bytes per shard, rounded up

None of this depends on which file a document came from, so neither does anything that follows. Keys are spread evenly:
the shards are of about one size, and each is a random sample of the corpus.

Ids are made unique within a stem, which is always in one shard: the first document in canonical order keeps the id that
it was given, every other that was given the same one is called `id~2`, `id~3`, ... in that order, names that another
document was given left out. Rows that are equal in everything cannot be told apart, so it does not matter which is
which.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

_NUMBER = re.compile(r"~[0-9]{1,9}\Z")
_KEYS = 2**64


def digest(*parts: str | None) -> bytes:
    """16 bytes that stand for the content of a row: everything that is recorded of it but its id and its place."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = b"-" if part is None else b"+" + part.encode()
        found.update(len(data).to_bytes(8, "little"))
        found.update(data)
    return found.digest()


def derived_id(content: bytes) -> str:
    """The id of a row that has none."""
    return f"doc-{content.hex()[:20]}"


def stem_of(given: str) -> str:
    """The id without the ending that makes it unique."""
    return _NUMBER.sub("", given)


def key_of(stem: str) -> int:
    """The place of a stem in the canonical order, from [0, 2^64)."""
    return xxhash.xxh3_64_intdigest(stem.encode())


def num_shards(total_bytes: int, shard_bytes: int) -> int:
    """How many shards a corpus has; at least one."""
    return max(1, math.ceil(total_bytes / shard_bytes))


def shard_rows(keys: np.ndarray, shard: int, shards: int) -> slice:
    """The rows of a piece that belong to a shard.

    Args:
        keys: of the piece, ascending, (n,) uint64.
        shard: which, from 0.
        shards: how many there are.
    """
    low, high = _first_key(shard, shards), _first_key(shard + 1, shards)
    start = int(np.searchsorted(keys, np.uint64(low)))
    stop = len(keys) if high >= _KEYS else int(np.searchsorted(keys, np.uint64(high)))
    return slice(start, stop)


def shard_of(stem: str, shards: int) -> int:
    """The shard in which documents of a stem are."""
    return key_of(stem) * shards // _KEYS


def _first_key(shard: int, shards: int) -> int:
    return -(-shard * _KEYS // shards)


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """The rows of a shard in canonical order.

    Attributes:
        rows: which row of the input stands where, (n,).
        ids: unique ids, in the new order.
        renamed: place in the new order -> the id that the document was given.
    """

    rows: np.ndarray
    ids: list[str]
    renamed: dict[int, str]


def ordered(keys: np.ndarray, stems: Sequence[str], given: Sequence[str], contents: Sequence[bytes]) -> Ordered:
    """Put the rows of a shard into canonical order and make their ids unique.

    Args:
        keys: (n,) uint64.
        stems, given, contents: stem, id and digest of each row.
    """
    rows = np.argsort(keys, kind="stable")
    for start, stop in _equal(keys[rows]):
        tied = rows[start:stop].tolist()
        rows[start:stop] = sorted(tied, key=lambda row: (stems[row], contents[row], given[row]))
    ids = [given[row] for row in rows.tolist()]
    renamed = {}
    for start, stop in _equal(keys[rows]):
        for place, name in _unique(ids[start:stop]):
            renamed[start + place] = ids[start + place]
            ids[start + place] = name
    return Ordered(rows=rows, ids=ids, renamed=renamed)


def _equal(keys: np.ndarray) -> Iterator[tuple[int, int]]:
    """Runs of two or more equal keys, as (start, stop)."""
    borders = np.flatnonzero(np.diff(keys)) + 1
    starts = np.concatenate([[0], borders])
    stops = np.concatenate([borders, [len(keys)]])
    long = np.flatnonzero(stops - starts > 1)
    yield from zip(starts[long].tolist(), stops[long].tolist(), strict=True)


def _unique(given: Sequence[str]) -> Iterator[tuple[int, str]]:
    """New names for the later ones of equal names, as (place, name)."""
    taken, seen, numbers = set(given), set[str](), dict[str, int]()
    for place, name in enumerate(given):
        if name not in seen:
            seen.add(name)
            continue
        stem = stem_of(name)
        number = numbers.get(stem, 1) + 1
        while f"{stem}~{number}" in taken:
            number += 1
        numbers[stem] = number
        taken.add(f"{stem}~{number}")
        yield place, f"{stem}~{number}"
