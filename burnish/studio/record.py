"""Read what was judged: what counts and holds of an item, and a person's own work as they saw it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, aliased

from burnish.studio.contents import Content, Work, shown
from burnish.studio.kinds import kind_named
from burnish.studio.options import options_from
from burnish.studio.refusals import Invalid
from burnish.studio.tables import Item, Judgement, Person, Project


def newest() -> ColumnElement[bool]:
    """That nothing supersedes a judgement; what speaks for a person."""
    later = aliased(Judgement)
    return ~select(later.id).where(later.supersedes_id == Judgement.id).exists()


def spoken(session: Session, item: Item) -> Sequence[Judgement]:
    """The judgements of an item that count and hold, in the order in which they came."""
    query = select(Judgement).where(Judgement.item_id == item.id, Judgement.counted, newest())
    return session.scalars(query.order_by(Judgement.id)).all()


def mine(session: Session, project: Project, person: Person, *, limit: int = 50) -> list[dict[str, Any]]:
    """A person's newest judgements in a project, as they saw them, the last first."""
    query = (
        select(Judgement, Item)
        .join(Item, Item.id == Judgement.item_id)
        .where(Judgement.project_id == project.id, Judgement.person_id == person.id, newest())
    )
    rows = session.execute(query.order_by(Judgement.id.desc()).limit(limit))
    return [_as_seen(project, judgement, item) for judgement, item in rows]


def work_of(project: Project, item: Item) -> Work:
    """What a content for this item is checked against."""
    lengths = tuple(len(answer["messages"][-1]["content"]) for answer in item.answers)
    return Work(lengths=lengths, limits=options_from(project.options))


def content_class(project: Project) -> type[Content]:
    """The class of a project's judgements.

    Raises:
        Invalid: it is an arena.
    """
    content = kind_named(project.kind).content
    if content is None:
        raise Invalid("kind", "an arena has votes on turns, not judgements of items")
    return content


def _as_seen(project: Project, judgement: Judgement, item: Item) -> dict[str, Any]:
    return {
        "judgement": judgement.id,
        "item": item.id,
        "language": item.language,
        "prompt": item.prompt,
        "answers": [item.answers[answer]["messages"] for answer in judgement.shown_order],
        "content": shown(content_class(project), judgement.content, judgement.shown_order),
        "counted": judgement.counted,
        "guideline_version": judgement.guideline_version,
        "created_at": judgement.created_at,
    }
