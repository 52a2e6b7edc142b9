"""The documents at the beginning of a pass, as the whole-corpus part of a step sees them: by shard, from the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from burnish.data.curate.atomic import read_arrow
from burnish.data.curate.documents import Documents, batches
from burnish.data.curate.pool import Pool, Task
from burnish.data.curate.room import Room


@dataclass(frozen=True, kw_only=True)
class WorkCorpus:
    """The documents at the beginning of a pass; implements `burnish.data.curate.step.Corpus`."""

    room: Room
    number: int
    num_shards: int
    folder: Path
    pool: Pool
    name: str
    say: Callable[[str], None]

    def path(self, shard: int) -> Path:
        """See `Corpus`."""
        return self.room.documents(self.number, shard)

    def documents(self, shard: int) -> Iterator[Documents]:
        """See `Corpus`."""
        yield from batches(read_arrow(self.path(shard)))

    def keys(self, shard: int) -> pa.Table:
        """See `Corpus`."""
        return read_arrow(self.room.keys(self.number, shard))

    def ids(self, shard: int) -> list[str]:
        """See `Corpus`."""
        return list(read_arrow(self.path(shard)).column("id").to_pylist())

    def map(self, function: Callable[..., Any], tasks: Sequence[tuple[object, ...]]) -> list[Any]:
        """See `Corpus`."""
        named = (Task(name=f"{self.name}, part {n}", function=function, arguments=task) for n, task in enumerate(tasks))
        return self.pool.run(list(named))
