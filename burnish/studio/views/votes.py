"""The judgements that views count: those that hold, of ordinary items, each with its item and its person."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import null, select
from sqlalchemy.orm import Session

from burnish.stats import Interval
from burnish.studio.record import newest
from burnish.studio.refusals import Invalid
from burnish.studio.shapes import ranks_of
from burnish.studio.tables import Item, Judgement, Person, Project


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One judgement with what it is about.

    Attributes:
        judgement, item: as stored.
        pseudonym: of who judged.
    """

    judgement: Judgement
    item: Item
    pseudonym: str

    @property
    def first_place(self) -> int:
        """The answer that stood first on the screen."""
        return int(self.judgement.shown_order[0])

    @property
    def lengths(self) -> list[int]:
        """Code points of the last message of each answer."""
        return [len(answer["messages"][-1]["content"]) for answer in self.item.answers]


@dataclass(frozen=True, kw_only=True)
class Duel:
    """Two answers to one prompt as one person saw them: `sign` is -1 if the left one is better, 0 for a tie, 1."""

    vote: Vote
    left: int
    right: int
    sign: int


def votes(session: Session, project: Project) -> list[Vote]:
    """The votes of a project, in the order in which they came."""
    query = (
        select(Judgement, Item, Person.pseudonym)
        .join(Item, Item.id == Judgement.item_id)
        .join(Person, Person.id == Judgement.person_id)
        .where(Judgement.project_id == project.id, Judgement.counted, newest())
        .where(Item.gold.is_(null()), Item.state != "withdrawn")
        .order_by(Judgement.id)
    )
    return [Vote(judgement=j, item=item, pseudonym=pseudonym) for j, item, pseudonym in session.execute(query)]


def duels(project: Project, found: Sequence[Vote]) -> Iterator[Duel]:
    """Every pair of answers in votes that compare, rank or rate."""
    for vote in found:
        ranks, _ = ranks_of(project.kind, vote.judgement.content)
        for left, right in itertools.combinations(range(len(ranks)), 2):
            sign = (ranks[left] > ranks[right]) - (ranks[left] < ranks[right])
            yield Duel(vote=vote, left=left, right=right, sign=sign)


def only_for(project: Project, kinds: Sequence[str], what: str) -> None:
    """Refuse a view of another kind of work.

    Raises:
        Invalid: the project is of none of the kinds.
    """
    if project.kind not in kinds:
        raise Invalid("kind", f"work of the kind '{project.kind}' has no {what}; that is for {', '.join(kinds)}")


def interval_dict(interval: Interval | None) -> dict[str, float | int] | None:
    """An interval as JSON; None where there is nothing to count."""
    if interval is None:
        return None
    return {"estimate": interval.estimate, "low": interval.low, "high": interval.high, "count": interval.count}
