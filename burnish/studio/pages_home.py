"""What the first page shows of each project: how far it is, and how much waits for whoever looks."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exists, func, null, or_, select
from sqlalchemy.orm import Session

from burnish.studio.kinds import KINDS
from burnish.studio.projects import all_projects, quotas, shown
from burnish.studio.tables import Item, Lease, Person, Project


def entries(session: Session, person: Person, now: int) -> list[dict[str, Any]]:
    """One for each project: itself as the browser gets it, with `done`, `total` and `waiting`."""
    return [_entry(session, person, project, now) for project in all_projects(session)]


def _entry(session: Session, person: Person, project: Project, now: int) -> dict[str, Any]:
    counts = dict(
        session.execute(
            select(Item.state, func.count())
            .where(Item.project_id == project.id, Item.gold.is_(null()))
            .group_by(Item.state)
        ).all()
    )
    done, total = counts.get("done", 0), counts.get("done", 0) + counts.get("open", 0)
    if KINDS[project.kind].made_on_demand:
        total = max(total, sum(quotas(session, project).values()))
        waiting = total - done
    else:
        waiting = _waiting(session, person, project, now)
    is_arena = KINDS[project.kind].content is None
    is_work = project.is_open
    languages = [tag for tag in project.languages if tag in person.languages]
    return {
        **shown(session, project),
        "done": done,
        "total": total,
        "waiting": waiting if is_work and languages and not is_arena else 0,
        "is_arena": is_arena,
        "shared": languages,
        "is_work": is_work,
    }


def _waiting(session: Session, person: Person, project: Project, now: int) -> int:
    """Open items that this person may judge and that others do not hold all places of."""
    mine = exists().where(
        Lease.item_id == Item.id, Lease.person_id == person.id, Lease.state.in_(("judged", "skipped"))
    )
    others = (
        select(func.count())
        .select_from(Lease)
        .where(Lease.item_id == Item.id, Lease.person_id != person.id, Lease.state == "live", Lease.expires_at > now)
        .scalar_subquery()
    )
    query = select(func.count()).where(
        Item.project_id == project.id,
        Item.state == "open",
        Item.gold.is_(null()),
        Item.language.in_(person.languages),
        or_(Item.author_id.is_(None), Item.author_id != person.id),
        Item.judged + others < project.overlap,
        ~mine,
    )
    return session.scalar(query) or 0
