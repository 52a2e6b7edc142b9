"""Which item somebody gets next, as one query, and how many items of a language are begun.

    an item is free for a person    it is open, in a language of theirs, not written by them, and they neither judged
                                    nor skipped it, nor hold it now
    it has a place                  judged + live leases of others < overlap
    first comes                     the highest priority, then what is begun already, then what was imported first

A lease past its time reserves nothing, without anybody having to clean it up.

On PostgreSQL the item's row is locked as it is found, and rows that others have locked are passed over. What that
query knows of leases may be as old as its snapshot: who judges an item and asks for the next at the same moment could
be handed it again. So both the person's own lease and `has_place` are looked at once more when the row is ours. On
SQLite writers come one after the other and nothing can have changed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, exists, func, null, or_, select
from sqlalchemy.orm import Session

from burnish.studio.tables import Item, Lease, Project


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Who asks for work, where, and when.

    Attributes:
        project: of which work is asked.
        person_id: who asks.
        languages: of the work, each one of the project's and one of the person's.
        full: those of them whose quota is used up: only items that are begun are given.
        now: the time.
    """

    project: Project
    person_id: int
    languages: Sequence[str]
    full: Collection[str] = ()
    now: int


def next_item(session: Session, asker: Asker, *, gold: bool) -> Item | None:
    """The first item that is free for the person and has a place, its row locked; None if there is none.

    Args:
        session: a transaction that writes.
        asker: who asks.
        gold: whether a gold item is wanted, which has a place for everybody.
    """
    passed: list[int] = []
    while True:
        query = _free(asker, gold=gold).where(Item.id.not_in(passed))
        first = Item.priority.desc(), Item.judged.desc(), Item.id
        found = session.scalar(query.order_by(*first).limit(1).with_for_update(skip_locked=True, of=Item))
        if found is None:
            return None
        has_room = gold or has_place(session, asker.project, found, asker.person_id, asker.now)
        if has_room and not _has_done(session, found, asker):
            return found
        passed.append(found.id)


def may_come(session: Session, asker: Asker) -> bool:
    """Whether an item may still become free for the person: one that others hold now."""
    query = _own_free(asker, gold=False).where(_within_quota(asker))
    return session.scalar(query.with_only_columns(Item.id).limit(1)) is not None


def has_place(session: Session, project: Project, item: Item, person_id: int, now: int) -> bool:
    """Whether the item needs one more person besides those who judged it and those who hold it."""
    leases = (
        select(func.count())
        .select_from(Lease)
        .where(Lease.item_id == item.id, Lease.person_id != person_id, Lease.state == "live", Lease.expires_at > now)
    )
    session.refresh(item, ["judged", "state"])
    return item.state == "open" and item.judged + (session.scalar(leases) or 0) < project.overlap


def num_begun(session: Session, project: Project, language: str, now: int) -> int:
    """Items of a language that somebody has judged or holds; gold ones and withdrawn ones do not count."""
    query = (
        select(func.count())
        .select_from(Item)
        .where(
            Item.project_id == project.id, Item.language == language, Item.gold.is_(null()), Item.state != "withdrawn"
        )
    )
    return session.scalar(query.where(_begun(now))) or 0


def _free(asker: Asker, *, gold: bool) -> Select[Item]:
    query = _own_free(asker, gold=gold)
    if gold:
        return query
    others = (
        select(func.count())
        .select_from(Lease)
        .where(Lease.item_id == Item.id, Lease.person_id != asker.person_id, _live(asker.now))
        .scalar_subquery()
    )
    return query.where(Item.judged + others < asker.project.overlap, _within_quota(asker))


def _own_free(asker: Asker, *, gold: bool) -> Select[Item]:
    """Items that nothing about the person themself keeps from them."""
    mine = exists().where(Lease.item_id == Item.id, _keeps(asker))
    return select(Item).where(
        Item.project_id == asker.project.id,
        Item.state == "open",
        Item.language.in_(asker.languages),
        Item.gold.is_not(null()) if gold else Item.gold.is_(null()),
        or_(Item.author_id.is_(None), Item.author_id != asker.person_id),
        ~mine,
    )


def _has_done(session: Session, item: Item, asker: Asker) -> bool:
    return session.scalar(select(Lease.id).where(Lease.item_id == item.id, _keeps(asker))) is not None


def _keeps(asker: Asker) -> ColumnElement[bool]:
    """That a lease of the person's own keeps its item from them: they judged or skipped it, or hold it."""
    over = Lease.state.in_(("judged", "skipped")) | _live(asker.now)
    return and_(Lease.person_id == asker.person_id, over)


def _within_quota(asker: Asker) -> ColumnElement[bool]:
    return or_(Item.language.not_in(asker.full), _begun(asker.now))


def _begun(now: int) -> ColumnElement[bool]:
    return or_(Item.judged > 0, exists().where(Lease.item_id == Item.id, _live(now)))


def _live(now: int) -> ColumnElement[bool]:
    return and_(Lease.state == "live", Lease.expires_at > now)
