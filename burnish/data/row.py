"""One row as a file gave it, before it is an `Example`: fields by name, each taken with a check.

A converter asks a row for what it needs (`row.text("prompt")`); what is missing or of the wrong type becomes a
`BadRow` that names the file, the line, the field as the *data* calls it, what was found and what is allowed.

`names` renames: with `{"prompt": "question"}` a converter that asks for `prompt` gets the column `question`, and a
column that really is called `prompt` is left for `Example.columns`. A null counts as an absent field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from burnish.errors import BadRow, shown

Kind = Literal["json", "csv", "arrow"]
"""What the source can express: JSON and Arrow have types; a CSV cell is always text."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a source.

    Attributes:
        values: the fields under the names that they have in the data.
        file: path or hub name, for messages.
        line: 1-based line (JSONL, CSV, text) or row number (JSON, Parquet, datasets).
        kind: what the source can express.
        names: field of a format -> name in the data, where they differ.
        ignore: columns, and keys of a turn, that are left out.
        stem: goes in front of the id of a row that has none; "" where one file is read.
    """

    values: Mapping[str, Any]
    file: str
    line: int
    kind: Kind = "json"
    names: Mapping[str, str] = field(default_factory=dict)
    ignore: frozenset[str] = frozenset()
    stem: str = ""

    def fields(self) -> frozenset[str]:
        """The fields that a format can see: present, not null, not ignored, under their new names."""
        present = {n for n, value in self.values.items() if value is not None and n not in self.ignore}
        plain = {n for n in present if n not in self.names and n not in self.names.values()}
        return frozenset(plain | {f for f, name in self.names.items() if name in present})

    def name(self, field: str) -> str:
        """What the data calls `field`."""
        return self.names.get(field, field)

    def get(self, field: str) -> Any:
        """The value of `field`, None where it is absent."""
        return self.values[self.name(field)] if field in self.fields() else None

    def bad(self, field: str, found: str, allowed: str) -> BadRow:
        """The error for `field`, which may be a dotted place such as `messages[2].role`."""
        return BadRow(file=self.file, line=self.line, field=self.place(field), found=found, allowed=allowed)

    def place(self, field: str) -> str:
        """A dotted place in a field, such as `messages[2].role`, under the name that the data has for the field."""
        head = field.split(".", 1)[0].split("[", 1)[0]
        return self.name(head) + field[len(head) :]

    def wrong(self, field: str, allowed: str) -> BadRow:
        """The error for a field whose value is missing or of the wrong type."""
        if self.name(field) not in self.values:
            return self.bad(field, f"no such field; the row has {', '.join(sorted(self.values)) or 'none'}", allowed)
        return self.bad(field, shown(self.values[self.name(field)]), allowed)

    def text(self, field: str) -> str:
        """The text of `field`, which must say something.

        Raises:
            BadRow: it is missing, not a string, or blank.
        """
        value = self.get(field)
        if not isinstance(value, str):
            raise self.wrong(field, "text")
        if not value.strip():
            raise self.bad(field, "empty text", "text")
        return value

    def optional_text(self, field: str) -> str:
        """The text of `field`, "" where it is absent or blank.

        Raises:
            BadRow: it is there and is not a string.
        """
        value = self.get(field)
        if value is not None and not isinstance(value, str):
            raise self.wrong(field, "text, or nothing")
        return value if value and value.strip() else ""

    def items(self, field: str) -> list[Any]:
        """The list in `field`; a CSV cell holds it as JSON.

        Raises:
            BadRow: it is missing, empty or not a list.
        """
        value = self.get(field)
        if self.kind == "csv" and isinstance(value, str):
            value = parsed(value)
        if not isinstance(value, (list, tuple)) or not value:
            raise self.wrong(field, "a list that is not empty")
        return list(value)

    def present(self, *fields: str) -> str:
        """The first of `fields` that the row has, or the first of all."""
        seen = self.fields()
        return next((field for field in fields if field in seen), fields[0])

    def id(self) -> str:
        """The row's own id, or one made from its number.

        Raises:
            BadRow: the id is neither text nor a whole number.
        """
        value = self.get("id")
        if value is None:
            return f"{self.stem}:{self.line}" if self.stem else str(self.line)
        if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
            raise self.wrong("id", "text or a whole number")
        return str(value)

    def tools(self) -> tuple[Mapping[str, Any], ...]:
        """The tools offered to the model: a list of objects, or that list as a JSON string (many sets store it so).

        Raises:
            BadRow: it is neither.
        """
        value = self.get("tools")
        if value is None or value == "":
            return ()
        if isinstance(value, str):
            value = parsed(value)
        if not isinstance(value, (list, tuple)) or not all(isinstance(tool, Mapping) for tool in value):
            raise self.wrong("tools", "a list of tool schemas, as a list or as a JSON string")
        return tuple(value)

    def rest(self, *used: str) -> dict[str, Any]:
        """The columns that no converter used, under the names that they have in the data; nulls are kept."""
        seen = self.fields()
        gone = {self.name(field) for field in used if field in seen} | self.ignore
        return {name: value for name, value in self.values.items() if name not in gone}


def parsed(text: str) -> Any:
    """`text` read as JSON, None where it is not JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None
