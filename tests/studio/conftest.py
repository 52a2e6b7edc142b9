"""Databases for the studio's tests: a fresh SQLite file, and a real PostgreSQL server where one is asked for.

The variable BURNISH_TEST_POSTGRES names a server (postgresql+pg8000://USER@HOST:PORT), or says "start" for one that is
started here and thrown away. Without it the tests on PostgreSQL are skipped.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from benchmarks.studio import engines
from burnish.studio.database import Database
from burnish.studio.migrate import migrate

VARIABLE = "BURNISH_TEST_POSTGRES"
_numbers = itertools.count(1)


def _no_backup() -> Path:
    raise AssertionError("a new database is not backed up")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory) -> Path:
    """The file of a database with empty tables, to copy."""
    file = tmp_path_factory.mktemp("template") / "studio.db"
    database = Database(f"sqlite:///{file}")
    migrate(database, _no_backup)
    database.close()
    return file


@pytest.fixture
def sqlite(tmp_path, sqlite_template):
    database = Database(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'studio.db')}")
    yield database
    database.close()


@pytest.fixture(scope="session")
def postgres_server():
    """The address of a server."""
    given = os.environ.get(VARIABLE)
    if given is None:
        pytest.skip(f"{VARIABLE} names no server and does not say 'start'")
    if given != "start":
        yield given
        return
    try:
        with engines.postgres(is_safe=False) as address:
            yield address
    except engines.NoPostgres as error:
        pytest.fail(f"{VARIABLE} says 'start': {error}")


def _new_database(server: str, template: str = "template1") -> AbstractContextManager[str]:
    return engines.new_database(server, f"studio_{os.getpid()}_{next(_numbers)}", template)


@pytest.fixture
def new_postgres(postgres_server):
    """The address of a database without tables."""
    with _new_database(postgres_server) as address:
        yield address


@pytest.fixture
def other_postgres(postgres_server):
    """The address of one more."""
    with _new_database(postgres_server) as address:
        yield address


@pytest.fixture(scope="session")
def postgres_template(postgres_server):
    """The name of a database with empty tables, to copy."""
    with _new_database(postgres_server) as address:
        database = Database(address)
        migrate(database, _no_backup)
        database.close()
        yield address.rpartition("/")[2]


@pytest.fixture
def postgres(postgres_server, postgres_template):
    with _new_database(postgres_server, postgres_template) as address:
        database = Database(address)
        yield database
        database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request):
    """Each engine in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def empty_sqlite(tmp_path, sqlite_template):
    """Makes databases with empty tables, each thrown away after its use."""

    @contextmanager
    def made() -> Iterator[Database]:
        file = tmp_path / f"empty-{next(_numbers)}.db"
        database = Database(f"sqlite:///{shutil.copy(sqlite_template, file)}")
        yield database
        database.close()
        file.unlink()

    return made


@pytest.fixture
def empty_postgres(postgres_server, postgres_template):
    """The same on PostgreSQL."""

    @contextmanager
    def made() -> Iterator[Database]:
        with _new_database(postgres_server, postgres_template) as address:
            database = Database(address)
            yield database
            database.close()

    return made
