"""`minhash-dedup`: of documents that are nearly the same, one survives.

How alike two documents are is the Jaccard of their sets of n-grams, of words or, in scripts without spaces, of
characters (`burnish.data.curate.shingles`). Comparing all with all is out of question, so candidates are found first
and each is then verified:

1. Every set gets a MinHash signature of `bands` bands of `rows` slots. Two documents of Jaccard J agree in a band with
   probability J^rows, and are candidates if they agree in any, with 1 - (1 - J^rows)^bands (Leskovec, Rajaraman and
   Ullman, Mining of Massive Datasets, 3.4.2):

       J of 20 bands of 6        0.9 1.000   0.8 0.998   0.7 0.918   0.6 0.615   0.5 0.270

2. Of documents with one and the same set, the first stands for all. Of those that share a band, each is a candidate
   with the `comparisons` before it in canonical order, so that a crowd (a notice that a million pages carry) costs
   time in proportion to its size. Within a crowd that is all alike, this chain connects all.
3. Each candidate's true Jaccard is taken from the two sets themselves, so chance agreement of signatures drops nothing.
4. Pairs of at least `jaccard` make groups (connected components). Of each group the longest text stays, of equally long
   ones the first in canonical order; with `survivor: first` the first whatever its length. The others name it.

The measure `jaccard` of a document is the highest limit at which it would go (`burnish.data.curate.links`): of a pair
the Jaccard of the two, in a larger group the weakest link of the strongest chain to a better document. So `what-if` is
exact for any limit, among the pairs that were candidates; for limits far below `jaccard` the table above says how many
were not. A document is not dropped for being part of a longer one: that is a small Jaccard.

Memory of the process that reduces: `BYTES_PER_DOCUMENT` for every document, and for candidates
`BYTES_PER_CANDIDATE` each. Sets and bands lie on the disk and are mapped, not loaded: 8 bytes for each shingle and
each band.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import FunctionType
from typing import ClassVar, Literal, cast

import numpy as np
import pyarrow as pa

from burnish.config import setting, settings
from burnish.data.curate.documents import Documents
from burnish.data.curate.links import linked
from burnish.data.curate.shingles import StoredSets, jaccard, set_hash, shingle_sets, signature_bands, signatures_from
from burnish.data.curate.step import Corpus, CorpusStep, Decisions, Rule, by_rules
from burnish.data.curate.survivors import survivor_names
from burnish.store import Code

BYTES_PER_DOCUMENT = 96
"""What the index holds of each document: rank, place, survivor, link, hash of the set, and one band while it is sorted
(its values, their order, both sorted). A test holds the step to it."""

BYTES_PER_CANDIDATE = 400
"""What a candidate pair costs at most, the groups of both documents included. A test holds the step to it."""


@settings
class MinHashDedup(CorpusStep):
    """Drop documents that are nearly the same as one that stays."""

    kind: Literal["minhash-dedup"] = "minhash-dedup"
    source: ClassVar[str] = "Broder 1997; Lee et al. 2022, 4.2"
    jaccard: float = setting(0.8, "documents that are at least that alike are the same", gt=0, le=1)
    ngram: int = setting(5, "words of a shingle, or characters in scripts without spaces", ge=1, le=50)
    bands: int = setting(20, "bands of the signature; more find more", ge=1, le=500)
    rows: int = setting(6, "slots of a band; more look at fewer candidates, and find fewer", ge=1, le=100)
    comparisons: int = setting(32, "candidates of one document in one band at most, on either side", ge=1)
    survivor: Literal["longest", "first"] = setting("longest", "which document of a group stays; ties go to the first")
    seed: int = setting(0, "of the signatures", ge=0, lt=2**63)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Nearly a copy of a document that stays."""
        return ("near-copy",)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The highest limit at which a document would go is at least the limit."""
        return (Rule(reason="near-copy", measure="jaccard", at_most=self.jaccard, open=True),)

    def check(self) -> None:
        """Refuse to begin without rensa.

        Raises:
            MissingExtra: it is not installed.
        """
        signatures_from()

    def code(self) -> tuple[Code, ...]:
        """What makes sets, signatures, candidates and groups."""
        makers = (shingle_sets, signature_bands, set_hash, _neighbours, jaccard, linked)
        return tuple(cast(FunctionType, one) for one in makers)

    def keys(self, documents: Documents) -> pa.RecordBatch:
        """The bytes of each text, its set of shingles, a hash of the set, and the bands of its signature."""
        sets = shingle_sets(documents.words, self.ngram)
        bands = signature_bands(sets, bands=self.bands, rows=self.rows, seed=self.seed)
        ends = np.cumsum([0, *map(len, sets)])
        flat = np.concatenate(sets) if sets else np.zeros(0, np.uint64)
        columns = {
            "bytes": pa.array(documents.num_bytes),
            "shingles": pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.array(flat)),
            "set": pa.array(list(map(set_hash, sets)), pa.uint64()),
            **{_band(number): pa.array(np.ascontiguousarray(bands[:, number])) for number in range(self.bands)},
        }
        return pa.record_batch(list(columns.values()), names=list(columns))

    def reduce(self, corpus: Corpus) -> Iterator[pa.RecordBatch]:
        """Each document's survivor and its link."""
        tables = [corpus.keys(shard) for shard in range(corpus.num_shards)]
        starts = np.cumsum([0, *(table.num_rows for table in tables)])
        pairs = self._candidates(tables)
        corpus.say(
            f"minhash-dedup: index of {starts[-1]:,} documents, {BYTES_PER_DOCUMENT} bytes each; "
            f"{len(pairs):,} candidate pairs, {BYTES_PER_CANDIDATE} bytes each"
        )
        sets = StoredSets([table.column("shingles") for table in tables])
        alike = (jaccard(sets[one], sets[other]) for one, other in pairs)
        survivors, links = linked(pairs, np.fromiter(alike, float, len(pairs)), self._ranks(tables), self.jaccard)
        for shard, names in enumerate(survivor_names(corpus, survivors, starts)):
            here = pa.array(links[starts[shard] : starts[shard + 1]])
            yield pa.record_batch([names, here], names=["survivor", "jaccard"])

    def decide(self, documents: Documents, marks: pa.RecordBatch) -> Decisions:
        """Drop all but the survivor; the note names it, the score says how alike."""
        found = by_rules(self, {"jaccard": marks.column("jaccard").to_numpy()}, len(documents))
        names = marks.column("survivor").to_pylist()
        return replace(found, notes={row: name for row, name in enumerate(names) if name is not None})

    def _ranks(self, tables: list[pa.Table]) -> np.ndarray:
        """The rank of each document among those that may stay, 0 for the best, (n,) int64."""
        size = _column(tables, "bytes")
        if self.survivor == "first":
            return np.arange(len(size))
        ranks = np.empty(len(size), np.int64)
        ranks[np.argsort(-size, kind="stable")] = np.arange(len(size))
        return ranks

    def _candidates(self, tables: list[pa.Table]) -> np.ndarray:
        """The pairs whose true Jaccard is worth taking, each once, the earlier document first, (m, 2) int64."""
        filled = np.flatnonzero(np.concatenate([_sizes(table) for table in tables]) > 0)
        same = _neighbours(_column(tables, "set")[filled], filled, 1)
        first = np.setdiff1d(filled, same[:, 1], assume_unique=True)
        count = sum(table.num_rows for table in tables)
        found = same[:, 0] * count + same[:, 1]
        for number in range(self.bands):
            more = _neighbours(_column(tables, _band(number))[first], first, self.comparisons)
            found = np.union1d(found, more[:, 0] * count + more[:, 1])
        return np.stack([found // max(count, 1), found % max(count, 1)], axis=1)


def _neighbours(values: np.ndarray, places: np.ndarray, reach: int) -> np.ndarray:
    """Pairs of places with the same value that are no more than `reach` apart among those of that value, (m, 2)."""
    order = np.argsort(values, kind="stable")
    values, places = values[order], places[order]
    found = [np.zeros((0, 2), np.int64)]
    for gap in range(1, min(reach, len(values) - 1) + 1):
        same = np.flatnonzero(values[gap:] == values[:-gap])
        if not len(same):
            break
        found.append(np.stack([places[same], places[same + gap]], axis=1))
    return np.concatenate(found)


def _sizes(table: pa.Table) -> np.ndarray:
    """Shingles of each document of a shard, (n,) int64."""
    return np.concatenate(
        [np.zeros(0, np.int64), *(np.diff(one.offsets.to_numpy()) for one in table.column("shingles").chunks)]
    )


def _column(tables: list[pa.Table], name: str) -> np.ndarray:
    return np.concatenate([table.column(name).to_numpy() for table in tables])


def _band(number: int) -> str:
    return f"band-{number}"
