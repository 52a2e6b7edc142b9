"""A PostgreSQL server that is started for one use and thrown away; the studio's tests start theirs here too.

Its programs are the system's, found on the PATH. PostgreSQL refuses to run as root, so then somebody else has to.
"""

from __future__ import annotations

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

import sqlalchemy

from burnish.errors import BurnishError


class NoPostgres(BurnishError):
    """There is no PostgreSQL on this machine that could be started."""


@contextmanager
def postgres(*, is_safe: bool) -> Iterator[str]:
    """The address of a server, up to its databases' names.

    Args:
        is_safe: whether what is committed is on the disk, as it has to be where it is measured.

    Raises:
        NoPostgres: its programs are not on the PATH, or only root is there to run them.
    """
    initdb, server, user = shutil.which("initdb"), shutil.which("postgres"), _unprivileged()
    if initdb is None or server is None:
        raise NoPostgres("there is no initdb and postgres on the PATH; type sudo apt-get install postgresql")
    if user is None and os.getuid() == 0:
        raise NoPostgres("PostgreSQL does not run as root, and there is neither postgres nor nobody to run it")
    folder = Path(tempfile.mkdtemp(prefix="burnish-postgres-"))
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    data, port = folder / "data", free_port()
    words = ["-U", "burnish", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"]
    subprocess.run([initdb, *words, data], user=user, check=True, capture_output=True, cwd=folder)
    options = {"port": port, "unix_socket_directories": folder, "max_connections": 120}
    options |= {} if is_safe else {"fsync": "off"}
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


@contextmanager
def new_database(server: str, name: str, template: str = "template1") -> Iterator[str]:
    """The address of a database of this name on a server, dropped at the end.

    Args:
        server: its address.
        name: of the new database.
        template: the database that it is a copy of.
    """
    engine = sqlalchemy.create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield f"{server}/{name}"
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _unprivileged() -> str | None:
    """Who runs it; None if that is we, or if there is nobody."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)


def _wait(address: str) -> None:
    engine = sqlalchemy.create_engine(address)
    for _ in range(300):
        try:
            engine.connect().close()
            break
        except sqlalchemy.exc.DBAPIError:
            time.sleep(0.1)
    engine.dispose()
