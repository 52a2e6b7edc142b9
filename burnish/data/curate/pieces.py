"""From files to canonical shards: each file becomes sorted pieces, and a shard is a slice of every piece.

    file a ──► piece a.0, a.1 ──┐  sorted by key, one Arrow batch each, read in place
    file b ──► piece b.0 ───────┼──► shard 0 ──► read ledger, places, documents
    file c ──► piece c.0 ───────┘    shard 1 ──► ...

Memory is bounded by the piece (`shard_bytes` of text and the document that goes over it) and by the shard. Pieces of a
file are known by its content, name and how it is read, so that a run that was killed does not read it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.config import load
from burnish.data.curate.atomic import read_arrow, read_json, write_arrow, write_json, write_parquet
from burnish.data.curate.canonical import derived_id, digest, key_of, ordered, shard_rows, stem_of
from burnish.data.curate.documents import DOCUMENT
from burnish.data.curate.intake import FLAWS, MENDABLE, Document, Incident, Intake
from burnish.data.curate.reading import documents_in

PIECE = pa.schema(
    [
        ("key", pa.uint64()),
        ("stem", pa.string()),
        *DOCUMENT,
        ("given", pa.bool_()),
        ("digest", pa.binary(16)),
        ("bytes", pa.int64()),
        ("flaw", pa.int8()),
        ("file", pa.string()),
        ("row", pa.int64()),
    ]
)

INCIDENT = pa.schema([("file", pa.string()), ("row", pa.int64()), ("what", pa.string()), ("detail", pa.string())])
PLACE = pa.schema([("id", pa.string()), ("file", pa.string()), ("row", pa.int64())])

READ = "read"
"""The name of the step that stands for the intake."""

REPEATED = "repeated-id"
READ_REASONS = (*FLAWS, REPEATED)


def gather(path: str, name: str, source: str, intake: Mapping[str, Any], piece_bytes: int, stem: str) -> dict[str, Any]:
    """Task: read one file into pieces `STEM.0.arrow`, ..., `STEM.incidents.parquet` and the mark `STEM.json`.

    Args:
        path: of the file.
        name: how places and incidents call it.
        source: of documents that name none.
        intake: the settings, as plain data.
        piece_bytes: of text in a piece.
        stem: path of what is written, without its ending.

    Returns:
        What the mark says: how many `pieces`, `documents` and `bytes`.
    """
    mark = Path(f"{stem}.json")
    if (done := read_json(mark)) is not None:
        return done
    pieces, total, count = 0, 0, 0
    incidents: list[Incident] = []
    for group in _groups(documents_in(Path(path), load(Intake, intake)), incidents, piece_bytes):
        write_arrow(Path(f"{stem}.{pieces}.arrow"), _piece(group, name, source))
        pieces += 1
        count += len(group)
        total += sum(document.num_bytes for document in group)
    if incidents:
        columns = [[name] * len(incidents), *([getattr(i, f) for i in incidents] for f in ("row", "what", "detail"))]
        arrays = [pa.array(values, field.type) for values, field in zip(columns, INCIDENT, strict=True)]
        write_parquet(Path(f"{stem}.incidents.parquet"), pa.table(arrays, schema=INCIDENT))
    done = {"pieces": pieces, "documents": count, "bytes": total}
    write_json(mark, done)
    return done


def _groups(
    found: Iterator[Document | Incident], incidents: list[Incident], piece_bytes: int
) -> Iterator[list[Document]]:
    """The documents, so many together as fit into a piece; incidents are added to the list."""
    group: list[Document] = []
    size = 0
    for one in found:
        if isinstance(one, Incident):
            incidents.append(one)
            continue
        group.append(one)
        size += len(one.text) + 200
        if size >= piece_bytes:
            yield group
            group, size = [], 0
    if group:
        yield group


def _piece(group: Sequence[Document], file: str, source: str) -> pa.Table:
    """The documents as a table in the order of their keys."""
    contents = [digest(d.text, d.url, d.source or source, d.extra, f"{d.num_bytes} {d.flaw}") for d in group]
    given = [d.id if d.id is not None else derived_id(content) for d, content in zip(group, contents, strict=True)]
    stems = [stem_of(name) for name in given]
    keys = np.fromiter(map(key_of, stems), np.uint64, len(group))
    columns: list[Any] = [
        keys,
        stems,
        given,
        [d.text for d in group],
        [d.url for d in group],
        [d.source or source for d in group],
        [d.extra for d in group],
        [d.id is not None for d in group],
        contents,
        [d.num_bytes for d in group],
        [FLAWS.index(d.flaw) if d.flaw else -1 for d in group],
        [file] * len(group),
        [d.row for d in group],
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, PIECE, strict=True)]
    return pa.table(arrays, schema=PIECE).take(pa.array(np.argsort(keys, kind="stable")))


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A canonical shard as it was read.

    Attributes:
        table: columns of `PIECE` in canonical order, ids unique.
        renamed: place -> the id that the document was given, where it had to be changed.
    """

    table: pa.Table
    renamed: Mapping[int, str]

    def dropped(self, *, mend: bool) -> np.ndarray:
        """Which documents go no further, (n,) bool.

        Args:
            mend: flaws that can be mended do not count.
        """
        flaws = self.table.column("flaw").to_numpy()
        passable = [-1, *(FLAWS.index(flaw) for flaw in MENDABLE)] if mend else [-1]
        return np.asarray(~np.isin(flaws, passable))

    def documents(self, rows: np.ndarray) -> pa.Table:
        """The documents of some rows."""
        return self.table.select(DOCUMENT.names).take(pa.array(rows)).cast(DOCUMENT).combine_chunks()


def cut_shard(pieces: Sequence[str], shard: int, shards: int) -> Shard:
    """The documents of one canonical shard.

    Args:
        pieces: paths of all pieces of all files.
        shard, shards: which of how many.
    """
    parts = [PIECE.empty_table()]
    for path in pieces:
        table = read_arrow(Path(path))
        rows = shard_rows(table.column("key").to_numpy(), shard, shards)
        if rows.start < rows.stop:
            parts.append(table.take(pa.array(np.arange(rows.start, rows.stop))))  # a copy, so that the file is let go
    table = pa.concat_tables(parts).combine_chunks()
    # Rows that are equal in everything stay in the order of the files; only the table of places can tell them apart.
    keys = table.column("key").to_numpy()
    names, stems, contents = (table.column(name).to_pylist() for name in ("id", "stem", "digest"))
    order = ordered(keys, stems, names, contents)
    table = table.take(pa.array(order.rows))
    table = table.set_column(table.schema.get_field_index("id"), PIECE.field("id"), pa.array(order.ids, pa.string()))
    return Shard(table=table, renamed=order.renamed)
