"""The files of a crawl as documents: a reader for each kind of file, and nothing that a file holds stops the rest.

What is wrong with a row or a file is an incident among the documents (`burnish.data.curate.intake`). Of a JSONL file
that was packed in several gzip members, a damaged one loses itself alone (`burnish.data.curate.members`). Rows are read
one by one, and lines up to a length, so that memory does not grow with the file; JSON, CSV and text files are read
whole.
"""

from __future__ import annotations

import io
import itertools
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet

from burnish.data.curate.intake import Document, Incident, Intake, document_of
from burnish.data.curate.members import DamagedMember, GzipMembers
from burnish.data.files import Source, json_rows, opened, text_parts
from burnish.data.locate import suffix
from burnish.data.row import Row
from burnish.data.tables import csv_rows
from burnish.errors import DataError, shown

Found = Iterator[Document | Incident]

_BUFFER = 65536


def documents_in(path: Path, intake: Intake) -> Found:
    """The documents of a file, and what went wrong; never raises for what the file holds.

    Raises:
        DataError: something is wrong, and `damaged` is "stop".
    """
    count = 0
    try:
        for found in _READERS[suffix(path)](path, intake):
            count += 1
            _refuse(path, found, intake)
            yield found
    except (DataError, OSError, EOFError, zlib.error, pa.ArrowException, ValueError, RecursionError) as error:
        if intake.damaged == "stop":
            raise DataError(str(error)) from error
        cause = " ".join(str(error).split())
        yield Incident(row=0, what="corrupt-file", detail=f"after {count} rows: {type(error).__name__}: {cause}")
        return
    if count == 0:
        yield Incident(row=0, what="empty-file", detail="no rows")


def _refuse(path: Path, found: Document | Incident, intake: Intake) -> None:
    if intake.damaged != "stop":
        return
    what = found.what if isinstance(found, Incident) else found.flaw
    if what:
        detail = f" ({found.detail})" if isinstance(found, Incident) else ""
        remedy = "to go on without it: damaged: drop"
        raise DataError(f"{path}, row {found.row}: {what}{detail}, and damaged is 'stop'; {remedy}")


def _json_lines(path: Path, intake: Intake) -> Found:
    if path.suffix == ".gz":
        yield from _packed_lines(path, intake)
        return
    with opened(path) as file:
        yield from _lines(file, intake, itertools.count(1))


def _packed_lines(path: Path, intake: Intake) -> Found:
    """The lines of all gzip members, past damaged ones; the line that breaks off with a member is the row named."""
    numbers = itertools.count(1)
    with GzipMembers(path) as members:
        while True:
            buffered = io.BufferedReader(members, _BUFFER)
            try:
                yield from _lines(buffered, intake, numbers)
                return
            except DamagedMember as damage:
                if not members.resync():
                    raise
                yield Incident(row=next(numbers), what="corrupt-member", detail=str(damage))
            finally:
                buffered.detach()


def _lines(file: IO[bytes], intake: Intake, numbers: Iterator[int]) -> Found:
    while data := file.readline(intake.longest_line):
        number = next(numbers)
        if not data.endswith(b"\n") and len(data) >= intake.longest_line:
            size = len(data) + _skipped(file, intake.longest_line)
            yield Incident(row=number, what="line-too-long", detail=f"{size} bytes in one line")
        elif data.strip():
            yield _json_line(data, number, intake)


def _skipped(file: IO[bytes], block: int) -> int:
    """Go to the end of the line; returns how many bytes it had left."""
    size = 0
    while data := file.readline(block):
        size += len(data)
        if data.endswith(b"\n"):
            break
    return size


def _json_line(data: bytes, number: int, intake: Intake) -> Document | Incident:
    text, broken = _decoded(data.removeprefix(b"\xef\xbb\xbf") if number == 1 else data)
    try:
        values = json.loads(text, parse_constant=_nothing)
    except (ValueError, RecursionError) as error:
        cause = " ".join(str(error).split())
        return Incident(row=number, what="not-json", detail=f"{cause}; found {shown(text.strip())}")
    return document_of(values, number, intake, broken=broken)


def _rows(path: Path, intake: Intake) -> Found:
    source = Source(name=str(path), note=_ignored)
    read = json_rows if suffix(path) == ".json" else csv_rows
    for row in read(path, source):
        if isinstance(row, Row):
            yield document_of(row.values, row.line, intake)
        else:
            yield Incident(row=row.line, what="bad-row", detail=f"found {row.found}; expected {row.allowed}")


def _parquet(path: Path, intake: Intake) -> Found:
    with pyarrow.parquet.ParquetFile(path) as file:
        number = 0
        for batch in file.iter_batches(batch_size=256):
            for row in range(batch.num_rows):
                number += 1
                one = batch.slice(row, 1)
                try:
                    yield document_of(one.to_pylist()[0], number, intake)
                except UnicodeDecodeError:
                    yield document_of(_decoded_row(one), number, intake, broken=True)


def _decoded_row(row: pa.RecordBatch) -> dict[str, Any]:
    """The text columns of a row in which some text is not UTF-8; other columns of such a row are left out."""
    found = {}
    for name, column in zip(row.schema.names, row.columns, strict=True):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            value = column.view(pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary())[0].as_py()
            found[name] = None if value is None else _decoded(value)[0]
    return found


def _text(path: Path, intake: Intake) -> Found:
    with opened(path) as file:
        data = file.read(intake.max_bytes + 1) if intake.documents == "file" else file.read()
    text, broken = _decoded(data.removeprefix(b"\xef\xbb\xbf"))
    for line, part in text_parts(text.replace("\r\n", "\n"), intake.documents):
        yield document_of({"text": part}, line, intake, broken=broken and "\ufffd" in part)


_READERS = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _rows,
    ".csv": _rows,
    ".tsv": _rows,
    ".parquet": _parquet,
    ".txt": _text,
}


def _decoded(data: bytes) -> tuple[str, bool]:
    try:
        return data.decode(), False
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace"), True


def _nothing(constant: str) -> None:
    return None


def _ignored(note: str) -> None:
    return None
