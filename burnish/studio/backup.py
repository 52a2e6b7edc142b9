"""Save a studio's data in one file and bring it back, while people work.

    FILE.db       a copy of the SQLite database by its online backup: one state of it, whole, whoever writes meanwhile
    FILE.jsonl    every row of every table as JSON lines, from one snapshot; of either engine, into either engine

The first line of a `.jsonl` backup names the version of the schema; a restore makes that version, fills it, and then
migrates it. The secret is no part of a backup.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, MetaData, Table

from burnish.studio.database import Database
from burnish.studio.migrate import upgrade, version
from burnish.studio.refusals import StudioError
from burnish.studio.tables import Base

_SQLITE_MAGIC = b"SQLite format 3\0"
_HEAD = "burnish studio"
_BATCH = 500


def backup(database: Database, path: Path) -> Path:
    """Save the database in `path`, which appears whole or not at all.

    Args:
        database: may be in use.
        path: ends in `.db` (SQLite alone) or `.jsonl`.

    Raises:
        StudioError: the name has another ending, or the file exists.
    """
    _check_name(database, path)
    if path.exists():
        raise StudioError(f"{path} exists already; name a new file")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.unlink(missing_ok=True)
    if path.suffix == ".db":
        _copy(database.file, beside)
    else:
        beside.write_text("".join(f"{line}\n" for line in _dumped(database)), encoding="utf-8")
    beside.replace(path)
    return path


def restore(database: Database, path: Path) -> None:
    """Put the data of a backup into a database that has none; the caller then migrates it.

    Args:
        database: without tables; for `.db` its file does not exist.
        path: what `backup` wrote.

    Raises:
        StudioError: the file is not a backup, or the database holds something.
    """
    _check_name(database, path)
    if not path.exists():
        raise StudioError(f"{path} does not exist")
    if version(database) is not None:
        raise StudioError("the database holds a studio already; move it away first")
    if path.suffix == ".db":
        with path.open("rb") as file:
            if file.read(len(_SQLITE_MAGIC)) != _SQLITE_MAGIC:
                raise StudioError(f"{path} is not an SQLite database")
        database.close()
        _copy(path, database.file)
    else:
        with path.open(encoding="utf-8") as lines, database.connection() as connection:
            _fill(connection, path, lines)


def _check_name(database: Database, path: Path) -> None:
    if path.suffix not in (".db", ".jsonl") or (path.suffix == ".db" and not database.is_sqlite):
        kinds = "end in .db or .jsonl" if database.is_sqlite else "end in .jsonl, as the database is PostgreSQL"
        raise StudioError(f"{path}: the name of a backup must {kinds}")


def _copy(source: Path, target: Path) -> None:
    """Copy an SQLite database and check the copy."""
    with closing(sqlite3.connect(source, timeout=30)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        if (found := new.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
            raise StudioError(f"{source}: the copy is damaged: {found}")
        new.execute("PRAGMA journal_mode=DELETE")  # one file, without a journal beside it


def _dumped(database: Database) -> Iterator[str]:
    """The tables as the database has them, which before a migration is not as the models do."""
    with database.read() as session:
        yield json.dumps({_HEAD: version(database)})
        for table in _schema(session.connection()).sorted_tables:
            if table.name not in Base.metadata.tables:
                continue  # the migrations' own
            order = list(table.primary_key.columns)
            for row in session.execute(sqlalchemy.select(table).order_by(*order)).mappings():
                yield json.dumps({"table": table.name, "row": dict(row)}, ensure_ascii=False)


def _fill(connection: Connection, path: Path, lines: Iterable[str]) -> None:
    rows = (_line(path, number, text) for number, text in enumerate(lines, start=1))
    head = next(rows, {})
    if not isinstance(head.get(_HEAD), str):
        raise StudioError(f"{path}, line 1: not a backup of a studio")
    upgrade(connection, head[_HEAD])
    schema = _schema(connection)
    later: list[tuple[Table, int, str, Any]] = []
    batch: list[dict[str, Any]] = []
    table: Table | None = None
    for number, row in enumerate(rows, start=2):
        name = str(row.get("table"))
        if name not in schema.tables:
            raise StudioError(f"{path}, line {number}: no table '{name}' in version {head[_HEAD]}")
        if table is not schema.tables[name] or len(batch) == _BATCH:
            _insert(connection, table, batch)
            table, batch = schema.tables[name], []
        batch.append(_without_forward(table, row["row"], later))
    _insert(connection, table, batch)
    for owner, key, column, value in later:
        connection.execute(owner.update().where(owner.c.id == key).values({column: value}))
    _advance_sequences(connection, schema)


def _schema(connection: Connection) -> MetaData:
    """The tables as the database has them, None in a JSON column being NULL as in the models."""
    schema = MetaData()
    schema.reflect(connection)
    for column in (column for table in schema.tables.values() for column in table.c):
        if isinstance(column.type, sqlalchemy.JSON):
            column.type.none_as_null = True
    return schema


def _line(path: Path, number: int, text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise StudioError(f"{path}, line {number}: not JSON ({error.msg}); is the backup whole?") from error
    if not isinstance(row, dict):
        raise StudioError(f"{path}, line {number}: not a row of a backup")
    return row


def _without_forward(table: Table, row: dict[str, Any], later: list[tuple[Table, int, str, Any]]) -> dict[str, Any]:
    """The row with references to later rows of its own table left for the end."""
    for key in table.foreign_keys:
        column = key.parent.name
        if key.column.table is table and row[column] is not None and row[column] > row["id"]:
            later.append((table, row["id"], column, row[column]))
            row = {**row, column: None}
    return row


def _insert(connection: Connection, table: Table | None, rows: list[dict[str, Any]]) -> None:
    if table is not None and rows:
        connection.execute(table.insert(), rows)


def _advance_sequences(connection: Connection, schema: MetaData) -> None:
    """On PostgreSQL, let new rows be numbered after those that were filled in."""
    if connection.dialect.name != "postgresql":
        return
    for table in schema.tables.values():
        if "id" in table.c:
            next_id = sqlalchemy.select(sqlalchemy.func.coalesce(sqlalchemy.func.max(table.c.id), 0) + 1)
            number = connection.execute(next_id).scalar_one()
            connection.execute(
                sqlalchemy.text("SELECT setval(pg_get_serial_sequence(:table, 'id'), :number, false)"),
                {"table": table.name, "number": number},
            )
