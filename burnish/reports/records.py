"""Readers of run records: what a folder says of the run that made it.

A run folder holds `run.json` and, if the run trained, `metrics.jsonl` (see `burnish.stages.stage`). Everything that the
report shows comes through this file or `evaluations.py`, so that a missing or damaged file is named here, once, with
what to do about it. An unfinished run can be read too; the report says that it is unfinished.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.errors import StoreError, shown
from burnish.stats import Interval
from burnish.store import RECORD, read_record

Row = Mapping[str, float]
"""The finite numbers of one line of `metrics.jsonl`, by name."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """Something that a run was made from.

    Attributes:
        field: the setting that named it, such as `model`.
        path: what it was: a folder, a file or a hub name.
        key: the key of its content, "" where it has none.
    """

    field: str
    path: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run folder says of itself.

    Attributes:
        folder: where it lies.
        verb: the stage's verb.
        stage: the name of the stage in its recipe, "" for a single verb.
        key: the artefact's key, "" where it has none.
        finished: whether the run came to its end.
        settings: the resolved config.
        seconds: wall clock of the run, None if not recorded.
        peak_memory_bytes: largest memory of the process, None if not recorded.
        versions: of the libraries, by name.
        inputs: what it was made from.
        template_hash: hash of the chat template, "" where there is none.
        before: figures of the model before the first update, None or empty if none were taken.
        steps: the lines of `metrics.jsonl`, empty if the run does not train.
    """

    folder: Path
    verb: str
    stage: str = ""
    key: str = ""
    finished: bool = True
    settings: Mapping[str, Any]
    seconds: float | None = None
    peak_memory_bytes: int | None = None
    versions: Mapping[str, str]
    inputs: tuple[Input, ...] = ()
    template_hash: str = ""
    before: Row | None = None
    steps: tuple[Row, ...] = ()

    @property
    def num_tokens(self) -> int | None:
        """Tokens trained on, None if the run does not train."""
        return round(sum(row["tokens"] for row in self.steps if "tokens" in row)) if self.steps else None


def read_run(folder: Path) -> Run:
    """Read `run.json` and, if it is there, `metrics.jsonl`.

    Raises:
        StoreError: the folder is no run folder, or one of the files is damaged; names the file.
    """
    path = folder / RECORD
    record = read_record(folder)
    if record is None:
        raise StoreError(f"{folder} is not a run folder: there is no {path}; give the --out folder of a finished run")
    finished = record.get("state") == "finished"
    return Run(
        folder=folder,
        verb=_text(record, "verb", path),
        stage=_text(record, "stage", path, default=""),
        key=_text(record, "key", path, default=""),
        finished=finished,
        settings=_mapping(record, "settings", path),
        seconds=_number(record, "seconds", path),
        peak_memory_bytes=_whole(_number(record, "peak_memory_bytes", path)),
        versions={name: str(value) for name, value in _mapping(record, "versions", path).items()},
        inputs=tuple(_inputs(_mapping(record, "inputs", path), path)),
        template_hash=_text(record, "template_hash", path, default=""),
        before=_finite(_mapping(record, "before", path)),
        steps=read_steps(folder / "metrics.jsonl", whole=finished),
    )


def read_steps(path: Path, *, whole: bool = True) -> tuple[Row, ...]:
    """The lines of a `metrics.jsonl`, () if there is no such file; numbers that are not finite are left out.

    Args:
        path: the file.
        whole: whether the run has ended; the last line of one that goes on may be cut.

    Raises:
        StoreError: a line is not a JSON object with a `step`; names the file and the line.
    """
    if not path.is_file():
        return ()
    lines = _read_text(path).splitlines()
    rows: list[Row] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines) and not whole:
                break
            raise StoreError(f"{path}, line {number}: found {shown(line)}; expected a JSON object ({error})") from None
        if not isinstance(row, dict) or not _is_number(row.get("step")):
            raise StoreError(f"{path}, line {number}: found {shown(line)}; expected a JSON object with a 'step'")
        rows.append(_finite(row))
    return tuple(rows)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file.

    Raises:
        StoreError: the file cannot be read, is not JSON, or is not an object; names the file.
    """
    text = _read_text(path)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise StoreError(
            f"{path} is damaged: found {shown(text)}; expected JSON ({error}). Run its stage again"
        ) from None
    if not isinstance(value, dict):
        raise StoreError(f"{path} is damaged: found {shown(value)}; expected a JSON object. Run its stage again")
    return value


@contextmanager
def figures_of(what: str, path: Path) -> Iterator[None]:
    """Around code that takes figures out of a file: where one is missing or of another type, the file is named.

    Args:
        what: was measured, with its article.
        path: of the file.

    Raises:
        StoreError: the code met something else than it expects, or the file cannot be opened.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise StoreError(
            f"{path} lacks a figure of {what} ({type(error).__name__}: {error}). Run its stage again"
        ) from error


def interval_of(row: Mapping[str, Any], name: str = "estimate") -> Interval:
    """The interval that a row of figures holds as `low`, `high` and `count`, around the figure `name`."""
    estimate, low, high = (float(row[key]) for key in (name, "low", "high"))
    return Interval(estimate=estimate, low=low, high=high, count=int(row["count"]))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} cannot be read as UTF-8 text: {error}") from None


def _finite(row: Mapping[str, Any]) -> Row:
    """The finite numbers of a row."""
    return {name: float(value) for name, value in row.items() if _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _text(record: Mapping[str, Any], name: str, path: Path, *, default: str | None = None) -> str:
    value = record.get(name, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise StoreError(f"{path}: '{name}' is {shown(value)}; expected a string")
    return value


def _mapping(record: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    value = record.get(name, {})
    if not isinstance(value, dict):
        raise StoreError(f"{path}: '{name}' is {shown(value)}; expected an object")
    return value


def _number(record: Mapping[str, Any], name: str, path: Path) -> float | None:
    value = record.get(name)
    if value is not None and not _is_number(value):
        raise StoreError(f"{path}: '{name}' is {shown(value)}; expected a number")
    return value


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _inputs(values: Mapping[str, Any], path: Path) -> Iterator[Input]:
    for field, value in values.items():
        if isinstance(value, dict) and isinstance(value.get("path"), str):
            yield Input(field=field, path=value["path"], key=str(value.get("key") or ""))
        elif isinstance(value, dict):  # a setting that names several things
            yield from _inputs({f"{field}.{name}": item for name, item in value.items()}, path)
        elif isinstance(value, list):
            yield from _inputs({f"{field}[{number}]": item for number, item in enumerate(value)}, path)
        elif value is not None:
            raise StoreError(f"{path}: 'inputs.{field}' is {shown(value)}; expected an object with path and key")
