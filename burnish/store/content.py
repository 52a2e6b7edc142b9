"""What an input holds, as a key: a file, a folder, a run's artefact, an installed package, a hub repository.

sha256:…                       a file, or the sorted names and contents of a folder
artefact:KEY, artefact:KEY/x   a finished run's folder, or something in it; its files are not read again
pypi:PACKAGE==1.2              an installed package
hub:NAME@REVISION              a hub repository, at the revision that is cached here or that the hub names
url:…                          an address; its content is not looked at
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from burnish.errors import BurnishError, StoreError
from burnish.store.record import read_record

_SETTLED_SECONDS = 2.0
"""A file changed less than this ago may change again under the same time stamp, so its hash is not kept."""

_digests: dict[tuple[str, int, int], str] = {}


def content_key(name: str, known: Mapping[str, str] | None = None) -> str:
    """The key of what `name` stands for.

    Args:
        name: a path, a run's folder, `pypi:PACKAGE`, a URL, or a hub name with an optional `@revision`.
        known: keys of artefacts that do not exist yet, by path.

    Raises:
        StoreError: nothing is there, or it is an unfinished run.
    """
    if known is not None and name in known:
        return known[name]
    if name.startswith("pypi:"):
        return _package_key(name.removeprefix("pypi:"))
    if re.match(r"https?://", name):
        return f"url:{name}"
    path = Path(name).expanduser()
    if path.exists():
        return _path_key(path)
    if re.fullmatch(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?(:[\w.:-]+)?", name) and not _looks_like_file(name):
        return _hub_key(name)
    raise StoreError(f"no such file or folder: {name} (seen from {Path.cwd()})")


def run_folder_of(path: Path) -> tuple[Path, dict[str, Any]] | None:
    """The run folder that is `path` or holds it, with its record; None if there is none."""
    path = path.resolve()
    for folder in (path, *list(path.parents)[:3]):
        record = read_record(folder)
        if record is not None and "key" in record and "verb" in record:
            return folder, record
    return None


def file_digest(path: Path) -> str:
    """SHA-256 of a file; remembered in this process by path, size and time of change."""
    stat = path.stat()
    mark = (str(path.resolve()), stat.st_size, stat.st_mtime_ns)
    if mark in _digests:
        return _digests[mark]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time() - stat.st_mtime > _SETTLED_SECONDS:
        _digests[mark] = digest
    return digest


def _path_key(path: Path) -> str:
    if (found := run_folder_of(path)) is not None:
        folder, record = found
        inside = path.resolve().relative_to(folder).as_posix()
        if record.get("state") == "finished":
            return f"artefact:{record['key']}" + ("" if inside == "." else f"/{inside}")
        if inside == ".":
            raise StoreError(f"{path} holds an unfinished run of '{record['verb']}'; run it again to finish it first")
    if path.is_file():
        return f"sha256:{file_digest(path)}"
    total = hashlib.sha256()
    for name, file in sorted(_files(path)):
        total.update(f"{name}\0{file_digest(file)}\n".encode())
    return f"sha256:{total.hexdigest()}"


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in files:
            path = Path(place, name)
            yield path.relative_to(folder).as_posix(), path


def _package_key(package: str) -> str:
    try:
        return f"pypi:{package}=={importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        raise StoreError(f"the package '{package}' is not installed; type: pip install --no-deps {package}") from None


def _looks_like_file(name: str) -> bool:
    endings = (".json", ".jsonl", ".parquet", ".csv", ".tsv", ".txt", ".gz", ".zst", ".yaml", ".yml", ".gguf", ".py")
    return name.startswith(".") or name.lower().endswith(endings)


def _hub_key(name: str) -> str:
    place, _, part = name.partition(":")
    repository, _, revision = place.partition("@")
    found = _cached_revision(repository, revision or "main") or _hub_revision(repository, revision or "main")
    return f"hub:{repository}@{found}" + (f":{part}" if part else "")


def _cached_revision(repository: str, revision: str) -> str | None:
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    for kind in ("models", "datasets"):
        folder = cache / f"{kind}--{repository.replace('/', '--')}"
        if (folder / "snapshots" / revision).is_dir():
            return revision
        if (reference := folder / "refs" / revision).is_file():
            return reference.read_text(encoding="utf-8").strip()
    return None


def _hub_revision(repository: str, revision: str) -> str:
    """What the hub calls `revision` now; `revision` itself if the hub cannot be asked (then it cannot be loaded)."""
    from burnish.hub import hub_revision  # slow to import

    kinds: tuple[Literal["model", "dataset"], ...] = ("model", "dataset")
    for kind in kinds:
        with contextlib.suppress(BurnishError):
            return hub_revision(repository, revision=revision, kind=kind)
    return revision
