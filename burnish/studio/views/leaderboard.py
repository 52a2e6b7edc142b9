"""Who did how much agreed work, by language.

    agreed     judgements that say what their item came to; where each stands for itself, every one that counts
    judged     judgements that count
    gold       of gold items, how many said what is right

The order is by agreed work, not by the amount: who votes fast and against everybody gains nothing. Names are for the
people of the studio; a person who was deleted shows as the pseudonym.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish.studio.agreed import Outcome, agrees, outcomes
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
    came_to = outcomes(session, project)
    query = (
        select(Judgement.person_id, Judgement.content, Item.id, Item.language, Item.gold, Item.state)
        .join(Item, Item.id == Judgement.item_id)
        .where(Judgement.project_id == project.id, Judgement.counted, newest())
        .order_by(Judgement.item_id, Judgement.id)
    )
    for person_id, content, item_id, language, gold, state in session.execute(query):
        line = lines.setdefault(person_id, _Line())
        if gold is not None:
            line.gold += 1
            line.gold_right += agrees(project, content, gold)
            continue
        line.judged += 1
        if _is_agreed(project, content, state, came_to.get(item_id)):
            line.agreed[language] = line.agreed.get(language, 0) + 1
    people = session.scalars(select(Person).where(Person.id.in_(lines))).all()
    entries = [_entry(person, lines[person.id]) for person in people]
    return sorted(entries, key=lambda entry: (-entry["total"], -entry["judged"], entry["pseudonym"]))


def _is_agreed(project: Project, content: Mapping[str, Any], state: str, came_to: Outcome | None) -> bool:
    if came_to is None:
        return state == "done" and project.kind in ("reformulate", "create", "demonstrate", "spans")
    return came_to.content is not None and agrees(project, content, came_to.content)


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
