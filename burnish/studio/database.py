"""The database: one transaction a `with`, on SQLite or PostgreSQL.

    with database.write() as session: ...      committed at the end, undone if anything is raised
    with database.read() as session: ...       one state of the data throughout; nothing can be written

On SQLite a writer begins with BEGIN IMMEDIATE, so that it waits for the other writers *before* it reads and never
finds its snapshot outdated (the usual cause of "database is locked"). Writers of one process queue on a lock, which is
fair where SQLite's own waiting is not; those of other processes (a backup, a second server) wait by the busy timeout.
WAL lets readers go on meanwhile, and `synchronous=FULL` has every committed vote on the disk.

On PostgreSQL rows are locked one by one (`FOR UPDATE`), and readers see one snapshot (REPEATABLE READ).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

BUSY_SECONDS = 30
_WRITES = "burnish_writes"


class Database:
    """A studio's database.

    Args:
        url: as SQLAlchemy has it: `sqlite:///FILE` or `postgresql+pg8000://...`.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(url) if self.is_sqlite else _postgres_engine(url)
        self._queue = threading.Lock()
        self._writing = self.engine.execution_options(**{_WRITES: True})
        self._reading = (
            self.engine
            if self.is_sqlite
            else self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        )

    @property
    def file(self) -> Path:
        """The file of an SQLite database."""
        return Path(str(self.url.database))

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that may change things."""
        with (
            self._queue if self.is_sqlite else nullcontext(),
            Session(self._writing, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that sees one state of the data."""
        with Session(self._reading, expire_on_commit=False, autoflush=False) as session:
            yield session

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection in a transaction that may change the schema; committed at the end."""
        with self._queue if self.is_sqlite else nullcontext(), self._writing.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _sqlite_engine(url: str) -> Engine:
    Path(str(make_url(url).database)).parent.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(url, pool_size=16, max_overflow=64, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _postgres_engine(url: str) -> Engine:
    """More connections than the server has threads for requests (40), so that none waits for one; a PostgreSQL as it
    comes has 100.
    """
    return sqlalchemy.create_engine(url, pool_size=16, max_overflow=48, pool_pre_ping=True)


def _prepare(connection: Any, record: Any) -> None:
    """Set up a new SQLite connection; the driver's own BEGIN is turned off in favour of `_begin`."""
    sqlite: sqlite3.Connection = connection
    sqlite.isolation_level = None
    for pragma in ("foreign_keys=ON", "journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_SECONDS * 1000}"):
        sqlite.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = _WRITES in connection.get_execution_options()
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
