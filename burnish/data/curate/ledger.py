"""The record of every document: one table per step, one table of all documents, as Parquet.

    ledger/steps/00-read/shard-00000.parquet          a row for every document that was read
    ledger/steps/01-gopher-quality/shard-00000.parquet  a row for every document that reached the step
    ledger/documents/shard-00000.parquet              a row for every document: its end, and the beginning of its text

Columns of a step: `id`; `fate` (keep, edit, drop); `reason` and `score`, null where there is none; `note`, for people;
`bytes` and `words` of the text as it reached the step, and its `tokens` where the run counts them, else null; and
`measure.NAME` for every measure, kept documents included, so that the effect of another threshold can be counted
without running again. A document has a row in every step up to the one that dropped it. The place where a document was
read is in `places/`, since it changes with the cut of the input and nothing else does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.data.curate.atomic import read_parquet
from burnish.data.curate.documents import Documents, Sizes
from burnish.data.curate.step import Decisions, Step

KEEP, EDIT, DROP = "keep", "edit", "drop"
FATES = (KEEP, EDIT, DROP)
MEASURE = "measure."
"""What the column of a measure begins with."""

EXCERPT = 300
"""Characters of a text that the ledger holds."""

COLUMNS = pa.schema(
    [
        ("id", pa.string()),
        ("fate", pa.string()),
        ("reason", pa.string()),
        ("score", pa.float64()),
        ("note", pa.string()),
        ("bytes", pa.int64()),
        ("words", pa.int64()),
        ("tokens", pa.int64()),
    ]
)

END = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("url", pa.string()),
        ("bytes", pa.int64()),
        ("words", pa.int64()),
        ("tokens", pa.int64()),
        ("fate", pa.string()),
        ("step", pa.string()),
        ("reason", pa.string()),
        ("score", pa.float64()),
        ("bytes_out", pa.int64()),
        ("words_out", pa.int64()),
        ("tokens_out", pa.int64()),
        ("excerpt", pa.string()),
    ]
)
"""A document's end: `fate` is keep, edit (kept with another text) or drop; `step`, `reason` and `score` of the drop."""


def step_schema(measures: Sequence[str]) -> pa.Schema:
    """The columns of a step's table."""
    return pa.schema([*COLUMNS, *((f"{MEASURE}{name}", pa.float64()) for name in measures)])


def ledger_rows(step: Step, documents: Documents, decisions: Decisions) -> pa.RecordBatch:
    """A step's rows for some documents."""
    count, sizes = len(documents), documents.sizes
    names = [*step.reasons, None]
    arrays: list[Any] = [
        documents.batch.column("id"),
        fates(decisions.dropped, decisions.texts),
        [names[reason] for reason in decisions.reasons.tolist()],
        number_column(decisions.scores),
        [decisions.notes.get(row) for row in range(count)] if decisions.notes else pa.nulls(count, pa.string()),
        *size_columns(sizes),
        *(number_column(decisions.measures[name]) for name in step.measures),
    ]
    schema = step_schema(step.measures)
    columns = [a if isinstance(a, pa.Array) else pa.array(a, f.type) for a, f in zip(arrays, schema, strict=True)]
    return pa.record_batch(columns, schema=schema)


def fates(dropped: np.ndarray, texts: Mapping[int, str]) -> list[str]:
    """What became of each document."""
    found = [DROP if gone else KEEP for gone in dropped.tolist()]
    for row in texts:
        found[row] = EDIT
    return found


def number_column(values: np.ndarray) -> pa.Array:
    """Numbers as a column in which NaN is null."""
    return pa.array(np.asarray(values, dtype=np.float64), pa.float64(), from_pandas=True)


def size_columns(sizes: Sizes) -> tuple[pa.Array, pa.Array, pa.Array]:
    """The columns `bytes`, `words` and `tokens`."""
    tokens = pa.nulls(len(sizes.bytes), pa.int64()) if sizes.tokens is None else pa.array(sizes.tokens)
    return pa.array(sizes.bytes), pa.array(sizes.words), tokens


@dataclass
class Amount:
    """How much text; `tokens` is None where none were counted."""

    documents: int = 0
    bytes: int = 0
    words: int = 0
    tokens: int | None = None

    def add(self, sizes: Sizes) -> None:
        """Add some documents."""
        tokens = None if sizes.tokens is None else int(sizes.tokens.sum())
        self._add(len(sizes.bytes), int(sizes.bytes.sum()), int(sizes.words.sum()), tokens)

    def plus(self, other: Mapping[str, Any]) -> None:
        """Add another amount, as plain data."""
        self._add(other["documents"], other["bytes"], other["words"], other["tokens"])

    def _add(self, documents: int, num_bytes: int, words: int, tokens: int | None) -> None:
        self.documents += documents
        self.bytes += num_bytes
        self.words += words
        if tokens is not None:
            self.tokens = (self.tokens or 0) + tokens


@dataclass
class Count:
    """What a step did, in numbers; sums over shards.

    Attributes:
        reached: what came to it.
        left: what it let through, edits applied.
        dropped, edited: by reason; what was there before the edit.
        beyond: documents beyond the limit of each rule, those that an earlier rule dropped included.
    """

    reached: Amount = field(default_factory=Amount)
    left: Amount = field(default_factory=Amount)
    dropped: dict[str, Amount] = field(default_factory=dict)
    edited: dict[str, Amount] = field(default_factory=dict)
    beyond: dict[str, int] = field(default_factory=dict)

    def see(self, step: Step, documents: Documents, decisions: Decisions) -> None:
        """Count some documents; what is left is added by `leave`."""
        sizes = documents.sizes
        self.reached.add(sizes)
        edited = np.zeros(len(documents), bool)
        edited[list(decisions.texts)] = True
        for number, reason in enumerate(step.reasons):
            fits = decisions.reasons == number
            for rows, into in ((fits & decisions.dropped, self.dropped), (fits & edited, self.edited)):
                if rows.any():
                    into.setdefault(reason, Amount()).add(sizes.taken(rows))
        for rule in step.rules:
            count = int(rule.fails(decisions.measures[rule.measure]).sum())
            self.beyond[rule.reason] = self.beyond.get(rule.reason, 0) + count

    def leave(self, documents: Documents) -> None:
        """Count what is left of them."""
        self.left.add(documents.sizes)

    def plus(self, other: Mapping[str, Any]) -> None:
        """Add the counts of another shard, as plain data."""
        self.reached.plus(other["reached"])
        self.left.plus(other["left"])
        for mine, theirs in ((self.dropped, other["dropped"]), (self.edited, other["edited"])):
            for reason, amount in theirs.items():
                mine.setdefault(reason, Amount()).plus(amount)
        for reason, count in other["beyond"].items():
            self.beyond[reason] = self.beyond.get(reason, 0) + count

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def shard_name(shard: int) -> str:
    """The name of a shard's file, without its ending."""
    return f"shard-{shard:05d}"


def step_folder(number: int, name: str) -> str:
    """The folder of a step in `ledger/steps`; `number` counts from 1, 0 is the intake."""
    return f"{number:02d}-{name}"


def step_folders(folder: Path) -> dict[str, Path]:
    """The steps of a run in order: name -> folder of its tables."""
    found = sorted(path for path in (folder / "ledger" / "steps").iterdir() if path.is_dir())
    return {path.name.split("-", 1)[1]: path for path in found}


def tables(folder: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The tables of the shards in a folder, in order."""
    for path in sorted(folder.glob("shard-*.parquet")):
        yield read_parquet(path, columns)
