"""Who did how much agreed work, by language.

    agreed     judgements that say what their item came to; where each stands for itself, every one that counts
    judged     judgements that count
    gold       of gold items, how many said what is right

The order is by agreed work, not by the amount: who votes fast and against everybody gains nothing. Names are for the
people of the studio; a person who was deleted shows as the pseudonym.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish.studio.agreed import agrees, is_right, outcome
from burnish.studio.record import newest
from burnish.studio.tables import Item, Judgement, Person, Project


@dataclass
class _Line:
    """One person's counts."""

    agreed: dict[str, int] = field(default_factory=dict)
    judged: int = 0
    gold: int = 0
    gold_right: int = 0


def leaderboard(session: Session, project: Project) -> list[dict[str, Any]]:
    """One entry for each person who judged: `{name, pseudonym, agreed: {language: n}, total, judged, gold,
    gold_right}`, the most agreed work first.
    """
    lines: dict[int, _Line] = {}
    query = (
        select(Judgement, Item)
        .join(Item, Item.id == Judgement.item_id)
        .where(Judgement.project_id == project.id, Judgement.counted, newest())
        .order_by(Judgement.item_id, Judgement.id)
    )
    came_to: dict[int, Any] = {}
    for judgement, item in session.execute(query):
        line = lines.setdefault(judgement.person_id, _Line())
        if item.gold is not None:
            line.gold += 1
            line.gold_right += is_right(project, judgement, item)
            continue
        line.judged += 1
        if item.id not in came_to:
            came_to = {item.id: outcome(session, project, item)}
        if _is_agreed(project, judgement, item, came_to[item.id]):
            line.agreed[item.language] = line.agreed.get(item.language, 0) + 1
    people = session.scalars(select(Person).where(Person.id.in_(lines))).all()
    entries = [_entry(person, lines[person.id]) for person in people]
    return sorted(entries, key=lambda entry: (-entry["total"], -entry["judged"], entry["pseudonym"]))


def _is_agreed(project: Project, judgement: Judgement, item: Item, came_to: Any) -> bool:
    if came_to is None:
        return item.state == "done" and project.kind in ("reformulate", "create", "demonstrate", "spans")
    return came_to.content is not None and agrees(project, judgement.content, came_to.content)


def _entry(person: Person, line: _Line) -> dict[str, Any]:
    return {
        "name": person.name or person.pseudonym,
        "pseudonym": person.pseudonym,
        "agreed": dict(sorted(line.agreed.items())),
        "total": sum(line.agreed.values()),
        "judged": line.judged,
        "gold": line.gold,
        "gold_right": line.gold_right,
    }
