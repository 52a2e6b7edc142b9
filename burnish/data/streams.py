"""What data settings say, and the streams of raw rows that they lead to: one for each file or table."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from burnish.config import setting, settings
from burnish.data.files import Documents, Rows, Source, json_lines, json_rows, text_rows
from burnish.data.formats import FormatName, known_fields
from burnish.data.locate import Files, Hub, Saved, located, of_split, suffix
from burnish.data.tables import csv_rows, dataset_rows, parquet_rows
from burnish.errors import BurnishError, ConfigError, DataError
from burnish.hub import hub_revision

_READERS = {
    ".json": json_rows,
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".parquet": parquet_rows,
    ".txt": text_rows,
}


@settings
class Reading:
    """How data is read."""

    format: FormatName | None = setting(None, "how the rows are shaped; recognised from their fields if not given")
    columns: Mapping[str, str] | None = setting(None, "which column is which field, such as {prompt: question}")
    ignore: tuple[str, ...] = setting((), "columns, and keys of turns, to leave out")
    on_bad_row: Literal["stop", "skip"] = setting("stop", "refuse data with a bad row, or drop, count and list them")
    split: str | None = setting(None, "split to read, where the data has several")
    subset: str | None = setting(None, "configuration of a data set on the hub")
    documents: Documents = setting("file", "what is one document in a .txt file")
    limit: int | None = setting(None, "read no more than this", unit="examples", ge=1)

    def __post_init__(self) -> None:
        for name in self.columns or {}:
            if name not in known_fields():
                near = difflib.get_close_matches(name, known_fields(), n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"fields are: {', '.join(known_fields())}"
                raise ValueError(f"columns: no format has a field '{name}'; {hint}")


@settings
class DataSettings(Reading):
    """Which data to read, and how."""

    path: str = setting(meaning="file, folder, finished run, or hub name (owner/name@revision:split)", source=True)


def data_at(path: str, reading: Reading) -> DataSettings:
    """Which data and how, in one."""
    return DataSettings(path=path, **{field.name: getattr(reading, field.name) for field in fields(reading)})


def streams(settings: DataSettings, note: Callable[[str], None]) -> Iterator[tuple[str, Rows]]:
    """Yield each file's name with its rows.

    Args:
        settings: what to read.
        note: hears what the user should know but need not act on.

    Raises:
        DataError: nothing is there, or it cannot be read.
        ConfigError: a setting does not go with what the path names.
    """
    place = located(settings.path)
    _settings_apply(settings, place)
    if isinstance(place, Files):
        yield from _file_streams(settings, place, note)
        return
    table = _hub_table(settings, place) if isinstance(place, Hub) else _saved_table(settings, place)
    yield settings.path, dataset_rows(table, _source(settings, settings.path, note))


def _file_streams(settings: DataSettings, files: Files, note: Callable[[str], None]) -> Iterator[tuple[str, Rows]]:
    alone = len(files.paths) == 1
    keyed = alone and suffix(files.paths[0]) == ".json"
    chosen = files if keyed else of_split(files, settings.split)
    for path in chosen.paths:
        stem = "" if alone else path.relative_to(files.root).as_posix()
        source = _source(settings, str(path), note, stem=stem, split=settings.split if keyed else None)
        yield str(path), _READERS[suffix(path)](path, source)


def _source(
    settings: DataSettings, name: str, note: Callable[[str], None], *, stem: str = "", split: str | None = None
) -> Source:
    return Source(
        name=name,
        stem=stem,
        names=settings.columns or {},
        ignore=frozenset(settings.ignore),
        documents=settings.documents,
        split=split,
        note=note,
    )


def _settings_apply(settings: DataSettings, place: Files | Saved | Hub) -> None:
    """Refuse settings that nothing would read."""
    mistakes = []
    if settings.subset is not None and not isinstance(place, Hub):
        mistakes.append(f"subset: '{settings.subset}' is for a hub name; {settings.path} is on disk")
    texts = isinstance(place, Files) and any(suffix(path) == ".txt" for path in place.paths)
    if settings.documents != "file" and not texts:
        mistakes.append(f"documents: '{settings.documents}' is for .txt files; {settings.path} has none")
    if isinstance(place, Hub) and place.split and settings.split not in (None, place.split):
        mistakes.append(f"split: '{settings.split}', but the path says '{place.split}'")
    if mistakes:
        raise ConfigError(mistakes)


def _saved_table(settings: DataSettings, saved: Saved) -> Any:
    import datasets  # slow to import

    try:
        table = datasets.load_from_disk(str(saved.path))
    except (OSError, ValueError) as error:
        raise DataError(f"{saved.path}: not a folder that save_to_disk wrote: {error}") from error
    return _one_split(table, settings.split, settings)


def _hub_table(settings: DataSettings, hub: Hub) -> Any:
    import datasets  # slow to import

    split = settings.split or hub.split
    try:
        if not (Path(datasets.config.HF_DATASETS_CACHE) / hub.name.replace("/", "___")).is_dir():
            hub_revision(hub.name, revision=hub.revision, kind="dataset")  # asks once; loading asks for a minute
        table = datasets.load_dataset(hub.name, name=settings.subset, split=split, revision=hub.revision)
    except (OSError, ValueError, RuntimeError, BurnishError) as error:
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"no file or folder '{settings.path}' here, and the hub does not give a data set of that name: {cause}; "
            "expected a path that exists, or owner/name@revision:split and a connection"
        ) from error
    return _one_split(table, split if isinstance(table, Mapping) else None, settings)


def _one_split(table: Any, split: str | None, settings: DataSettings) -> Any:
    """The table of the split, without the columns to ignore: some (images) are slow to decode."""
    if isinstance(table, Mapping):
        if split is None and len(table) > 1:
            names = list(table)
            raise DataError(f"{settings.path} holds the splits {', '.join(names)}; choose one with split: {names[0]}")
        if split is not None and split not in table:
            raise DataError(f"{settings.path} has no split '{split}'; splits there: {', '.join(table)}")
        table = table[split] if split is not None else next(iter(table.values()))
    elif split is not None:
        raise DataError(f"{settings.path} is a single table; leave out split: {split}")
    return table.remove_columns([name for name in table.column_names if name in settings.ignore])
