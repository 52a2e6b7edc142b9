"""What sways people besides the answers: their place on the screen, their length, and who judges.

    first     of the votes that are no tie, the share for the answer that stood first; 0.5 if places do not matter,
              as the order is drawn for each person
    longer    of those whose answers differ in length, the share for the longer one
    agrees    of one person's votes on items that came to something, the share that says the same

Each with a 95% interval by Wilson's score, in which the votes on one item are not independent (`burnish.stats`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from burnish.stats import Interval, pass_rate
from burnish.studio.agreed import Outcome, agrees, outcomes
from burnish.studio.tables import Project
from burnish.studio.views.votes import Vote, interval_dict, only_for, votes

KINDS = ("compare",)


def bias(session: Session, project: Project) -> dict[str, Any]:
    """`{first, longer, people: [{pseudonym, votes, first, longer, agrees}]}`; each share as `{estimate, low, high,
    count}`, or None where there is nothing to count.

    Raises:
        Invalid: the project does not compare two answers.
    """
    only_for(project, KINDS, "bias panel")
    found = votes(session, project)
    came_to = outcomes(session, project)
    people = sorted({vote.pseudonym for vote in found})
    lines = [_line(project, person, [vote for vote in found if vote.pseudonym == person], came_to) for person in people]
    return {"first": interval_dict(_first(found)), "longer": interval_dict(_longer(found)), "people": lines}


def _line(project: Project, pseudonym: str, found: Sequence[Vote], came_to: Mapping[int, Outcome]) -> dict[str, Any]:
    agreed = {key: one.content for key, one in came_to.items() if one.content is not None}
    same = [
        (agrees(project, vote.judgement.content, agreed[vote.item.id]), vote.item.id)
        for vote in found
        if vote.item.id in agreed
    ]
    return {
        "pseudonym": pseudonym,
        "votes": len(found),
        "first": interval_dict(_first(found)),
        "longer": interval_dict(_longer(found)),
        "agrees": interval_dict(_share(same)),
    }


def _first(found: Sequence[Vote]) -> Interval | None:
    better = [(vote, vote.judgement.content["better"]) for vote in found]
    return _share([(choice == vote.first_place, vote.item.id) for vote, choice in better if choice is not None])


def _longer(found: Sequence[Vote]) -> Interval | None:
    better = [(vote, vote.judgement.content["better"]) for vote in found]
    return _share(
        [
            (vote.lengths[choice] > vote.lengths[1 - choice], vote.item.id)
            for vote, choice in better
            if choice is not None and vote.lengths[0] != vote.lengths[1]
        ]
    )


def _share(outcomes: Sequence[tuple[bool, int]]) -> Interval | None:
    if not outcomes:
        return None
    return pass_rate([float(passed) for passed, _ in outcomes], clusters=[item for _, item in outcomes])
