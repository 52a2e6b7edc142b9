"""Artefacts in a store: find one by its key, explain what it was made of, collect what nobody names."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.errors import Busy, StoreError
from burnish.store.columns import UNUSED_DAYS, unused_columns
from burnish.store.identity import Identity, differences
from burnish.store.lock import is_locked, locked
from burnish.store.record import read_record

PART = ".part"
"""What the folder of an unfinished artefact ends with."""


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """A folder that nothing names, or a shared column that nobody uses.

    Attributes:
        folder: where it lies; the file of a column.
        num_bytes: what its removal frees; files that are linked from elsewhere free nothing.
        why: for people.
    """

    folder: Path
    num_bytes: int
    why: str


def find(name: str, store: Path) -> Path:
    """The run folder that `name` stands for.

    Args:
        name: a folder, or the beginning of an artefact's key or folder name.
        store: where to look for keys.

    Raises:
        StoreError: none or several fit; lists them.
    """
    if (folder := Path(name)).is_dir():
        return folder
    keys = {folder: str((read_record(folder) or {}).get("key", "")) for folder in _folders(store)}
    fits = [folder for folder, key in keys.items() if key.startswith(name) or folder.name.startswith(name)]
    if len(fits) == 1:
        return fits[0]
    have = ", ".join(folder.name for folder in (fits or keys)) or "nothing"
    what = "several artefacts" if fits else "no artefact"
    raise StoreError(f"'{name}' names {what} in {store}; it holds: {have}")


def explain(folder: Path, other: Path | None = None) -> list[str]:
    """What a run folder was made of, or in what two of them differ; one line each. Of a recipe's folder, its stages.

    Raises:
        StoreError: a folder is no run folder.
    """
    if other is None and (stages := (read_record(folder) or {}).get("stages")) is not None:
        return [f"{name}: {item['verb']} {item['key']} ({item['folder']})" for name, item in stages.items()]
    made = _identity(folder)
    if other is not None:
        found = differences(made, _identity(other))
        lines = [f"{d.part} {d.name}: {_plain(d.before)} | {_plain(d.now)}" for d in found]
        return [f"{folder} | {other}", *(lines or ["nothing differs: the keys are the same"])]
    record = read_record(folder) or {}
    lines = [
        f"{made.verb} {made.key}",
        f"state {record.get('state')}, started {record.get('started')}, {record.get('seconds')} seconds",
    ]
    for name, item in record["inputs"].items():
        lines.append(f"input {name}: {item['path']} ({item['key']})")
    lines += [f"setting {name}: {_plain(value)}" for name, value in _settings(made.settings, "")]
    lines += [f"code {name}: sha256:{key}" for name, key in made.code.items()]
    lines += [f"version {name}: {version}" for name, version in made.versions.items()]
    lines += [f"continued after: {_plain(step)}" for step in made.grown]
    return lines


def garbage(store: Path, named: Collection[str]) -> list[Garbage]:
    """What can go from the store: artefacts and unfinished ones that are not named and not in use, and old columns.

    Args:
        store: the folder of artefacts.
        named: folder names, as `Identity.folder` gives them, of what the recipes name. An unfinished artefact that is
            named stays, since its recipe goes on there.
    """
    found = []
    for folder in _folders(store):
        if folder.name.removesuffix(PART) in named or is_locked(store / folder.name.removesuffix(PART)):
            continue
        why = "unfinished, and no recipe names it" if folder.name.endswith(PART) else "no recipe names it"
        found.append(Garbage(folder=folder, num_bytes=_freed_bytes(folder), why=why))
    why = f"a shared column that nobody has used for {UNUSED_DAYS} days"
    found += [Garbage(folder=file, num_bytes=file.stat().st_size, why=why) for file in unused_columns(store)]
    return found


def collect(items: Collection[Garbage]) -> list[Garbage]:
    """Remove them, each under its lock; returns what went. What came into use in the meantime stays."""
    gone = []
    for folder in {item.folder.parent for item in items}:
        for doomed in folder.glob(".*.removed"):  # what a killed call left
            shutil.rmtree(doomed, ignore_errors=True)
    for item in items:
        if item.folder.is_file():
            item.folder.unlink(missing_ok=True)  # a run that wants the column computes it again
            gone.append(item)
            continue
        try:
            with locked(item.folder.with_name(item.folder.name.removesuffix(PART))):
                doomed = item.folder.with_name(f".{item.folder.name}.removed")
                item.folder.rename(doomed)  # so that a half-removed artefact is never taken for a whole one
                shutil.rmtree(doomed)
        except Busy:
            continue
        gone.append(item)
    return gone


def _folders(store: Path) -> Iterator[Path]:
    if store.is_dir():
        yield from sorted(path for path in store.iterdir() if path.is_dir() and not path.name.startswith("."))


def _identity(folder: Path) -> Identity:
    record = read_record(folder)
    if record is None:
        raise StoreError(f"{folder} is not a run folder: it has no run.json; give an artefact's key or a run's folder")
    return Identity.read(record)


def _freed_bytes(folder: Path) -> int:
    stats = (path.lstat() for path in folder.rglob("*") if not path.is_dir())
    return sum(stat.st_size for stat in stats if stat.st_nlink == 1)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _settings(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _settings(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item
