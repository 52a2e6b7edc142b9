"""Columns that are computed once and shared by runs: a number per completion, in a file named by what it depends on.

    runs/store/.columns/reference_logp-3f2a….json       shared by every run beside it

The second run of a sweep reads what the first one computed. A file is written beside and renamed, so two runs at once
are safe: both compute, both write the same. Reading a file marks it as used; `burnish gc` takes those that nobody has
used for a month, and a run that misses one computes it again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.errors import StoreError

COLUMNS = ".columns"
"""The folder of shared columns, beside the run folders that share them."""

UNUSED_DAYS = 30
"""How long a column is kept after its last use."""

Rows = Sequence[Sequence[float]]
"""A row per example, a number per completion."""


def columns_folder(out: Path) -> Path:
    """Where the run in `out` finds shared columns: beside it, which in a recipe is the store.

    The variable BURNISH_COLUMNS names one folder for all runs.
    """
    named = os.environ.get("BURNISH_COLUMNS")
    return Path(named).expanduser() if named else out.parent / COLUMNS


def column_file(folder: Path, name: str, identity: Mapping[str, Any]) -> Path:
    """The file of a column.

    Args:
        folder: of the shared columns.
        name: of the column.
        identity: everything that the values depend on, as JSON.
    """
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return folder / f"{name}-{key}.json"


def read_column(path: Path, counts: Sequence[int]) -> Rows | None:
    """The values in a file, to the bit; None if they are not there. Marks the file as used.

    Args:
        path: from `column_file`.
        counts: completions of each example. A file that does not fit them is damaged, and counts as absent.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["values"]
        fits = [len(row) for row in rows] == list(counts)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not fits:
        return None
    with contextlib.suppress(OSError):  # a cache that may only be read
        path.touch()
    return [tuple(row) for row in rows]


def write_column(path: Path, values: Rows, identity: Mapping[str, Any]) -> None:
    """Put the values into a file, whole or not at all.

    Args:
        path: from `column_file`.
        values: a row per example.
        identity: as given to `column_file`; written beside the values, for people.

    Raises:
        StoreError: the folder cannot be written to.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")  # of this call alone
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps({"identity": identity, "values": values}), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error}; set the variable BURNISH_COLUMNS to a folder that you may write to"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def unused_columns(store: Path) -> Iterator[Path]:
    """Files of the store's shared columns that nobody has used for `UNUSED_DAYS`, leftovers of killed runs included."""
    folder = store / COLUMNS
    if not folder.is_dir():
        return
    oldest = time.time() - UNUSED_DAYS * 24 * 3600
    yield from sorted(path for path in folder.iterdir() if path.is_file() and path.stat().st_mtime < oldest)
