"""What a deduplication did to a corpus whose copies are known: what it found, and what it took without a reason.

    recall            planted near-copies of at least the limit that are gone, or whose original and its copies are
    copies            exact copies that are gone
    false removals    documents that are gone and resemble none of the corpus at the limit, as a share of all that went

A planted document has its partner by construction. Every other one that is gone is compared with the whole corpus, by
the true Jaccard of the sets, nothing being left out on a guess.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.curation.corpus import Planted, planted_in, texts_of
from benchmarks.curation.near_copies import sets_of

CHUNK = 1000
"""Documents of the corpus that are compared at a time."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Counts of documents; see the head of the file.

    Attributes:
        near: planted near-copies of at least the limit.
        near_found: those that were found.
        copies, copies_found: exact copies.
        removed: documents that are gone.
        false_removals: those without a partner.
    """

    near: int
    near_found: int
    copies: int
    copies_found: int
    removed: int
    false_removals: int

    @property
    def recall(self) -> float:
        """Of planted near-copies at the limit."""
        return self.near_found / self.near

    @property
    def false_share(self) -> float:
        """Of what was removed."""
        return self.false_removals / max(self.removed, 1)


def judged(folder: Path, kept: Collection[str], limit: float) -> Judgement:
    """What a deduplication did.

    Args:
        folder: of the corpus.
        kept: the ids that it kept.
        limit: the Jaccard from which on documents are the same.
    """
    planted, here = planted_in(folder), frozenset(kept)
    family: dict[str, list[str]] = {}
    for one in planted:
        if one.kind == "copy":
            family.setdefault(one.of, [one.of]).append(one.id)
    near = [one for one in planted if one.kind == "near" and one.jaccard >= limit]
    copies = sum(len(same) - 1 for same in family.values())
    extra = sum(max(0, sum(name in here for name in same) - 1) for same in family.values())
    removed = {name for name, _ in texts_of(folder)} - here
    alone = removed - _with_partner(planted, limit)
    return Judgement(
        near=len(near),
        near_found=sum(
            one.id not in here or not any(name in here for name in family.get(one.of, [one.of])) for one in near
        ),
        copies=copies,
        copies_found=copies - extra,
        removed=len(removed),
        false_removals=sum(share < limit for share in most_alike(folder, alone).values()),
    )


def _with_partner(planted: Sequence[Planted], limit: float) -> frozenset[str]:
    """The documents that resemble a planted one, or are one."""
    pairs = (one for one in planted if one.jaccard >= limit)
    return frozenset(name for one in pairs for name in (one.id, one.of))


def unplanted(folder: Path, count: int) -> float:
    """How alike documents are that were not planted: the highest Jaccard of some of them with any other document.

    Args:
        folder: of the corpus.
        count: of those that are compared, spread over the corpus; none was planted or copied.
    """
    known = {name for one in planted_in(folder) for name in (one.id, one.of)}
    others = [name for name, _ in texts_of(folder) if name not in known]
    return max(most_alike(folder, others[:: max(1, len(others) // count)][:count]).values())


def most_alike(folder: Path, names: Collection[str]) -> dict[str, float]:
    """The highest Jaccard that some documents have with any other document of the corpus.

    Args:
        folder: of the corpus.
        names: their ids.
    """
    asked = frozenset(names)
    if not asked:
        return {}
    mine = [(name, text) for name, text in texts_of(folder) if name in asked]
    table = _Table([name for name, _ in mine], sets_of([text for _, text in mine]))
    for chunk in _chunks(texts_of(folder)):
        table.see([name for name, _ in chunk], sets_of([text for _, text in chunk]))
    return dict(zip(table.names, table.best.tolist(), strict=True))


def _chunks(found: Iterator[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    while chunk := list(islice(found, CHUNK)):
        yield chunk


class _Table:
    """All shingles of some documents, sorted, with the document that each is of.

    Args:
        names: of the documents.
        sets: of their shingles.
    """

    def __init__(self, names: list[str], sets: list[np.ndarray]) -> None:
        self.names = names
        self.best = np.zeros(len(names))
        self._place = {name: place for place, name in enumerate(names)}
        self._sizes = np.array([len(one) for one in sets], np.int64)
        flat, owners = np.concatenate(sets), np.repeat(np.arange(len(sets)), self._sizes)
        order = np.argsort(flat, kind="stable")
        self._shingles, self._owners = flat[order], owners[order]

    def see(self, names: Sequence[str], sets: Sequence[np.ndarray]) -> None:
        """Compare with some documents of the corpus, a document never with itself."""
        sizes = np.array([len(one) for one in sets], np.int64)
        flat, documents = np.concatenate(sets), np.repeat(np.arange(len(sets)), sizes)
        first = np.searchsorted(self._shingles, flat, side="left")
        often = np.searchsorted(self._shingles, flat, side="right") - first
        ends = np.cumsum(often)
        places = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - often, often) + np.repeat(first, often)
        pairs = self._owners[places] * len(sets) + np.repeat(documents, often)
        different, shared = np.unique(pairs, return_counts=True)
        owners, others = different // len(sets), different % len(sets)
        shares = shared / (self._sizes[owners] + sizes[others] - shared)
        itself = np.array([self._place.get(name, -1) for name in names])[others] == owners
        np.maximum.at(self.best, owners[~itself], shares[~itself])
