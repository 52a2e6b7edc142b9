"""What reviewers do: decide where people disagree, and look at what people flagged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish.studio.agreed import outcomes
from burnish.studio.contents import stored
from burnish.studio.lineage import pass_on_accepted
from burnish.studio.people import person_with
from burnish.studio.record import content_class, spoken, work_of
from burnish.studio.refusals import Invalid, Unknown
from burnish.studio.tables import Adjudication, Flag, Item, Person, Project


def disputes(session: Session, project: Project, *, limit: int = 100) -> list[dict[str, Any]]:
    """Items of a project on which people disagree and nobody has decided, in order of import.

    Each is `{item, language, prompt, answers, weight, judgements: [{pseudonym, content, created_at}]}`; answers and
    contents stand in the item's order.
    """
    came_to = outcomes(session, project)
    disputed = sorted(item_id for item_id, one in came_to.items() if one.disputed)[:limit]
    items = session.scalars(select(Item).where(Item.id.in_(disputed)).order_by(Item.id))
    return [_dispute(session, item, came_to[item.id].weight) for item in items]


def adjudicate(
    session: Session, item_id: int, reviewer: Person, *, content: Mapping[str, Any], reason: str, now: int
) -> Adjudication:
    """Decide on an item; the newest decision holds.

    Args:
        session: a transaction that writes.
        item_id: of a done item.
        reviewer: who decides.
        content: in the item's order of answers.
        reason: why, for the record.
        now: the time.

    Raises:
        Unknown: there is no such item.
        Invalid: the item is still open, or the content is not what it asks for.
    """
    item = session.get(Item, item_id, with_for_update=True)
    if item is None:
        raise Unknown("item", f"there is no item {item_id}")
    if item.state != "done" or item.gold is not None:
        raise Invalid("item", f"item {item_id} is still being judged, was withdrawn, or is a gold one")
    project = session.get_one(Project, item.project_id)
    order = list(range(len(item.answers)))
    decided = stored(content_class(project), content, order, work_of(project, item))
    made = Adjudication(item_id=item.id, person_id=reviewer.id, content=decided, reason=reason, created_at=now)
    session.add(made)
    session.flush()
    if project.kind == "evaluate":
        pass_on_accepted(session, project, item, now)
    return made


def flags(session: Session, project: Project, *, limit: int = 200) -> list[dict[str, Any]]:
    """Flags that nobody has resolved, oldest first."""
    query = (
        select(Flag, Item)
        .join(Item, Item.id == Flag.item_id)
        .where(Item.project_id == project.id, Flag.resolution.is_(None))
    )
    rows = session.execute(query.order_by(Flag.id).limit(limit))
    return [
        {
            "flag": flag.id,
            "item": item.id,
            "pseudonym": person_with(session, flag.person_id).pseudonym,
            "reason": flag.reason,
            "comment": flag.comment,
            "created_at": flag.created_at,
            "prompt": item.prompt,
            "answers": [answer["messages"] for answer in item.answers],
        }
        for flag, item in rows
    ]


def resolve(session: Session, flag_id: int, reviewer: Person, *, resolution: str, now: int) -> Flag:
    """Resolve a flag: "dismissed" leaves the item, "withdrawn" takes it out of the queue and of exports.

    Raises:
        Unknown: there is no such flag.
        Invalid: there is no such resolution.
    """
    found = session.get(Flag, flag_id, with_for_update=True)
    if found is None:
        raise Unknown("flag", f"there is no flag {flag_id}")
    if resolution not in ("dismissed", "withdrawn"):
        raise Invalid("resolution", f"found the resolution '{resolution}'; expected dismissed or withdrawn")
    if found.resolution is None:
        found.resolution, found.resolved_by, found.resolved_at = resolution, reviewer.id, now
        if resolution == "withdrawn":
            session.get_one(Item, found.item_id, with_for_update=True).state = "withdrawn"
    return found


def _dispute(session: Session, item: Item, weight: float) -> dict[str, Any]:
    judged = [
        {
            "pseudonym": person_with(session, judgement.person_id).pseudonym,
            "content": judgement.content,
            "created_at": judgement.created_at,
        }
        for judgement in spoken(session, item)
    ]
    return {
        "item": item.id,
        "language": item.language,
        "prompt": item.prompt,
        "answers": [answer["messages"] for answer in item.answers],
        "weight": weight,
        "judgements": judged,
    }
