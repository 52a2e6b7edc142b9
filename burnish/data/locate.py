"""Where data lies: files, a folder, a finished run, a saved `datasets` folder, or a name on the hub; its fingerprint.

    sft/alpaca.json                          a file
    corpus/                                  every data file in it and below, in the order of their names
    runs/pairs                               a run of Burnish: its examples.jsonl
    saved/                                   written by `datasets.Dataset.save_to_disk`
    owner/name@revision:split                on the hub; revision and split may be left out

What exists on disk is never taken for a hub name.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub

from burnish.data.files import COMPRESSED
from burnish.errors import DataError

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".txt")
_HUB = re.compile(r"(?P<name>[\w-][\w.-]*(?:/[\w-][\w.-]*)?)(?:@(?P<revision>[\w./-]+))?(?::(?P<split>.+))?")
_SPLIT_WORDS = re.compile(r"(?<![a-z])(train|validation|valid|val|dev|test)(?![a-z])")
_NOT_ROWS = ("dataset_info.json", "dataset_infos.json")


@dataclass(frozen=True, kw_only=True)
class Files:
    """Data files; `root` is taken off their names in messages' ids."""

    paths: tuple[Path, ...]
    root: Path


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A folder written by `save_to_disk`."""

    path: Path


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A data set on the hub."""

    name: str
    revision: str | None = None
    split: str | None = None


def located(path: str) -> Files | Saved | Hub:
    """What `path` names.

    Raises:
        DataError: nothing is there, or nothing that holds rows.
    """
    local = Path(path).expanduser()
    if local.is_file():
        if suffix(local) not in SUFFIXES:
            raise DataError(f"{local}: unknown kind of file '{local.suffix}'; expected one of {', '.join(SUFFIXES)}")
        return Files(paths=(local,), root=local.parent)
    if local.is_dir():
        return _folder(local)
    match = _HUB.fullmatch(path)
    if match is None or suffix(local) in SUFFIXES:
        raise DataError(f"no such file or folder: {local}{_nearest(local)}")
    return Hub(name=match["name"], revision=match["revision"], split=match["split"])


def suffix(path: Path) -> str:
    """The kind of a file: its last suffix but that of a compression."""
    return Path(path.stem).suffix.lower() if path.suffix in COMPRESSED else path.suffix.lower()


def of_split(files: Files, split: str | None) -> Files:
    """The files of one split, told by a word in their names (`data/train-00000.parquet`).

    Raises:
        DataError: there are several splits and none is chosen, or not the one that is.
    """
    words = {path: _split_word(path.relative_to(files.root)) for path in files.paths}
    splits = sorted({word for word in words.values() if word})
    if split is None:
        if len(splits) > 1:
            raise DataError(f"{files.root} holds the splits {', '.join(splits)}; choose one with split: {splits[0]}")
        return files
    paths = tuple(path for path, word in words.items() if word == split)
    if not paths:
        there = f"splits there: {', '.join(splits)}" if splits else "its files name no splits; leave out split"
        raise DataError(f"{files.root} has no files of split '{split}'; {there}")
    return Files(paths=paths, root=files.root)


def fingerprint(path: str) -> str:
    """A SHA-256 (hex) that changes with the data, for the identity of a run.

    A file: of its bytes. A folder: of the names and bytes of its data files. A hub name: of the name and the commit
    that it stands for now; without a connection, of the revision as it is written.

    Raises:
        DataError: nothing is there.
    """
    place = located(path)
    if isinstance(place, Hub):
        return _sha256([place.name, _commit(place)])
    if isinstance(place, Files) and len(place.paths) == 1:
        return _file_sha256(place.paths[0])
    root = place.path if isinstance(place, Saved) else place.root
    paths = sorted(root.rglob("*.arrow")) if isinstance(place, Saved) else place.paths
    return _sha256([item for file in paths for item in (file.relative_to(root).as_posix(), _file_sha256(file))])


def _folder(path: Path) -> Files | Saved:
    if (path / "examples.jsonl").is_file():
        return Files(paths=(path / "examples.jsonl",), root=path)
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        return Saved(path=path)
    if (path / "run.json").is_file():
        raise DataError(f"{path} is a run without examples.jsonl: it is not finished, or its stage makes no data")
    paths = [file for file in path.rglob("*") if suffix(file) in SUFFIXES and file.is_file()]
    shown = [file for file in paths if not _hidden(file.relative_to(path)) and file.name not in _NOT_ROWS]
    if not shown:
        raise DataError(f"{path}: no data files in this folder; expected some of {', '.join(SUFFIXES)}")
    return Files(paths=tuple(sorted(shown, key=lambda file: file.relative_to(path).as_posix())), root=path)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _split_word(path: Path) -> str | None:
    match = _SPLIT_WORDS.search(path.as_posix().lower())
    return match[1] if match else None


def _nearest(path: Path) -> str:
    beside = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=1)
    return f"; did you mean {path.parent / near[0]}?" if near else ""


def _commit(hub: Hub) -> str:
    try:
        info = huggingface_hub.HfApi().dataset_info(hub.name, revision=hub.revision, timeout=10)
    except (OSError, ValueError):
        return hub.revision or "main"
    return info.sha or hub.revision or "main"


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
