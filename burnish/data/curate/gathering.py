"""Read all files into pieces: a task per file, known by the file's content, so that none is read twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from burnish.config import dump
from burnish.data.curate.atomic import read_parquet, write_parquet
from burnish.data.curate.canonical import num_shards
from burnish.data.curate.intake import Intake
from burnish.data.curate.pieces import INCIDENT, gather
from burnish.data.curate.pool import Pool, Task
from burnish.data.curate.room import Room
from burnish.data.locate import Files, located
from burnish.errors import ConfigError, DataError
from burnish.store import content_key


@dataclass(frozen=True, kw_only=True)
class Input:
    """A file to read.

    Attributes:
        path: where it lies.
        name: how places and incidents call it.
        source: of documents that name none.
    """

    path: Path
    name: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What was read.

    Attributes:
        pieces: paths of all pieces.
        documents, bytes: how many documents, and the bytes of their texts.
        shards: how many shards that makes.
        incidents: how many of each kind.
    """

    pieces: tuple[str, ...]
    documents: int
    bytes: int
    shards: int
    incidents: Mapping[str, int]


def inputs_of(data: Mapping[str, str]) -> tuple[Input, ...]:
    """The files that named paths stand for.

    Args:
        data: source -> a file, or a folder with files.

    Raises:
        ConfigError: lists the paths where nothing is, or no files with rows.
    """
    found: list[Input] = []
    mistakes = []
    for source, path in data.items():
        try:
            place = located(path)
        except DataError as error:
            mistakes.append(f"data.{source}: {error}")
            continue
        if not isinstance(place, Files):
            mistakes.append(f"data.{source}: {path} is no file or folder of files; curation reads those only")
            continue
        names = {file: f"{source}/{file.relative_to(place.root).as_posix()}" for file in place.paths}
        found += [Input(path=file, name=name, source=source) for file, name in names.items()]
    if mistakes:
        raise ConfigError(mistakes)
    return tuple(found)


def gathered(inputs: Sequence[Input], intake: Intake, shard_bytes: int, room: Room, pool: Pool) -> Gathered:
    """Read all files.

    Args:
        inputs: the files.
        intake: how they are read.
        shard_bytes: of text in a piece, and in a shard.
        room: where pieces and incidents go.
        pool: does the tasks.

    Raises:
        DataError: not one document was found; names the first incidents.
    """
    stems = [_stem(item, intake, shard_bytes, room) for item in inputs]
    plain = dump(intake)
    tasks = [
        Task(
            name=str(item.path),
            function=gather,
            arguments=(str(item.path), item.name, item.source, plain, shard_bytes, stem),
        )
        for item, stem in zip(inputs, stems, strict=True)
    ]
    found = pool.run(tasks)
    incidents = _write_incidents(stems, room)
    total = sum(one["bytes"] for one in found)
    count = sum(one["documents"] for one in found)
    if not count:
        raise DataError(f"no document in {len(inputs)} files: {_first(incidents)}")
    kinds = incidents.column("what").to_pylist()
    return Gathered(
        pieces=tuple(f"{s}.{n}.arrow" for s, one in zip(stems, found, strict=True) for n in range(one["pieces"])),
        documents=count,
        bytes=total,
        shards=num_shards(total, shard_bytes),
        incidents={kind: kinds.count(kind) for kind in sorted(set(kinds))},
    )


def _stem(item: Input, intake: Intake, shard_bytes: int, room: Room) -> str:
    parts = [item.name, item.source, content_key(str(item.path)), dump(intake), shard_bytes]
    name = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
    return str(room.work / "pieces" / name)


def _write_incidents(stems: Sequence[str], room: Room) -> pa.Table:
    paths = [path for stem in stems if (path := Path(f"{stem}.incidents.parquet")).exists()]
    table = pa.concat_tables([INCIDENT.empty_table(), *(read_parquet(path) for path in paths)])
    table = table.sort_by([(name, "ascending") for name in ("file", "row", "what")])
    write_parquet(room.out / "incidents.parquet", table)
    return table


def _first(incidents: pa.Table) -> str:
    rows = incidents.slice(0, 3).to_pylist()
    return "; ".join(f"{row['file']}, row {row['row']}: {row['what']} ({row['detail']})" for row in rows)
