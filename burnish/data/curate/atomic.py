"""Files that are whole or not there: written beside their place, flushed to the disk, and renamed into it.

A killed process leaves at most a file whose name ends in `.new`, which nothing reads and the next try overwrites. A
full disk is an error that says so; the half-written file is removed, and everything that was finished stays.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from burnish.errors import StoreError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to; at the end of the block it becomes `path` in one step.

    Raises:
        StoreError: it cannot be written; says so if the disk is full.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise StoreError(_cause(path, error)) from error
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def _cause(path: Path, error: OSError) -> str:
    if error.errno not in _FULL:
        return f"{path} cannot be written: {error}"
    free = ""
    with contextlib.suppress(OSError):
        free = f", {shutil.disk_usage(path.parent).free / 1e6:.1f} MB are free"
    remedy = "make room and run the same command again: what is finished is kept"
    return f"{path} cannot be written: no space is left ({error.strerror or error}{free}); {remedy}"


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table as Parquet; the same table gives the same bytes."""
    with whole(path) as beside:
        pyarrow.parquet.write_table(table, beside, compression="zstd", row_group_size=65536)


def write_arrow(path: Path, table: pa.Table) -> None:
    """Write a table as an Arrow file with one batch, so that slices of it can be read in place."""
    with whole(path) as beside, pa.OSFile(str(beside), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def read_arrow(path: Path) -> pa.Table:
    """The table of an Arrow file, in place: its pages are read when they are looked at."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(use_threads=False)).read_all()


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of a Parquet file, or some of its columns."""
    names = list(columns) if columns is not None else None
    with pyarrow.parquet.ParquetFile(path) as file:
        return file.read(columns=names, use_threads=False)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object."""
    with whole(path) as beside:
        beside.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, None if there is none that is whole."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    return found if isinstance(found, dict) else None
