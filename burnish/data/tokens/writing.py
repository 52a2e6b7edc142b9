"""Documents with their tokens -> one shard: the token file, then its index, each whole or not there.

Tokens go to the disk document by document. Memory holds the index of the shard: the ids and sources of its documents,
and 16 bytes for each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.data.curate.atomic import whole, write_arrow
from burnish.data.tokens.layout import INDEX, Shard


@dataclass(frozen=True, kw_only=True)
class TokenDocument:
    """A document as it is written, and read again.

    Attributes:
        id, source: its names.
        tokens: the end token included; never empty.
        num_bytes: of the text in UTF-8.
    """

    id: str
    source: str
    tokens: Sequence[int] | np.ndarray
    num_bytes: int


def write_shard(folder: Path, name: str, documents: Iterable[TokenDocument], dtype: np.dtype[Any]) -> Shard:
    """Write one shard.

    Args:
        folder: of all shards.
        name: of the shard.
        documents: in order.
        dtype: of the token file.

    Raises:
        StoreError: it cannot be written; says so if the disk is full.
    """
    ids: list[str] = []
    sources: list[str] = []
    starts: list[int] = []
    sizes: list[int] = []
    total, digest = 0, hashlib.sha256()
    with whole(tokens_path(folder, name)) as beside, beside.open("wb") as file:
        for document in documents:
            data = np.asarray(document.tokens, dtype=dtype).tobytes()
            digest.update(data)
            file.write(data)
            ids.append(document.id)
            sources.append(document.source)
            starts.append(total)
            sizes.append(document.num_bytes)
            total += len(document.tokens)
    columns: list[Any] = [ids, sources, np.array(starts, np.uint64), np.array(sizes, np.int64)]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, INDEX, strict=True)]
    write_arrow(index_path(folder, name), pa.table(arrays, schema=INDEX))
    return Shard(name=name, num_tokens=total, num_documents=len(ids), num_bytes=sum(sizes), sha256=digest.hexdigest())


def tokens_path(folder: Path, name: str) -> Path:
    """The token file of a shard."""
    return folder / f"{name}.tokens"


def index_path(folder: Path, name: str) -> Path:
    """The index of a shard."""
    return folder / f"{name}.index.arrow"
