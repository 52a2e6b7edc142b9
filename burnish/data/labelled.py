"""Rows of specialists: a text with its label, words with their tags, a question on a text, a source with its target.

    {"text": "It shines.", "label": "gem"}                             text_pair may stand beside it
    {"tokens": ["Ada", "Lovelace"], "tags": ["B-PER", "I-PER"]}
    {"question": "Who?", "context": "Ada wrote it.", "answers": {"text": ["Ada"], "answer_start": [0]}}
    {"source": "an opal", "target": "ein Opal"}

Files are found and opened as for any other data. `answer` with a text alone is looked for in the context; an empty list
of answers is a question without one. What contradicts itself is a bad row: another number of tags than of words, an
answer that is not in its context where it is said to stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

from burnish.config import setting, settings
from burnish.data.row import Row
from burnish.data.streams import DataSettings, streams
from burnish.errors import BadRow, DataError, shown


@settings
class RowReading:
    """How the rows of a specialist are read."""

    columns: Mapping[str, str] | None = setting(None, "which column is which field, such as {label: sentiment}")
    on_bad_row: Literal["stop", "skip"] = setting("stop", "refuse data with a bad row, or drop, count and list them")
    split: str | None = setting(None, "split to read, where the data has several")
    subset: str | None = setting(None, "configuration of a data set on the hub")
    limit: int | None = setting(None, "read no more than this", unit="examples", ge=1)


@dataclass(frozen=True, kw_only=True)
class LabelledText:
    """A text, or two, with a label."""

    id: str
    text: str
    pair: str | None
    label: str


@dataclass(frozen=True, kw_only=True)
class TaggedWords:
    """Words with a tag each."""

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of a context: its text, and where it begins, in characters."""

    text: str
    start: int


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question on a context. The first answer is trained on, all count as right; none says that there is none."""

    id: str
    question: str
    context: str
    answers: tuple[Span, ...]


@dataclass(frozen=True, kw_only=True)
class SourceTarget:
    """A text and what it is to become."""

    id: str
    source: str
    target: str


RowT = TypeVar("RowT", LabelledText, TaggedWords, Question, SourceTarget)


@dataclass(frozen=True, kw_only=True)
class Rows(Generic[RowT]):
    """What was read: the rows, and those that were dropped."""

    rows: tuple[RowT, ...]
    bad: tuple[BadRow, ...]


def rows_at(path: str, reading: RowReading, convert: Callable[[Row], RowT]) -> Rows[RowT]:
    """The rows of a file, folder or hub name.

    Args:
        path: where the data is.
        reading: how it is read.
        convert: makes a row, such as `labelled_text`.

    Raises:
        BadRow: `on_bad_row` is "stop" and a row is bad.
        DataError: nothing is there, or no row is good.
    """
    place = DataSettings(path=path, split=reading.split, subset=reading.subset, limit=reading.limit)
    found: list[RowT] = []
    bad: list[BadRow] = []
    seen: dict[str, str] = {}
    for _, rows in streams(place, lambda note: None):
        for row in rows:
            if reading.limit is not None and len(found) >= reading.limit:
                break
            try:
                found.append(_fresh(convert(_named(row, reading)), row, seen))
            except BadRow as error:
                bad.append(error)
    if bad and (reading.on_bad_row == "stop" or not found):
        first = bad[0]
        more = f"\n{len(bad)} rows are bad; to drop, list and count them: on_bad_row: skip" if found else ""
        first.args = (f"{first}{more}",)
        raise first
    if not found:
        raise DataError(f"{path} is empty: found no rows; expected at least one")
    return Rows(rows=tuple(found), bad=tuple(bad))


def _named(row: Row | BadRow, reading: RowReading) -> Row:
    if isinstance(row, BadRow):
        raise row
    return replace(row, names=reading.columns or {})


def _fresh(made: RowT, row: Row | BadRow, seen: dict[str, str]) -> RowT:
    """A row whose id no other has."""
    assert isinstance(row, Row)
    place = f"{row.file}, row {row.line}"
    if (before := seen.setdefault(made.id, place)) != place:
        raise row.bad("id", repr(made.id), f"an id of its own (first in {before})")
    return made


def labelled_text(row: Row) -> LabelledText:
    """A row with `text`, `label` and perhaps `text_pair`.

    Raises:
        BadRow: a field is missing, or the label is neither text, a whole number nor true or false.
    """
    label = row.get("label")
    if not isinstance(label, (str, int)) or label == "":
        raise row.wrong("label", "the name or the number of a class")
    pair = row.text("text_pair") if "text_pair" in row.fields() else None
    return LabelledText(id=row.id(), text=row.text("text"), pair=pair, label=str(label))


def tagged_words(row: Row) -> TaggedWords:
    """A row with `tokens` and `tags`.

    Raises:
        BadRow: there is not one tag for each word, or one of them is no text.
    """
    words, tags = row.items("tokens"), row.items("tags")
    for place, word in enumerate(words):
        if not isinstance(word, str) or not word.strip() or word != word.strip():
            raise row.bad(f"tokens[{place}]", shown(word), "a word without white space around it")
    for place, tag in enumerate(tags):
        if not isinstance(tag, (str, int)) or tag == "":
            raise row.bad(f"tags[{place}]", shown(tag), "the name of a tag")
    if len(words) != len(tags):
        raise row.bad("tags", f"{len(tags)} tags", f"{len(words)}, one for each of the tokens")
    return TaggedWords(id=row.id(), words=tuple(words), tags=tuple(map(str, tags)))


def question(row: Row) -> Question:
    """A row with `question`, `context`, and `answers` in the shape of SQuAD or `answer` with a text alone.

    Raises:
        BadRow: an answer does not stand in the context, or reaches beyond it.
    """
    context = row.text("context")
    asked = row.text("question").strip()
    if "answer" in row.fields() and "answers" not in row.fields():
        text = row.text("answer")
        return Question(id=row.id(), question=asked, context=context, answers=(_found(row, text, context),))
    given = row.get("answers")
    if not isinstance(given, Mapping) or not {"text", "answer_start"} <= set(given):
        raise row.wrong("answers", "an object with the lists text and answer_start, as SQuAD has it, or `answer`")
    texts, starts = given["text"], given["answer_start"]
    if not isinstance(texts, Sequence) or not isinstance(starts, Sequence) or len(texts) != len(starts):
        raise row.bad("answers", shown(given), "as many starts as texts")
    spans = tuple(_span(row, place, texts[place], starts[place], context) for place in range(len(texts)))
    return Question(id=row.id(), question=asked, context=context, answers=spans)


def source_target(row: Row) -> SourceTarget:
    """A row with `source` and `target`.

    Raises:
        BadRow: one of them is missing or blank.
    """
    return SourceTarget(id=row.id(), source=row.text("source"), target=row.text("target"))


def _found(row: Row, text: str, context: str) -> Span:
    start = context.find(text)
    if start < 0:
        raise row.bad("answer", shown(text), f"a part of the context, which is {shown(context)}")
    return Span(text=text, start=start)


def _span(row: Row, place: int, text: Any, start: Any, context: str) -> Span:
    if not isinstance(text, str) or not text.strip():
        raise row.bad(f"answers.text[{place}]", shown(text), "text")
    if isinstance(start, bool) or not isinstance(start, int) or start < 0:
        raise row.bad(f"answers.answer_start[{place}]", shown(start), "a place in the context, counted from 0")
    if start + len(text) > len(context):
        raise row.bad(
            f"answers.answer_start[{place}]",
            f"{start}, from where {shown(text)} reaches {start + len(text)}",
            f"a span that ends within the {len(context)} characters of the context",
        )
    if context[start : start + len(text)] != text:
        there = f"{shown(text)}, and at {start} the context has {shown(context[start : start + len(text)])}"
        raise row.bad(f"answers.text[{place}]", there, "the text that stands there")
    return Span(text=text, start=start)
