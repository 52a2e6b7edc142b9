"""Files in: rows of any format that `burnish.data` reads become items of a project.

    what the kind asks for        what a row has to give
    no answers                    a prompt; answers that are there are left out
    1 answer, several answers     that many completions, each a text
    gold                          also what is right: ranks (compare, rank), a label (thumbs)

Every row is looked at before anything is written; what does not fit is named with its file and row, and then nothing
is imported. A row that the project has already, with the same id and text, is passed over and counted, so that the
same file may come twice; another text under an id that is taken gets an id of its own. A column `language` says which
of the project's languages a row is in; a number in `priority` puts it forward; `policy_version` of a completion is who
answered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish.data.read import DataSettings, read
from burnish.errors import BadRow, DataError, shown
from burnish.example import Completion, Example, Message
from burnish.studio.contents import legible
from burnish.studio.kinds import kind_named
from burnish.studio.refusals import Invalid, Unknown
from burnish.studio.tables import Item, Project

_SHOWN = 10
"""How many bad rows a refusal names."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import did: new items, and rows whose ids were there already."""

    items: int
    known: int


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What an import makes of rows.

    Attributes:
        project: which they are for.
        file: its name, for messages and for the items' origin.
        language: of rows that do not say.
        gold: whether the rows say what is right.
        now: the time.
    """

    project: Project
    file: str
    language: str
    gold: bool
    now: int


def import_file(
    session: Session, project: Project, path: Path, *, name: str, language: str, gold: bool = False, now: int
) -> Imported:
    """Import a file.

    Args:
        session: a transaction that writes.
        project: not an arena, and not one whose prompts are created.
        path: the file.
        name: what to call it; a browser's file has another path here.
        language: of rows without a column `language`.
        gold: whether the rows are gold items.
        now: the time.

    Raises:
        Invalid: the file or a row does not fit; names the rows.
    """
    try:
        dataset = read(DataSettings(path=str(path)))
    except DataError as error:
        raise Invalid("file", str(error).replace(str(path), name)) from error
    except RecursionError as error:
        raise Invalid("file", f"{name}: found brackets within brackets, too deep to read") from error
    shape = Shape(project=project, file=name, language=language, gold=gold, now=now)
    return import_examples(session, shape, dataset.examples)


def import_examples(session: Session, shape: Shape, examples: Sequence[Example]) -> Imported:
    """Import examples; all of them or, if one does not fit, none.

    Raises:
        Invalid: the project takes no items, or examples do not fit; names them.
    """
    project = shape.project
    kind = kind_named(project.kind)
    if kind.content is None or kind.made_on_demand:
        raise Invalid("kind", f"items of the kind '{project.kind}' are not imported; people make them")
    if shape.gold and project.kind not in ("compare", "rank", "thumbs"):
        raise Invalid("gold", f"rows cannot say what is right for the kind '{project.kind}'")
    taken = set(session.scalars(select(Item.key).where(Item.project_id == project.id)))
    made: list[Item] = []
    mistakes: list[str] = []
    for number, example in enumerate(examples, start=1):
        try:
            item = _item(shape, example, number)
        except BadRow as error:
            mistakes.append(str(error))
            continue
        if item.key in taken and not _is_there(session, item):
            item.key = f"{item.key[:180]}-{_digest(item)}"
        if item.key not in taken:
            taken.add(item.key)
            made.append(item)
    if mistakes:
        more = [f"and {len(mistakes) - _SHOWN} more"] if len(mistakes) > _SHOWN else []
        raise Invalid("rows", "\n".join([*mistakes[:_SHOWN], *more]))
    session.add_all(made)
    session.flush()
    return Imported(items=len(made), known=len(examples) - len(made))


def set_priorities(session: Session, project: Project, priorities: Mapping[str, float]) -> int:
    """Say which items come first, such as by how much an ensemble of reward models disagrees on them.

    Args:
        session: a transaction that writes.
        project: of the items.
        priorities: by the items' keys; high is first. Items that are not named keep theirs.

    Raises:
        Unknown: there is no item of a key.
        Invalid: a priority is not a finite number.
    """
    for key, value in priorities.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < float("inf"):
            raise Invalid("priority", f"found {shown(value)} as the priority of '{key}'; expected a number")
    items = {item.key: item for item in session.scalars(select(Item).where(Item.project_id == project.id))}
    if strange := sorted(set(priorities) - set(items)):
        raise Unknown("item", f"'{project.slug}' has no items {', '.join(strange[:_SHOWN])}")
    for key, value in priorities.items():
        items[key].priority = float(value)
    return len(priorities)


def _item(shape: Shape, example: Example, number: int) -> Item:
    row = _Row(shape, example, number)
    kind = kind_named(shape.project.kind)
    answers = [row.answer(place, c) for place, c in enumerate(example.completions)] if kind.most else []
    if not kind.fewest <= len(answers) <= kind.most:
        wanted = f"{kind.fewest}" if kind.fewest == kind.most else f"{kind.fewest} to {kind.most}"
        raise row.bad("completions", f"{len(answers)} answers", f"{wanted} for the kind '{kind.name}'")
    columns = {name: value for name, value in example.columns.items() if name not in ("language", "priority")}
    return Item(
        project_id=shape.project.id,
        key=row.key(),
        language=row.language(),
        prompt=row.prompt(),
        answers=answers,
        gold=row.gold() if shape.gold else None,
        priority=row.priority(),
        state="open",
        judged=0,
        origin={"file": shape.file, "row": number, "columns": row.kept("columns", columns)},
        created_at=shape.now,
    )


def _is_there(session: Session, item: Item) -> bool:
    """Whether the item of this key says the same."""
    there = session.scalar(select(Item).where(Item.project_id == item.project_id, Item.key == item.key))
    return there is not None and _digest(there) == _digest(item)


def _digest(item: Item) -> str:
    said = json.dumps([item.language, item.prompt, item.answers], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:12]


class _Row:
    """One example on its way to an item; each part is taken with a check."""

    def __init__(self, shape: Shape, example: Example, number: int) -> None:
        self.shape, self.example, self.number = shape, example, number

    def bad(self, field: str, found: str, allowed: str) -> BadRow:
        return BadRow(file=self.shape.file, line=self.number, field=field, found=found, allowed=allowed)

    def kept(self, field: str, value: Any) -> Any:
        """Plain data that both engines can keep."""
        if isinstance(value, str):
            try:
                return legible(value)
            except ValueError as error:
                raise self.bad(field, shown(value), str(error)) from error
        if isinstance(value, Mapping):
            return {self.kept(field, str(name)): self.kept(field, part) for name, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.kept(field, part) for part in value]
        if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and abs(value) < float("inf")):
            return value
        return self.kept(field, str(value))

    def key(self) -> str:
        if len(self.example.id) > 200:
            raise self.bad("id", shown(self.example.id), "at most 200 characters")
        return str(self.kept("id", self.example.id))

    def language(self) -> str:
        language = self.example.columns.get("language", self.shape.language)
        if language not in self.shape.project.languages:
            raise self.bad("language", shown(language), f"one of {', '.join(self.shape.project.languages)}")
        return str(language)

    def priority(self) -> float:
        priority = self.example.columns.get("priority", 0.0)
        if isinstance(priority, bool) or not isinstance(priority, (int, float)) or not abs(priority) < float("inf"):
            raise self.bad("priority", shown(priority), "a number")
        return float(priority)

    def prompt(self) -> list[dict[str, str]]:
        if not self.example.prompt:
            raise self.bad("prompt", "nothing", "a prompt")
        return [self._message("prompt", message) for message in self.example.prompt]

    def answer(self, place: int, completion: Completion) -> dict[str, Any]:
        messages = [self._message(f"completions[{place}]", message) for message in completion.messages]
        if not messages:
            raise self.bad(f"completions[{place}]", "nothing", "an answer")
        model = completion.policy_version
        return {"messages": messages, "model": self.kept("policy_version", model)}

    def gold(self) -> dict[str, Any]:
        if self.shape.project.kind == "thumbs":
            label = self.example.completions[0].label
            if label is None:
                raise self.bad("label", "nothing", "what is right for a gold item: true or false")
            return {"good": label}
        ranks = [completion.rank for completion in self.example.completions]
        if any(rank is None for rank in ranks):
            raise self.bad("ranks", "nothing", "what is right for a gold item: chosen and rejected, or ranks")
        order = sorted({rank for rank in ranks if rank is not None})
        dense = [order.index(rank) for rank in ranks if rank is not None]
        if self.shape.project.kind == "rank":
            return {"ranks": dense}
        return {"better": None if dense[0] == dense[1] else dense.index(0)}

    def _message(self, field: str, message: Message) -> dict[str, str]:
        if message.tool_calls or message.role == "tool":
            raise self.bad(field, "a call of a tool", "messages that people can read: text alone")
        return {"role": message.role, "content": str(self.kept(field, message.content))}
