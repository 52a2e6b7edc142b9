"""Hand out work: an item for a person under a lease, and what they do with it short of judging it.

Somebody who asks again without having judged gets the same item again, with its time begun anew; so a page can be
reloaded. A page that wants the next item early, while one is still being judged, names those that it holds (`besides`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from burnish.studio.clock import SECOND
from burnish.studio.contents import legible
from burnish.studio.kinds import kind_named
from burnish.studio.projects import guideline
from burnish.studio.queue import Asker, has_place, may_come, next_item, num_begun
from burnish.studio.refusals import Conflict, Denied, Invalid, Unknown
from burnish.studio.secret import Secret
from burnish.studio.tables import Flag, Item, Judgement, Lease, Person, Project, Quota, Skip

Why = Literal["closed", "language", "quota", "wait", "done"]
MOST_HELD = 5
"""How many items one person may hold in a project."""


@dataclass(frozen=True, kw_only=True)
class Handed:
    """What somebody who asks for work gets.

    Attributes:
        item, lease: the work; None if there is none.
        why: why there is none: the project is "closed", none of the person's languages is wanted ("language"), the
            "quota" of items is begun, others hold what is left ("wait"), or all is "done".
    """

    item: Item | None = None
    lease: Lease | None = None
    why: Why | None = None


def next_task(
    session: Session,
    secret: Secret,
    project: Project,
    person: Person,
    *,
    now: int,
    language: str | None = None,
    besides: Collection[int] = (),
) -> Handed:
    """Hand out the next item of a project.

    Args:
        session: a transaction that writes.
        secret: what draws the order of answers, and whether the item is gold.
        project: where work is asked for.
        person: who asks.
        now: the time.
        language: of the work; any that the person and the project share if None.
        besides: items that the person holds and does not want again.
    """
    if not project.is_open or kind_named(project.kind).content is None:
        return Handed(why="closed")
    shared = [tag for tag in project.languages if tag in person.languages and language in (None, tag)]
    if not shared:
        return Handed(why="language")
    held = _held(session, project, person, now)
    if again := next((lease for lease in held if lease.item_id not in besides), None):
        again.expires_at = now + project.lease_seconds * SECOND
        return Handed(item=session.get_one(Item, again.item_id), lease=again)
    if len(held) >= MOST_HELD:
        return Handed(why="wait")
    full = _full_languages(session, project, shared, now)
    asker = Asker(project=project, person_id=person.id, languages=shared, full=full, now=now)
    item = _chosen(session, secret, asker)
    if item is None:
        return Handed(why=_why(session, asker))
    return Handed(item=item, lease=_leased(session, secret, project, item, person.id, now))


def renew(session: Session, item_id: int, person: Person, now: int) -> Lease:
    """Begin the time of a lease anew.

    Raises:
        Denied: the item was never handed to this person.
        Conflict: it was judged, skipped or given up, or its time ended and others have its places.
    """
    lease, item, project = _of_person(session, item_id, person)
    if lease.state != "live":
        raise Conflict("lease-ended", f"this item was {lease.state} already")
    if lease.expires_at <= now and item.gold is None and not has_place(session, project, item, person.id, now):
        raise Conflict("lease-lost", "the time for this item ended, and others have it now")
    lease.expires_at = now + project.lease_seconds * SECOND
    return lease


def release(session: Session, item_id: int, person: Person) -> None:
    """Give an item back; it may come again.

    Raises:
        Denied: it was never handed to this person.
    """
    lease, _, _ = _of_person(session, item_id, person)
    if lease.state == "live":
        lease.state = "released"


def skip(session: Session, item_id: int, person: Person, *, reason: str, now: int) -> None:
    """Pass over an item for good; saying it twice is saying it once.

    Raises:
        Denied: it was never handed to this person.
        Conflict: this person has judged it.
    """
    lease, item, _ = _of_person(session, item_id, person)
    if lease.state == "judged":
        raise Conflict("judged-already", "you have judged this item already")
    if lease.state != "skipped":
        session.add(Skip(item_id=item.id, person_id=person.id, reason=_short(reason), created_at=now))
    lease.state = "skipped"


def flag(session: Session, item_id: int, person: Person, *, reason: str, comment: str, now: int) -> Flag:
    """Say that something is wrong with an item, for a reviewer to look at; saying the same twice is saying it once.

    Raises:
        Denied: it was never handed to this person.
    """
    _of_person(session, item_id, person)
    same = (Flag.item_id == item_id, Flag.person_id == person.id, Flag.reason == _short(reason))
    found = session.scalar(select(Flag).where(*same, Flag.resolution.is_(None)))
    if found is None:
        found = Flag(
            item_id=item_id, person_id=person.id, reason=_short(reason), comment=_short(comment, 4000), created_at=now
        )
        session.add(found)
        session.flush()
    return found


def task_dict(session: Session, project: Project, item: Item, lease: Lease) -> dict[str, Any]:
    """A task as the browser gets it: answers in this person's order, nothing that tells which is which."""
    return {
        "item": item.id,
        "key": f"{project.slug}/{item.id}",
        "kind": project.kind,
        "language": item.language,
        "prompt": item.prompt,
        "answers": [item.answers[answer]["messages"] for answer in lease.shown_order],
        "options": project.options,
        "guideline": guideline(session, project),
        "lease": {"expires_at": lease.expires_at, "seconds": project.lease_seconds},
    }


def _held(session: Session, project: Project, person: Person, now: int) -> Sequence[Lease]:
    query = (
        select(Lease)
        .join(Item, Item.id == Lease.item_id)
        .where(Lease.person_id == person.id, Lease.state == "live", Lease.expires_at > now)
        .where(Item.project_id == project.id, Item.state == "open")
    )
    return session.scalars(query.order_by(Lease.taken_at, Lease.id)).all()


def _full_languages(session: Session, project: Project, languages: Sequence[str], now: int) -> list[str]:
    """Languages whose quota is begun; the quotas stay locked, so that none is overrun."""
    query = select(Quota).where(Quota.project_id == project.id, Quota.language.in_(languages))
    bounds = session.scalars(query.order_by(Quota.language).with_for_update()).all()
    return [one.language for one in bounds if num_begun(session, project, one.language, now) >= one.items]


def _chosen(session: Session, secret: Secret, asker: Asker) -> Item | None:
    project = asker.project
    mine = (Judgement.person_id == asker.person_id, Judgement.project_id == project.id)
    count = session.scalar(select(func.count()).select_from(Judgement).where(*mine)) or 0
    wants_gold = secret.draw("gold", project.id, asker.person_id, count) < project.gold_rate
    item = next_item(session, asker, gold=True) if wants_gold else None
    item = item or next_item(session, asker, gold=False)
    open_languages = [tag for tag in asker.languages if tag not in asker.full]
    if item is None and kind_named(project.kind).made_on_demand and open_languages:
        return _made(session, asker, open_languages[0])
    return item


def _made(session: Session, asker: Asker, language: str) -> Item:
    """A new empty item, for a prompt that is to be created; its key is that of nobody else at this moment."""
    number = session.scalar(select(func.coalesce(func.max(Item.id), 0))) or 0
    item = Item(
        project_id=asker.project.id,
        key=f"created-{asker.now}-{asker.person_id}-{number + 1}",
        language=language,
        prompt=[],
        answers=[],
        gold=None,
        priority=0.0,
        state="open",
        judged=0,
        origin={},
        created_at=asker.now,
    )
    session.add(item)
    session.flush()
    return item


def _why(session: Session, asker: Asker) -> Why:
    if may_come(session, asker):
        return "wait"
    return "quota" if asker.full else "done"


def _leased(session: Session, secret: Secret, project: Project, item: Item, person_id: int, now: int) -> Lease:
    lease = _lease(session, item.id, person_id)
    expires_at = now + project.lease_seconds * SECOND
    if lease is None:
        order = secret.order(len(item.answers), item.id, person_id)
        lease = Lease(item_id=item.id, person_id=person_id, shown_order=order)
        session.add(lease)
    lease.taken_at, lease.expires_at, lease.state = now, expires_at, "live"
    session.flush()
    return lease


def _of_person(session: Session, item_id: int, person: Person) -> tuple[Lease, Item, Project]:
    item = session.get(Item, item_id, with_for_update=True)
    if item is None:
        raise Unknown("item", f"there is no item {item_id}")
    lease = _lease(session, item_id, person.id)
    if lease is None:
        raise Denied("never-handed", "this item was not handed to you")
    return lease, item, session.get_one(Project, item.project_id)


def _lease(session: Session, item_id: int, person_id: int) -> Lease | None:
    return session.scalar(select(Lease).where(Lease.item_id == item_id, Lease.person_id == person_id))


def _short(text: str, most: int = 200) -> str:
    if len(text) > most:
        raise Invalid("text", f"found {len(text)} characters; at most {most} are allowed")
    return legible(text)
