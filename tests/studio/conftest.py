"""Databases for the studio's tests: a fresh SQLite file, and a real PostgreSQL server where one is asked for.

The variable BURNISH_TEST_POSTGRES names a server (postgresql+pg8000://USER@HOST:PORT), or says "start" for one that is
started here and thrown away. Without it the tests on PostgreSQL are skipped.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy

from burnish.studio.database import Database
from burnish.studio.migrate import migrate

VARIABLE = "BURNISH_TEST_POSTGRES"
_numbers = itertools.count(1)


def _no_backup() -> Path:
    raise AssertionError("a new database is not backed up")


@pytest.fixture
def sqlite(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'studio.db'}")
    migrate(database, _no_backup)
    yield database
    database.close()


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root, so somebody else has to; None if we are somebody else already."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_server():
    """The address of a server."""
    given = os.environ.get(VARIABLE)
    if given is None:
        pytest.skip(f"{VARIABLE} names no server and does not say 'start'")
    if given != "start":
        yield given
        return
    initdb, server = shutil.which("initdb"), shutil.which("postgres")
    user = _unprivileged()
    if initdb is None or server is None or (os.getuid() == 0 and user is None):
        pytest.fail(f"{VARIABLE} says 'start', and no initdb and postgres that may be run are on the PATH")
    folder = Path(tempfile.mkdtemp(prefix="burnish-postgres-"))
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    data, port = folder / "data", _free_port()
    words = ["-U", "burnish", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]
    subprocess.run([initdb, *words, data], user=user, check=True, capture_output=True, cwd=folder)
    options = {"port": port, "fsync": "off", "unix_socket_directories": folder, "max_connections": 120}
    settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    process = subprocess.Popen([server, "-D", data, *settings], user=user, cwd=folder, stderr=subprocess.DEVNULL)
    address = f"postgresql+pg8000://burnish@127.0.0.1:{port}"
    try:
        _wait(f"{address}/postgres")
        yield address
    finally:
        process.send_signal(signal.SIGINT)  # a fast shutdown: connections that are left are cut
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(address: str) -> None:
    engine = sqlalchemy.create_engine(address)
    for _ in range(300):
        try:
            engine.connect().close()
            break
        except sqlalchemy.exc.DBAPIError:
            time.sleep(0.1)
    engine.dispose()


@contextmanager
def _new_database(server: str, template: str = "template1") -> Iterator[str]:
    name = f"studio_{os.getpid()}_{next(_numbers)}"
    engine = sqlalchemy.create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield f"{server}/{name}"
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


@pytest.fixture
def new_postgres(postgres_server):
    """The address of a database without tables."""
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
