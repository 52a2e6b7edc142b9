"""Rows of files as documents: robust against everything that a crawl contains.

    a document   text, and id, url, source, other columns where the row has them
    a flaw       what is wrong with a document that can still be named by its id: the ledger has it under `read`
    an incident  what is wrong with a file or a row that gives no document: file, row, cause, in `incidents.parquet`

`damaged` says what happens to flawed texts: `drop` (they are named in the ledger and go no further), `mend` (NUL bytes
go, bytes that are not UTF-8 and lone surrogates become U+FFFD), or `stop`, which also refuses the run at the first
incident. A text over `max_bytes` and an empty one cannot be mended. A file that breaks off in the middle gives the
documents in front of the break; a JSONL file of several gzip members gives those behind the damaged one too. A gzip
member whose checksum is wrong at its end has given its documents by then, and is named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from burnish.config import nearest, setting, settings
from burnish.data.files import Documents as Cut
from burnish.errors import shown

FLAWS = ("too-long", "empty", "invalid-utf8", "nul-bytes", "lone-surrogate")
"""What can be wrong with a document, in the order in which one is named."""

MENDABLE = ("invalid-utf8", "nul-bytes", "lone-surrogate")

INCIDENTS = ("corrupt-file", "corrupt-member", "empty-file", "not-json", "no-text", "line-too-long", "bad-row")
"""What can be wrong with a file or a row that gives no document."""

FIELDS = ("id", "text", "url", "source")
LONGEST_ID = 500
"""Characters; what is longer is no name, and the document gets one made from its content."""


@settings
class Intake:
    """How files are read as documents."""

    fields: Mapping[str, str] | None = setting(None, "which column is id, text, url or source, such as {text: content}")
    documents: Cut = setting("file", "what is one document in a .txt file")
    max_bytes: int = setting(8_000_000, "longer texts are dropped, and named", unit="bytes", ge=1)
    damaged: Literal["drop", "mend", "stop"] = setting(
        "drop", "what happens to texts with invalid UTF-8, NUL bytes or lone surrogates; stop also refuses bad rows"
    )

    def __post_init__(self) -> None:
        for name in self.fields or {}:
            if name not in FIELDS:
                raise ValueError(f"fields: a document has no field '{name}'; {nearest(name, FIELDS)}")

    @property
    def longest_line(self) -> int:
        """Bytes of a line that is still looked at: a text may be escaped, and have other columns beside it."""
        return 8 * self.max_bytes + 1_000_000


@dataclass(frozen=True, kw_only=True)
class Document:
    """A document as a row gave it.

    Attributes:
        row: line of the file, or number of the row.
        id: None where the row has none.
        text: mended if it was flawed; "" if it is too long.
        url, source: None where the row says nothing.
        extra: every other column that is not null, as a JSON object; None if there is none.
        num_bytes: of the text as it stood there.
        flaw: one of `FLAWS`, or "".
    """

    row: int
    id: str | None
    text: str
    url: str | None
    source: str | None
    extra: str | None
    num_bytes: int
    flaw: str


@dataclass(frozen=True, kw_only=True)
class Incident:
    """Something that gave no document.

    Attributes:
        row: as in `Document`; 0 for the file as a whole.
        what: one of `INCIDENTS`.
        detail: for people.
    """

    row: int
    what: str
    detail: str


def document_of(values: Any, number: int, intake: Intake, *, broken: bool = False) -> Document | Incident:
    """A row as a document, or what is wrong with it.

    Args:
        values: the row's fields.
        number: of the row.
        intake: how it is read.
        broken: bytes that are not UTF-8 were replaced in it.
    """
    if not isinstance(values, Mapping):
        return Incident(row=number, what="no-text", detail=f"found {shown(values)}; expected an object with a text")
    names = {field: (intake.fields or {}).get(field, field) for field in FIELDS}
    text = values.get(names["text"])
    if not isinstance(text, str):
        detail = f"field '{names['text']}' is {shown(text)}" if names["text"] in values else f"no '{names['text']}'"
        return Incident(row=number, what="no-text", detail=f"{detail}; the row has {', '.join(map(str, values))}"[:300])
    given = values.get(names["id"])
    rest = {key: value for key, value in values.items() if key not in names.values() and value is not None}
    mended, num_bytes, flaw = _mended(text, intake, broken=broken)
    return Document(
        row=number,
        id=_name(given),
        text=mended,
        url=_plain(values.get(names["url"])),
        source=_plain(values.get(names["source"])),
        extra=json.dumps(rest, sort_keys=True, default=str) if rest else None,
        num_bytes=num_bytes,
        flaw=flaw,
    )


def _mended(text: str, intake: Intake, *, broken: bool) -> tuple[str, int, str]:
    """The text without its flaws, its bytes, and the first flaw."""
    flaws = {"invalid-utf8"} if broken else set()
    try:
        num_bytes = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        flaws.add("lone-surrogate")
        text = _plain(text) or ""
        num_bytes = len(text.encode())
    if "\0" in text:
        flaws.add("nul-bytes")
        text = text.replace("\0", "")
    if num_bytes > intake.max_bytes:
        flaws.add("too-long")
        text = ""
    elif not text or text.isspace():
        flaws.add("empty")
    return text, num_bytes, next((flaw for flaw in FLAWS if flaw in flaws), "")


def _name(given: Any) -> str | None:
    if isinstance(given, bool) or not isinstance(given, (str, int)) or given == "":
        return None
    name = _plain(str(given))
    return name if name is not None and len(name) <= LONGEST_ID else None


def _plain(value: Any) -> str | None:
    """Text that can be written as UTF-8, None for what is no text."""
    if not isinstance(value, str):
        return None
    return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
