"""`exact-dedup`: of documents with the same normalised text, one survives.

Texts are compared by a 128-bit hash (BLAKE2b) of the text with Unicode forms and case folded (NFKC, `str.casefold`) and
with every run of white space as one space, as far as the settings ask for; among 10^9 different texts the chance that
any two share a hash is about 10^-21. The survivor is the longest text as it stands, and of equally long ones the first
in canonical order; with `survivor: first` the first in canonical order whatever its length.

Memory: `BYTES_PER_DOCUMENT` for every document in the process that reduces, a few times that while it sorts, and the id
of every survivor that has copies.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pyarrow as pa

from burnish.config import setting, settings
from burnish.data.curate.documents import Documents
from burnish.data.curate.step import Corpus, CorpusStep, Decisions
from burnish.data.curate.survivors import survivor_names

BYTES_PER_DOCUMENT = 32
"""What the index holds of each document: two halves of the hash, the length, the place of the survivor."""


@settings
class ExactDedup(CorpusStep):
    """Drop documents whose text is in the corpus already."""

    kind: Literal["exact-dedup"] = "exact-dedup"
    ignore_case: bool = setting(True, "texts that differ in case or Unicode form alone are the same")
    ignore_space: bool = setting(True, "texts that differ in white space alone are the same")
    survivor: Literal["longest", "first"] = setting("longest", "which of the same texts stays; ties go to the first")

    @property
    def reasons(self) -> tuple[str, ...]:
        """A copy of a document that stays."""
        return ("copy",)

    @property
    def measures(self) -> tuple[str, ...]:
        """How many documents have the text."""
        return ("copies",)

    def keys(self, documents: Documents) -> pa.RecordBatch:
        """The hash of each normalised text, and the bytes of the text as it stands."""
        hashes = [hashlib.blake2b(self._normal(text), digest_size=16).digest() for text in documents.texts]
        halves = np.frombuffer(b"".join(hashes), dtype="<u8").reshape(-1, 2)
        columns = {"high": halves[:, 0], "low": halves[:, 1], "bytes": documents.num_bytes}
        return pa.record_batch([pa.array(values) for values in columns.values()], names=list(columns))

    def reduce(self, corpus: Corpus) -> Iterator[pa.RecordBatch]:
        """Each document's survivor and the size of its group."""
        tables = [corpus.keys(shard) for shard in range(corpus.num_shards)]
        high, low, size = (
            np.concatenate([table.column(name).to_numpy() for table in tables]) for name in ("high", "low", "bytes")
        )
        starts = np.cumsum([0, *(table.num_rows for table in tables)])
        corpus.say(f"exact-dedup: index of {len(high):,} documents, {BYTES_PER_DOCUMENT} bytes each")
        place = np.arange(len(high))
        first = place if self.survivor == "first" else np.lexsort((place, -size))
        order = first[np.lexsort((low[first], high[first]))]  # stable: within a group the survivor comes first
        new = np.ones(len(order), bool)
        new[1:] = (high[order][1:] != high[order][:-1]) | (low[order][1:] != low[order][:-1])
        group = np.cumsum(new) - 1
        survivors, copies = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
        survivors[order] = order[new][group]
        copies[order] = np.bincount(group)[group] if len(order) else 0
        for shard, names in enumerate(survivor_names(corpus, survivors, starts)):
            here = pa.array(copies[starts[shard] : starts[shard + 1]])
            yield pa.record_batch([names, here], names=["survivor", "copies"])

    def decide(self, documents: Documents, marks: pa.RecordBatch) -> Decisions:
        """Drop all but the survivor; the note names it."""
        names = marks.column("survivor").to_pylist()
        dropped = np.array([name is not None for name in names], bool)
        copies = marks.column("copies").to_numpy().astype(float)
        return Decisions(
            dropped=dropped,
            reasons=np.where(dropped, 0, -1),
            scores=copies,
            measures={"copies": copies},
            notes={row: name for row, name in enumerate(names) if name is not None},
        )

    def _normal(self, text: str) -> bytes:
        if self.ignore_case:
            text = (text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold()
        if self.ignore_space:
            text = " ".join(text.split())
        return text.encode()
