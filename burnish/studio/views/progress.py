"""How far a project is in each language, and whether its queue is well.

done       items with as many judgements as asked      goal    the quota, else all items
begun      judged by somebody, not done                held    leased now
skipped    passed over by somebody                     flagged with a flag that nobody resolved
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func, literal_column, null, select
from sqlalchemy.orm import Session

from burnish.studio.projects import quotas
from burnish.studio.tables import Flag, Item, Lease, Project, Skip


def progress(session: Session, project: Project, now: int) -> dict[str, Any]:
    """The counts of a project: `{languages: {tag: {...}}, held, skipped, flagged, oldest_open}`."""
    counts = _counts(session, project)
    bounds = quotas(session, project)
    held = (Lease.state == "live", Lease.expires_at > now)
    return {
        "languages": {tag: _of_language(counts, tag, bounds.get(tag)) for tag in project.languages},
        "held": _num_items(session, project, select(Lease.item_id).where(*held)),
        "skipped": _num_items(session, project, select(Skip.item_id)),
        "flagged": _num_items(session, project, select(Flag.item_id).where(Flag.resolution.is_(None))),
        "oldest_open": session.scalar(
            select(func.min(Item.created_at)).where(*_ordinary(project), Item.state == "open")
        ),
    }


def _counts(session: Session, project: Project) -> dict[tuple[str, str, bool], int]:
    """Items by language, state, and whether they are begun."""
    begun = Item.judged > literal_column("0")  # not a parameter: PostgreSQL groups by what it can see is the same
    query = select(Item.language, Item.state, begun, func.count()).where(*_ordinary(project))
    rows = session.execute(query.group_by(Item.language, Item.state, begun))
    return {(language, state, bool(is_begun)): count for language, state, is_begun, count in rows}


def _of_language(counts: dict[tuple[str, str, bool], int], tag: str, bound: int | None) -> dict[str, int]:
    of = {key[1:]: count for key, count in counts.items() if key[0] == tag}
    done = of.get(("done", True), 0)
    begun, untouched = of.get(("open", True), 0), of.get(("open", False), 0)
    withdrawn = sum(count for (state, _), count in of.items() if state == "withdrawn")
    total = done + begun + untouched
    goal = total if bound is None else bound
    return {"done": done, "begun": begun, "untouched": untouched, "withdrawn": withdrawn, "goal": goal}


def _num_items(session: Session, project: Project, items: Any) -> int:
    query = select(func.count()).select_from(Item).where(*_ordinary(project), Item.id.in_(items))
    return session.scalar(query) or 0


def _ordinary(project: Project) -> tuple[ColumnElement[bool], ...]:
    return Item.project_id == project.id, Item.gold.is_(null())
