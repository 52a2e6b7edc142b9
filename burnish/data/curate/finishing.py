"""The task that ends a shard: the end of every document, and the documents that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from burnish.data.curate.atomic import read_arrow, read_json, read_parquet, write_json, write_parquet
from burnish.data.curate.documents import DOCUMENT, TOKENS, batches
from burnish.data.curate.ledger import DROP, EDIT, END, KEEP
from burnish.data.curate.pieces import READ
from burnish.data.curate.room import Room


def finish(room: Room, names: Sequence[str], last: int, shard: int) -> dict[str, Any]:
    """Task: write the ledger of all documents of a shard, and the documents that are kept.

    Args:
        room: where to read and write.
        names: of the steps, in order.
        last: number of the last pass.
        shard: which.

    Returns:
        Nothing to know.
    """
    mark = room.done("finish", shard)
    if (done := read_json(mark)) is not None:
        return done
    kept = read_arrow(room.documents(last, shard))
    write_parquet(room.kept(shard), kept.select(DOCUMENT.names))
    write_parquet(room.ends(shard), _ends(room, names, kept, shard))
    write_json(mark, {})
    return {}


def _ends(room: Room, names: Sequence[str], kept: pa.Table, shard: int) -> pa.Table:
    begun = read_arrow(room.begun(shard))
    count = begun.num_rows
    place = {name: row for row, name in enumerate(begun.column("id").to_pylist())}
    fates, steps = np.full(count, KEEP, object), np.full(count, None, object)
    reasons, scores = np.full(count, None, object), np.full(count, None, object)
    for number, name in enumerate((READ, *names)):
        table = read_parquet(room.step(number, name, shard), ["id", "fate", "reason", "score"])
        for fate in (EDIT, DROP):
            rows = table.filter(pc.equal(table.column("fate"), fate))
            where = [place[one] for one in rows.column("id").to_pylist()]
            fates[where] = fate
            if fate == DROP:
                steps[where] = name
                reasons[where] = rows.column("reason").to_pylist()
                scores[where] = rows.column("score").to_pylist()
    sizes, words, tokens = np.zeros(count, np.int64), np.zeros(count, np.int64), np.full(count, None, object)
    if TOKENS.name in kept.column_names:
        tokens[:] = 0
    for documents in batches(kept):
        where, mine = [place[one] for one in documents.ids], documents.sizes
        sizes[where], words[where] = mine.bytes, mine.words
        if mine.tokens is not None:
            tokens[where] = mine.tokens
    found = {
        **{name: begun.column(name) for name in begun.column_names},
        "fate": fates.tolist(),
        "step": steps.tolist(),
        "reason": reasons.tolist(),
        "score": scores.tolist(),
        "bytes_out": sizes,
        "words_out": words,
        "tokens_out": pa.array(tokens.tolist(), pa.int64()),
    }
    return pa.table([found[name] for name in END.names], schema=END)
