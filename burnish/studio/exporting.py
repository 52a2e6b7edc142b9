"""Files out: a project's work as Burnish JSONL, which `burnish.data` reads back, or as CSV for a spreadsheet.

The same data gives the same bytes: rows in the order of import, keys as written here, times in UTC. A cell of CSV
that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, "CSV Injection"), so CSV is for people;
the trainers read JSONL.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish.example import Example, Message, example_dict
from burnish.studio.clock import iso
from burnish.studio.refusals import Invalid
from burnish.studio.shapes import SHAPES, examples
from burnish.studio.tables import Item, Judgement, Person, Project

FILES = ("jsonl", "csv")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def export(session: Session, project: Project, shape: str, kind: str) -> Iterator[str]:
    """The lines of an export, line ends included.

    Args:
        session: a transaction that reads.
        project: whose work it is.
        shape: one of `SHAPES`, or "judgements": every judgement, corrected and uncounted ones too.
        kind: "jsonl" or "csv".

    Raises:
        Invalid: there is no such shape or kind.
    """
    if kind not in FILES:
        raise Invalid("file", f"found '{kind}'; expected {' or '.join(FILES)}")
    if shape == "judgements":
        rows = _judgements(session, project)
        return _csv(rows) if kind == "csv" else (f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    if shape not in SHAPES:
        raise Invalid("shape", f"found '{shape}'; expected one of {', '.join([*SHAPES, 'judgements'])}")
    made = list(examples(session, project, shape))
    if kind == "csv":
        return _csv(_flat(example) for example in made)
    return (f"{json.dumps(example_dict(example), ensure_ascii=False)}\n" for example in made)


def safe_cell(value: object) -> str:
    """A cell as a spreadsheet shows it and never runs it."""
    text = "" if value is None else str(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"'{text}" if text.startswith(_FORMULA) and not is_number else text


def _csv(rows: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    names: list[str] = []
    for row in rows:
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
        if not names:
            names = list(row)
            writer.writerow(names)
        writer.writerow([safe_cell(row[name]) for name in names])
        yield buffer.getvalue()


def _judgements(session: Session, project: Project) -> Iterator[dict[str, Any]]:
    query = (
        select(Judgement, Item, Person.pseudonym)
        .join(Item, Item.id == Judgement.item_id)
        .join(Person, Person.id == Judgement.person_id)
        .where(Judgement.project_id == project.id)
        .order_by(Judgement.id)
    )
    for judgement, item, pseudonym in session.execute(query):
        yield {
            "judgement": judgement.id,
            "item": item.key,
            "language": item.language,
            "pseudonym": pseudonym,
            "content": json.dumps(judgement.content, ensure_ascii=False, sort_keys=True),
            "shown_order": json.dumps(judgement.shown_order),
            "at": iso(judgement.created_at),
            "seconds": judgement.seconds,
            "guideline_version": judgement.guideline_version,
            "counted": judgement.counted,
            "supersedes": judgement.supersedes_id,
            "gold": item.gold is not None,
        }


def _flat(example: Example) -> dict[str, Any]:
    """An example as one row of a table; answers in one cell, best first where they are ranked."""
    studio = example.columns["studio"]
    answers = [
        {"text": one.text, "rank": one.rank, "label": one.label, "score": one.score} for one in example.completions
    ]
    said = [{name: value for name, value in answer.items() if value is not None} for answer in answers]
    return {
        "id": example.id,
        "language": studio["language"],
        "prompt": "\n\n".join(_spoken(message) for message in example.prompt),
        "answers": json.dumps(said, ensure_ascii=False) if said else "",
        "agreement": studio["agreement"],
        "decided_by": studio["decided_by"],
        "pseudonyms": " ".join(vote["pseudonym"] for vote in studio["votes"]),
    }


def _spoken(message: Message) -> str:
    return message.content if message.role == "user" else f"[{message.role}] {message.content}"
