"""Raw rows of CSV, TSV and Parquet files and of tables of the `datasets` library.

A CSV row is numbered by the line on which it begins, so that a cell may hold line breaks; an empty cell is null. Arrow
tables give every object in a column the same keys and fill the gaps with nulls; inside objects these are taken out
again. Values that JSON cannot hold (dates, decimals) become text or numbers; others (images, bytes) are refused by
column.
"""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from burnish.data.files import Rows, Source, whole_text
from burnish.data.row import Row
from burnish.errors import BadRow, DataError, shown


def csv_rows(path: Path, source: Source) -> Rows:
    """The rows of a CSV or TSV file with a header line.

    Raises:
        DataError: there is no usable header.
    """
    delimiter = "\t" if ".tsv" in path.suffixes else ","
    reader = csv.reader(io.StringIO(whole_text(path, source), newline=""), delimiter=delimiter, strict=True)
    with _long_cells():
        header = _header(reader, source)
        if repeated := sorted({name for name in header if header.count(name) > 1 or not name.strip()}):
            raise DataError(f"{source.name}, line 1: column names {shown(repeated)} are empty or repeated")
        yield from _csv_body(reader, header, source)


def _header(reader: Any, source: Source) -> list[str]:
    try:
        return list(next(reader, []))
    except csv.Error as error:
        raise DataError(f"{source.name}, line 1: {error}; expected a header line, cells in quotes closed") from error


def _csv_body(reader: Any, header: list[str], source: Source) -> Rows:
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield source.bad(line, str(error), "cells in quotes that are closed")
            continue
        if not cells:
            continue
        if len(cells) != len(header):
            yield source.bad(line, f"{len(cells)} cells", f"{len(header)}, one for each column of the header")
            continue
        yield source.row({name: cell or None for name, cell in zip(header, cells, strict=True)}, line, "csv")


@contextmanager
def _long_cells() -> Iterator[None]:
    """The csv module refuses cells over 128 KiB unless its limit is raised; put back afterwards."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def parquet_rows(path: Path, source: Source) -> Rows:
    """The rows of a Parquet file.

    Raises:
        DataError: it is not one.
    """
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    number += 1
                    yield table_row(values, number, source)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{source.name}: cannot be read as Parquet: {error}") from error


def dataset_rows(data: Iterable[Mapping[str, Any]], source: Source) -> Rows:
    """The rows of a table of the `datasets` library."""
    for number, values in enumerate(data, start=1):
        yield table_row(values, number, source)


def table_row(values: Mapping[str, Any], number: int, source: Source) -> Row | BadRow:
    """A row of an Arrow table, as plain data."""
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if name in source.ignore:
            continue
        try:
            plain[name] = _plain(value)
        except TypeError as error:
            allowed = f"text, numbers, lists or objects; leave the column out with ignore: [{name}]"
            return source.bad(number, f"a value of type {error}", allowed, field=name)
    return source.row(plain, number, "arrow")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    raise TypeError(type(value).__name__)
