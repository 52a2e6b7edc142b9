"""The task that cuts a canonical shard: its documents, and what the step `read` says of them.

Every document has a row under `read`, with the flaw that it was dropped or mended for, or `repeated-id` if it was given
an id that another document has; the note then says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.data.curate.atomic import read_json, write_arrow, write_json, write_parquet
from burnish.data.curate.counting import Tokens
from burnish.data.curate.documents import DOCUMENT, TOKENS, Sizes, batches, text_bytes
from burnish.data.curate.intake import FLAWS
from burnish.data.curate.ledger import COLUMNS, DROP, EDIT, END, EXCERPT, KEEP, Amount, Count, size_columns
from burnish.data.curate.pieces import PLACE, READ, READ_REASONS, REPEATED, Shard, cut_shard
from burnish.data.curate.room import Room

BEGUN = pa.schema([END.field(name) for name in ("id", "source", "url", "bytes", "words", "tokens", "excerpt")])


def cut(
    room: Room, pieces: Sequence[str], shard: int, shards: int, mend: bool, tokens: Tokens | None
) -> dict[str, Any]:
    """Task: cut a canonical shard from the pieces and write what the intake says of its documents.

    Args:
        room: where to write.
        pieces: paths of all pieces.
        shard, shards: which of how many.
        mend: whether flaws that can be mended are let through.
        tokens: how tokens are counted; None if they are not.

    Returns:
        The counts of the step `read`, as plain data.
    """
    mark = room.done("cut", shard)
    if (done := read_json(mark)) is not None:
        return done
    found = cut_shard(pieces, shard, shards)
    dropped = found.dropped(mend=mend)
    sizes = _sizes(found.table, tokens)
    write_parquet(room.step(0, READ, shard), _read_ledger(found, dropped, sizes))
    write_parquet(room.places(shard), found.table.select(PLACE.names).cast(PLACE))
    excerpts = [text[:EXCERPT] for text in found.table.column("text").to_pylist()]
    columns = [*(found.table.column(name) for name in ("id", "source", "url")), *size_columns(sizes), excerpts]
    write_arrow(room.begun(shard), pa.table(columns, schema=BEGUN))
    write_arrow(room.documents(0, shard), _going_on(found, dropped, sizes))
    counts = {**_read_count(found, dropped, sizes).plain(), "given": int(_given(found).sum())}
    write_json(mark, counts)
    return counts


def _sizes(table: pa.Table, tokens: Tokens | None) -> Sizes:
    """Bytes as they stood in the file; words and tokens as mended."""
    words, counted = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for documents in batches(table.select(DOCUMENT.names)):
        words.append(documents.words.counts)
        if tokens is not None:
            counted.append(tokens.counts(documents.texts))
    size = np.asarray(table.column("bytes").to_numpy())
    return Sizes(bytes=size, words=np.concatenate(words), tokens=None if tokens is None else np.concatenate(counted))


def _going_on(shard: Shard, dropped: np.ndarray, sizes: Sizes) -> pa.Table:
    """The documents that are not dropped, with their tokens where they are counted."""
    rows = np.flatnonzero(~dropped)
    table = shard.documents(rows)
    return table if sizes.tokens is None else table.append_column(TOKENS, pa.array(sizes.tokens[rows]))


def _given(shard: Shard) -> np.ndarray:
    return np.asarray(shard.table.column("given").to_numpy())


def _read_reasons(shard: Shard) -> np.ndarray:
    """Place in `READ_REASONS` of each document, -1 for none; a flaw goes before a repeated id."""
    reasons = np.array(shard.table.column("flaw").to_numpy(), dtype=int)
    for row in shard.renamed:
        if reasons[row] < 0:
            reasons[row] = READ_REASONS.index(REPEATED)
    return reasons


def _read_ledger(shard: Shard, dropped: np.ndarray, sizes: Sizes) -> pa.Table:
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
        *size_columns(sizes),
    ]
    return pa.table(arrays, schema=COLUMNS)


def _read_count(shard: Shard, dropped: np.ndarray, sizes: Sizes) -> Count:
    reasons = _read_reasons(shard)
    count = Count()
    count.reached.add(sizes)
    for number, reason in enumerate(READ_REASONS):
        for rows, into in (
            (dropped & (reasons == number), count.dropped),
            (~dropped & (reasons == number), count.edited),
        ):
            if rows.any():
                into.setdefault(reason, Amount()).add(sizes.taken(rows))
    mended = text_bytes(shard.table.column("text").combine_chunks())  # may be shorter than it stood in the file
    count.left.add(replace(sizes, bytes=mended).taken(~dropped))
    return count
