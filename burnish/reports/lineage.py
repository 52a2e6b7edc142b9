"""Lineage: every run that a set of runs was made from, found by following `inputs` in their `run.json`.

An input with the key `artefact:KEY` is another run. It lies beside the run that names it, in a folder called
`<verb>-<first digits of KEY>` (how a recipe's store is laid out; so a store can be moved), or where its path says.
Everything else, such as a hub name or a data file, is an outside source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from burnish.reports.records import Input, Run, read_run
from burnish.store import RECORD, run_folder_of

DIGITS_IN_FOLDER = 16
"""How much of an artefact's key stands in the name of its folder."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A run or an outside source.

    Attributes:
        id: unique in its lineage.
        name: its stage in the recipe, else what the caller calls it, else its verb; numbered if not unique.
        key: the key of its content, "" where it has none.
        run: the run, None for an outside source.
        parents: ids of what it was made from, in the order of its settings.
    """

    id: str
    name: str
    key: str
    run: Run | None
    parents: tuple[str, ...] = ()


def lineage(folders: Iterable[Path], names: Mapping[Path, str] | None = None) -> tuple[Node, ...]:
    """The runs in `folders` and everything upstream of them, each after what it was made from.

    Args:
        folders: run folders.
        names: what to call folders that no recipe made.

    Raises:
        StoreError: one of the folders, or a run upstream, cannot be read; names the file.
    """
    runs: dict[Path, Run] = {}
    order: list[Path] = []
    parents: dict[Path, list[Path | Input]] = {}
    for folder in folders:
        _visit(folder.resolve(), runs, parents, order)
    called = {path.resolve(): name for path, name in (names or {}).items()}
    titles = _unique_names([called.get(path, "") for path in order], [runs[path] for path in order])
    nodes: dict[str, Node] = {}
    for path, title in zip(order, titles, strict=True):
        for parent in parents[path]:
            if isinstance(parent, Input):
                source = _source(parent)
                nodes.setdefault(source.id, source)
        ids = [_source(p).id if isinstance(p, Input) else str(p) for p in parents[path]]
        run = runs[path]
        nodes[str(path)] = Node(id=str(path), name=title, key=run.key, run=run, parents=tuple(dict.fromkeys(ids)))
    return tuple(nodes.values())


def _visit(folder: Path, runs: dict[Path, Run], parents: dict[Path, list[Path | Input]], order: list[Path]) -> None:
    """Read a run, first those that it was made from; `order` gets it after them."""
    if folder in runs:
        return
    runs[folder] = read_run(folder)
    parents[folder] = [_folder_of(item, folder) or item for item in runs[folder].inputs]
    for parent in parents[folder]:
        if isinstance(parent, Path):
            _visit(parent, runs, parents, order)
    order.append(folder)


def _folder_of(item: Input, beside: Path) -> Path | None:
    key = artefact_key(item.key)
    if not key:
        return None
    for folder in sorted(beside.parent.glob(f"*-{key[:DIGITS_IN_FOLDER]}")):
        if folder != beside and (folder / RECORD).is_file():
            return folder
    path = Path(item.path).expanduser()  # may be the model/ or the examples.jsonl of the run
    found = run_folder_of(path) if path.exists() else None
    return found[0] if found and found[0] != beside else None


def artefact_key(key: str) -> str:
    """The key of the run in `artefact:KEY` or `artefact:KEY/part`, "" for the key of anything else."""
    return key.removeprefix("artefact:").partition("/")[0] if key.startswith("artefact:") else ""


def short_key(key: str) -> str:
    """A key as it is shown: ten digits of a hash, the whole of a name with its version."""
    kind, colon, rest = key.partition(":")
    if not colon or kind in ("sha256", "artefact"):
        return (rest if colon else key)[:10]
    return rest


def _source(item: Input) -> Node:
    name = PurePath(item.path).name or item.path or item.field
    return Node(id=f"source {item.path} {item.key}", name=name, key=item.key, run=None)


def _unique_names(called: Sequence[str], runs: Sequence[Run]) -> list[str]:
    names: list[str] = []
    for given, run in zip(called, runs, strict=True):
        base, count = run.stage or given or run.verb, 2
        name = base
        while name in names:
            name, count = f"{base} {count}", count + 1
        names.append(name)
    return names
