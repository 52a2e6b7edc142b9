"""Raw rows of JSON, JSONL and text files, plain or compressed; the other kinds are in `burnish.data.tables`.

A reader is a generator of `Row`s. A row that cannot be read stands in the stream as its `BadRow`, so that the rest of
the file can still be used; a file that cannot be read at all raises `DataError`. Line numbers are those of the file
(an editor jumps to them); a JSON list has row numbers. Files are UTF-8; a byte-order mark and Windows line ends are
taken off, and noted. JSON's NaN, which some tools write for an empty cell, reads as null.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, cast

import pyarrow

from burnish.data.formats import FORMATS
from burnish.data.row import Kind, Row
from burnish.errors import BadRow, DataError, shown

Documents = Literal["file", "paragraphs", "endoftext"]
Rows = Iterator[Row | BadRow]

COMPRESSED = (".gz", ".zst")
_BREAKS: Mapping[Documents, re.Pattern[str]] = {
    "file": re.compile(r"(?!)"),
    "paragraphs": re.compile(r"\n(?:[ \t]*\n)+"),
    "endoftext": re.compile(re.escape("<|endoftext|>")),
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a reader has to know besides the path.

    Attributes:
        name: how the source is called in messages.
        stem: goes in front of ids that are made from row numbers.
        names, ignore: as in `Row`.
        documents: where a text file is cut.
        split: the key of a JSON object under which the rows stand, if there are several.
        note: hears what the user should know but need not act on.
    """

    name: str
    stem: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    ignore: frozenset[str] = frozenset()
    documents: Documents = "file"
    split: str | None = None
    note: Callable[[str], None]

    def row(self, values: Any, line: int, kind: Kind = "json") -> Row | BadRow:
        """A row, or the error if it is not an object."""
        if not isinstance(values, Mapping):
            return self.bad(line, shown(values), "an object with named fields")
        return Row(
            values=values, file=self.name, line=line, kind=kind, names=self.names, ignore=self.ignore, stem=self.stem
        )

    def bad(self, line: int, found: str, allowed: str, *, field: str = "(whole row)") -> BadRow:
        """The error for a row that cannot be read at all."""
        return BadRow(file=self.name, line=line, field=field, found=found, allowed=allowed)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked if it ends in `.gz` or `.zst`.

    Raises:
        DataError: it cannot be opened or unpacked.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                yield cast(IO[bytes], file)
        elif path.suffix == ".zst":
            with pyarrow.input_stream(str(path), compression="zstd") as stream, io.BufferedReader(stream) as buffered:
                yield buffered
        else:
            with path.open("rb") as plain:
                yield plain
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def whole_text(path: Path, source: Source) -> str:
    """The text of a file.

    Raises:
        DataError: it is not UTF-8.
    """
    with opened(path) as file:
        data = file.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{source.name}, line {line}: {_not_utf8(error)}") from error
    _note_oddities(data[:65536], source)
    return text.replace("\r\n", "\n") if path.suffix == ".txt" else text


def json_lines(path: Path, source: Source) -> Rows:
    """The rows of a file with one JSON object a line; blank lines are passed over."""
    with opened(path) as file:
        for line, data in enumerate(file, start=1):
            if line == 1:
                _note_oddities(data, source)
            if row := _line(data, line, source):
                yield row


def json_rows(path: Path, source: Source) -> Rows:
    """The rows of a JSON file: a list of objects, that list under a key of an object, or a single row.

    A `.json` file that holds one object a line, as many are published, is read so.

    Raises:
        DataError: it is not JSON, or it is not plain where the rows stand.
    """
    text = whole_text(path, source)
    if not text.strip():
        return
    try:
        data = json.loads(text, parse_constant=_nothing)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            yield from json_lines(path, source)
            return
        where = f"{source.name}, line {error.lineno}, column {error.colno}"
        found = "it ends too early; is it cut off?" if _cut_off(error) else error.msg
        raise DataError(f"{where}: not JSON ({found}); expected a list of rows, complete to its last ']'") from error
    for number, values in enumerate(_listed(data, source), start=1):
        yield source.row(values, number)


def text_rows(path: Path, source: Source) -> Rows:
    """The documents of a text file: all of it, or its parts (`documents`); the line is that of their beginning."""
    for line, part in text_parts(whole_text(path, source), source.documents):
        yield source.row({"text": part}, line)


def text_parts(text: str, documents: Documents) -> Iterator[tuple[int, str]]:
    """The documents of a text that are not blank, each with the line on which it begins."""
    start, line = 0, 1
    for match in _BREAKS[documents].finditer(text):
        if text[start : match.start()].strip():
            yield line, text[start : match.start()]
        line += text.count("\n", start, match.end())
        start = match.end()
    if text[start:].strip():
        yield line, text[start:]


def _line(data: bytes, line: int, source: Source) -> Row | BadRow | None:
    try:
        text = data.decode("utf-8-sig" if line == 1 else "utf-8").strip()
        return source.row(json.loads(text, parse_constant=_nothing), line) if text else None
    except UnicodeDecodeError as error:
        return source.bad(line, _not_utf8(error), "text in UTF-8")
    except json.JSONDecodeError as error:
        return source.bad(line, shown(text), f"a JSON object on a line ({error.msg}, column {error.colno})")


def _listed(data: Any, source: Source) -> list[Any]:
    if isinstance(data, list):
        if source.split is not None:
            raise DataError(f"{source.name}: a list of rows has no splits; leave out split: {source.split}")
        return data
    if not isinstance(data, Mapping):
        raise DataError(f"{source.name}: found {shown(data)}; expected a list of rows")
    lists = {key: value for key, value in data.items() if isinstance(value, list) and _are_rows(value)}
    if source.split is not None:
        if source.split not in lists:
            raise DataError(f"{source.name}: no rows under split '{source.split}'; {_keys(lists)}")
        return list(lists[source.split])
    single = source.row(data, 1)
    if isinstance(single, Row) and any(form.fits(single.fields()) for form in FORMATS):
        return [data]
    if len(lists) != 1:
        raise DataError(f"{source.name}: an object; {_keys(lists)}; expected a list of rows, or one key that holds it")
    ((key, rows),) = lists.items()
    others = [name for name in data if name != key]
    source.note(
        f"{source.name}: rows are read from the key '{key}'" + (f"; left out: {', '.join(others)}" * bool(others))
    )
    return list(rows)


def _keys(lists: Mapping[str, Any]) -> str:
    names = list(lists)
    if len(names) > 1:
        return f"lists of rows stand under {', '.join(names)}; choose one with split: {names[0]}"
    return f"lists of rows stand under {names[0]}" if names else "no key holds a list of rows"


def _are_rows(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(item, Mapping) for item in value)


def _nothing(constant: str) -> None:
    return None


def _cut_off(error: json.JSONDecodeError) -> bool:
    return error.msg.startswith("Unterminated string") or not error.doc[error.pos :].strip()


def _not_utf8(error: UnicodeDecodeError) -> str:
    """What the bytes are instead, and how to convert them."""
    data = bytes(error.object[:2])
    guess = "UTF-16" if data in (b"\xff\xfe", b"\xfe\xff") else "WINDOWS-1252"
    remedy = f"convert the file, for example: iconv -f {guess} -t UTF-8 OLD > NEW"
    return f"byte 0x{error.object[error.start]:02x}, which is not UTF-8; {remedy}"


def _note_oddities(data: bytes, source: Source) -> None:
    if data.startswith(b"\xef\xbb\xbf"):
        source.note(f"{source.name}: the byte-order mark at the beginning is taken off")
    if b"\r\n" in data:
        source.note(f"{source.name}: Windows line ends (CRLF) are read as plain ones")
