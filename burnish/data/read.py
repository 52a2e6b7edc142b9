"""Read data of any known format into examples: the front door of `burnish.data`.

    dataset = read(DataSettings(path="preference/pairs.jsonl"))
    dataset.examples[0].prompt
    dataset.report.format                  # "preference"

Rows are read in the order of the files and never shuffled. A bad row stops the reading, after all rows have been
looked at, so that the message counts them all; with `on_bad_row: skip` bad rows are dropped, counted and listed.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from burnish.data.files import Rows
from burnish.data.formats import Format, FormatName, format_named
from burnish.data.recognise import converted, recognised
from burnish.data.row import Row
from burnish.data.streams import DataSettings, Reading, data_at, streams
from burnish.errors import BadRow, ConfigError, DataError
from burnish.example import Example

__all__ = ["DataSettings", "Dataset", "Reading", "Report", "data_at", "read"]

_FIRST_ROWS = 32
"""How many rows of a file its format is recognised from."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was read.

    Attributes:
        source: the path as it was given.
        format: the format, recognised or given.
        files: names of the files, or of the hub data set.
        rows: rows looked at.
        examples: examples made of them.
        bad: the rows that were dropped.
        notes: what the user should know but need not act on.
    """

    source: str
    format: FormatName
    files: tuple[str, ...]
    rows: int
    examples: int
    bad: tuple[BadRow, ...] = ()
    notes: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """The same as plain data, for `run.json`."""
        bad = [str(error) for error in self.bad]
        return {"format": self.format, "rows": self.rows, "examples": self.examples, "bad_rows": bad}


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Examples, and the report of how they were read."""

    examples: tuple[Example, ...]
    report: Report


def read(settings: DataSettings) -> Dataset:
    """Read the examples that `settings` name.

    Raises:
        BadRow: `on_bad_row` is "stop" and a row is bad; the message also counts the others.
        DataError: nothing is there, a file cannot be read, its format is not known, or no row is good.
        ConfigError: a setting does not go with what the path names.
    """
    reading = _Reading(settings)
    for name, rows in streams(settings, reading.notes.append):
        reading.add(name, rows)
        if reading.full():
            break
    return reading.dataset()


@dataclass
class _Reading:
    """The state of one `read`."""

    settings: DataSettings
    examples: list[Example] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)
    form: Format | None = None
    rows: int = 0

    def add(self, name: str, rows: Rows) -> None:
        """Read one stream of rows."""
        self.files.append(name)
        first = list(itertools.islice(rows, _FIRST_ROWS))
        if not first:
            self.notes.append(f"{name}: empty")
            return
        form = self._format(name, [row for row in first if isinstance(row, Row)])
        for row in itertools.chain(first, rows):
            self.rows += 1
            try:
                self._keep(row, form)
            except BadRow as error:
                self.bad.append(error)
            if self.full():
                break

    def full(self) -> bool:
        """Whether the limit is reached."""
        return self.settings.limit is not None and len(self.examples) >= self.settings.limit

    def dataset(self) -> Dataset:
        """What was read, or the error if it cannot be used."""
        if self.rows == 0:
            raise DataError(f"{self.settings.path} is empty: found no rows; expected at least one")
        if self.bad and (self.settings.on_bad_row == "stop" or self.form is None or not self.examples):
            raise _refusal(self.bad, self.rows)
        assert self.form is not None  # rows that are not bad have one
        report = Report(
            source=self.settings.path,
            format=self.form.name,
            files=tuple(self.files),
            rows=self.rows,
            examples=len(self.examples),
            bad=tuple(self.bad),
            notes=tuple(self.notes),
        )
        return Dataset(examples=tuple(self.examples[: self.settings.limit]), report=report)

    def _keep(self, row: Row | BadRow, form: Format | None) -> None:
        if isinstance(row, BadRow):
            raise row
        assert form is not None  # a stream with a Row in it has a format
        for example in converted(row, form, strict=self.settings.format is None):
            place = f"{row.file}, row {row.line}"
            if (before := self.ids.setdefault(example.id, place)) != place:
                allowed = (
                    f"an id of its own (first in {before}); to number the rows instead, ignore: [{row.name('id')}]"
                )
                raise row.bad("id", repr(example.id), allowed)
            self.examples.append(example)

    def _format(self, name: str, rows: Sequence[Row]) -> Format | None:
        if not rows:
            return None
        _columns_exist(self.settings, rows)
        given = self.settings.format
        form = format_named(given) if given else recognised(rows)
        if self.form is not None and form is not self.form:
            known = f"{self.files[0]} has the format '{self.form.name}', {name} has '{form.name}'"
            raise DataError(f"{known}; read them one by one, or choose with format: {form.name}")
        self.form = form
        return form


def _columns_exist(settings: DataSettings, rows: Sequence[Row]) -> None:
    there = sorted({name for row in rows for name in row.values})
    for field_name, name in (settings.columns or {}).items():
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"columns are: {', '.join(there)}"
            raise ConfigError([f"columns.{field_name}: {rows[0].file} has no column '{name}'; {hint}"])


def _refusal(bad: Sequence[BadRow], rows: int) -> BadRow:
    """The first bad row as an error that also tells of the others, and what to do."""
    first = bad[0]
    error = BadRow(file=first.file, line=first.line, field=first.field, found=first.found, allowed=first.allowed)
    others = [str(other.line) for other in bad[1:11]] + ["..."] * (len(bad) > 11)
    count = f"{len(bad)} of {rows} rows are bad" + (f", also: {', '.join(others)}" if others else "")
    remedy = "" if len(bad) == rows else "; to drop, list and count them: on_bad_row: skip (--on-bad-row skip)"
    error.args = (f"{first}\n{count}{remedy}",)
    return error
