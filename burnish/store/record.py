"""`run.json`: read whole, written whole, never half."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnish.errors import StoreError

RECORD = "run.json"
"""The file in a run folder that says what made it; its `state` is "running" or "finished"."""


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a run folder, None if there is none.

    Raises:
        StoreError: it is not a JSON object.
    """
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read as JSON ({error}); move the folder away and run again") from None
    if not isinstance(record, dict):
        raise StoreError(f"{path} holds a {type(record).__name__}; expected an object; move the folder away")
    return record


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the record beside its place, flush it to the disk, and put it there in one step."""
    path = folder / RECORD
    beside = path.with_suffix(".json.new")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=2, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
