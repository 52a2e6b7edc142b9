"""The task that cuts a canonical shard: its documents, and what the step `read` says of them.

Every document has a row under `read`, with the flaw that it was dropped or mended for, or `repeated-id` if it was given
an id that another document has; the note then says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.data.curate.atomic import read_json, write_arrow, write_json, write_parquet
from burnish.data.curate.documents import DOCUMENT, batches, text_bytes
from burnish.data.curate.intake import FLAWS
from burnish.data.curate.ledger import COLUMNS, DROP, EDIT, END, EXCERPT, KEEP, Amount, Count
from burnish.data.curate.pieces import PLACE, READ, READ_REASONS, REPEATED, Shard, cut_shard
from burnish.data.curate.room import Room

BEGUN = pa.schema([END.field(name) for name in ("id", "source", "url", "bytes", "words", "excerpt")])


def cut(room: Room, pieces: Sequence[str], shard: int, shards: int, mend: bool) -> dict[str, Any]:
    """Task: cut a canonical shard from the pieces and write what the intake says of its documents.

    Args:
        room: where to write.
        pieces: paths of all pieces.
        shard, shards: which of how many.
        mend: whether flaws that can be mended are let through.

    Returns:
        The counts of the step `read`, as plain data.
    """
    mark = room.done("cut", shard)
    if (done := read_json(mark)) is not None:
        return done
    found = cut_shard(pieces, shard, shards)
    dropped = found.dropped(mend=mend)
    words = _word_counts(found.table)
    write_parquet(room.step(0, READ, shard), _read_ledger(found, dropped, words))
    write_parquet(room.places(shard), found.table.select(PLACE.names).cast(PLACE))
    excerpts = [text[:EXCERPT] for text in found.table.column("text").to_pylist()]
    columns = [*(found.table.column(name) for name in ("id", "source", "url", "bytes")), pa.array(words), excerpts]
    write_arrow(room.begun(shard), pa.table(columns, schema=BEGUN))
    write_arrow(room.documents(0, shard), found.documents(np.flatnonzero(~dropped)))
    counts = {**_read_count(found, dropped, words).plain(), "given": int(_given(found).sum())}
    write_json(mark, counts)
    return counts


def _word_counts(table: pa.Table) -> np.ndarray:
    counts = [documents.words.counts for documents in batches(table.select(DOCUMENT.names))]
    return np.concatenate(counts) if counts else np.zeros(0, np.int64)


def _given(shard: Shard) -> np.ndarray:
    return np.asarray(shard.table.column("given").to_numpy())


def _read_reasons(shard: Shard) -> np.ndarray:
    """Place in `READ_REASONS` of each document, -1 for none; a flaw goes before a repeated id."""
    reasons = np.array(shard.table.column("flaw").to_numpy(), dtype=int)
    for row in shard.renamed:
        if reasons[row] < 0:
            reasons[row] = READ_REASONS.index(REPEATED)
    return reasons


def _read_ledger(shard: Shard, dropped: np.ndarray, words: np.ndarray) -> pa.Table:
    reasons = _read_reasons(shard)
    names = [*READ_REASONS, None]
    fates = [
        DROP if gone else EDIT if 0 <= reason < len(FLAWS) else KEEP
        for gone, reason in zip(dropped.tolist(), reasons.tolist(), strict=True)
    ]
    count = len(fates)
    arrays = [
        shard.table.column("id"),
        fates,
        [names[reason] for reason in reasons.tolist()],
        pa.nulls(count, pa.float64()),
        [f"given as {shard.renamed[row]}" if row in shard.renamed else None for row in range(count)],
        shard.table.column("bytes"),
        words,
    ]
    return pa.table(arrays, schema=COLUMNS)


def _read_count(shard: Shard, dropped: np.ndarray, words: np.ndarray) -> Count:
    sizes, reasons = shard.table.column("bytes").to_numpy(), _read_reasons(shard)
    count = Count(reached=Amount(len(words), int(sizes.sum()), int(words.sum())))
    for number, reason in enumerate(READ_REASONS):
        for rows, into in (
            (dropped & (reasons == number), count.dropped),
            (~dropped & (reasons == number), count.edited),
        ):
            if rows.any():
                into[reason] = Amount(int(rows.sum()), int(sizes[rows].sum()), int(words[rows].sum()))
    left = text_bytes(shard.table.column("text").combine_chunks())[~dropped]  # mended ones may have become shorter
    count.left.add(len(left), left.sum(), words[~dropped].sum())
    return count
