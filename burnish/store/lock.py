"""One process per folder: an exclusive lock on a hidden file beside it, freed by the kernel when the process dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from burnish.errors import Busy, StoreError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the folder itself need not exist.

    Raises:
        Busy: another process, or another call in this one, holds it; names the holder.
        StoreError: the lock file cannot be written.
    """
    folder = folder.resolve()
    path = _lock_file(folder)
    handle = _acquired(path, folder)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is still held, so that nobody else's file is removed
        os.close(handle)


def is_locked(folder: Path) -> bool:
    """Whether a process holds the folder now."""
    try:
        handle = os.open(_lock_file(folder.resolve()), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _acquired(path: Path, folder: Path) -> int:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError(f"cannot write beside {folder}: {error}; choose a folder that you may write to") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(handle)
            os.close(handle)
            raise Busy(f"{folder} is in use by {holder}; wait for it to end, or choose another folder") from None
        if _is_current(handle, path):
            me = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now().isoformat("T", "seconds")}
            os.ftruncate(handle, 0)
            os.write(handle, json.dumps(me).encode())
            return handle
        os.close(handle)  # the holder removed the file between our open and our lock


def _is_current(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _holder(handle: int) -> str:
    try:
        holder = json.loads(os.pread(handle, 4096, 0))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (ValueError, KeyError):
        return "another process"
