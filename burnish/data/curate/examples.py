"""Texts that a step learns from: those of files that the user names, or some of the corpus itself.

Which texts are taken where there are too many, and which are held out for a measurement, follows from a hash of the
text: the same texts are taken however files are cut and ordered, and copies of a text are on one side together.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import xxhash

from burnish.data.curate.intake import Document, Intake
from burnish.data.curate.reading import documents_in
from burnish.data.curate.step import Corpus
from burnish.data.locate import Files, located
from burnish.errors import DataError

_LABELS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}

HELD_OUT = 10
"""One text in so many is held out."""


@dataclass(frozen=True, order=True)
class Example:
    """A text to learn from.

    Attributes:
        draw: a hash of the text, which orders examples.
        text: what it says.
        label: of a labelled file, as JSON; "" if it has none.
    """

    draw: int
    text: str
    label: str = ""

    @property
    def is_held_out(self) -> bool:
        """Whether it is kept from training, for a measurement."""
        return self.draw % HELD_OUT == 0


def example_of(text: str, label: str = "") -> Example:
    """A text with its draw."""
    return Example(xxhash.xxh3_64_intdigest(text.encode(), seed=1), text, label)


def files_of(path: str) -> Files:
    """The files that a setting names.

    Raises:
        DataError: nothing is there, or it is no file or folder of files.
    """
    place = located(path)
    if not isinstance(place, Files):
        raise DataError(f"{path} is no file or folder of files; name a file such as trusted.jsonl, or a folder of some")
    return place


def examples_in(path: str, label: str = "") -> Iterator[Example]:
    """The texts of a file or folder; what is damaged is left out, and a .txt file is cut into paragraphs.

    Args:
        path: what the user named.
        label: the column that holds a label; "" for none.

    Raises:
        DataError: nothing is there.
    """
    for file in files_of(path).paths:
        for found in documents_in(file, Intake(documents="paragraphs")):
            if isinstance(found, Document) and not found.flaw:
                yield example_of(found.text, _label(found, file, label))


def judged(path: str, label: str, count: int) -> tuple[list[Example], list[Example]]:
    """The texts of a labelled file or folder: those whose label is true or 1, and those whose label is false or 0.

    Args:
        path: what the user named.
        label: the column.
        count: texts of each class at most; of more some are drawn.

    Raises:
        DataError: nothing is there, or a label is none of these.
    """
    classes: dict[bool, list[Example]] = {True: [], False: []}
    for example in examples_in(path, label):
        if example.label not in _LABELS:
            raise DataError(f"{path}: '{label}' is {example.label}; expected true or false, 1 or 0")
        classes[_LABELS[example.label]].append(example)
    return drawn(classes[True], count=count), drawn(classes[False], count=count)


def examples_of(corpus: Corpus) -> Iterator[Example]:
    """The texts of the corpus."""
    for shard in range(corpus.num_shards):
        for documents in corpus.documents(shard):
            yield from map(example_of, documents.texts)


def drawn(examples: Iterable[Example], *, count: int | None = None, max_bytes: int | None = None) -> list[Example]:
    """Some of the examples, in the order of their draws.

    Args:
        examples: to draw from.
        count: how many at most; only so many are held in memory.
        max_bytes: of text, at most; the text that goes beyond is cut there, at the border of a character.
    """
    found = heapq.nsmallest(count, examples) if count is not None else sorted(examples)
    if max_bytes is None:
        return found
    taken: list[Example] = []
    left = max_bytes
    for example in found:
        data = example.text.encode()
        if len(data) > left:
            part = data[:left].decode(errors="ignore")
            return [*taken, replace(example, text=part)] if part else taken
        taken.append(example)
        left -= len(data)
    return taken


def _label(document: Document, path: Path, column: str) -> str:
    """The label of a row.

    Raises:
        DataError: the row has none.
    """
    if not column:
        return ""
    values: dict[str, Any] = json.loads(document.extra or "{}")
    if column not in values:
        has = ", ".join(values) or "no other column"
        raise DataError(f"{path}, row {document.row}: no '{column}' beside the text, but {has}; set label: COLUMN")
    return json.dumps(values[column])
