"""What sways people besides the answers: their place on the screen, their length, and who judges.

Votes that compare, rank or rate are looked at as pairs of answers to one prompt (`votes.duels`); ties count nowhere.

    first     of the pairs, the share in which the answer that stood earlier on the screen won; 0.5 if places do not
              matter, as the order is drawn for each person
    longer    of those whose answers differ in length, the share that the longer one won
    agrees    of one person's votes on items that came to something, the share that says the same

and where people rate, in points of the scales' mean:

    gap       what the longer answer of a pair is given more than the shorter one
    offset    what one person gives more than the others give, on average, to the same answers

Each with a 95% interval, in which the votes on one item are not independent (`burnish.stats`): Wilson's score for
shares, Student's t for points.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from sqlalchemy.orm import Session

from burnish.stats import Interval, mean_interval, pass_rate
from burnish.studio.agreed import Outcome, agrees, outcomes
from burnish.studio.tables import Project
from burnish.studio.views.votes import Duel, Vote, duels, interval_dict, only_for, votes

KINDS = ("compare", "rank", "rate")

Points = Sequence[tuple[float, int]]
"""Values, each with the item that it is about."""


def bias(session: Session, project: Project) -> dict[str, Any]:
    """`{first, longer, gap, people: [{pseudonym, votes, first, longer, agrees, offset}]}`; each number as `{estimate,
    low, high, count}`, or None where there is nothing to count or, of `gap` and `offset`, people do not rate.

    Raises:
        Invalid: the project neither compares nor ranks nor rates answers.
    """
    only_for(project, KINDS, "bias panel")
    found = votes(session, project)
    came_to = outcomes(session, project)
    others = _scores(found) if project.kind == "rate" else {}
    by_person: dict[str, list[Vote]] = defaultdict(list)
    for vote in found:
        by_person[vote.pseudonym].append(vote)
    return {
        **_swayed(list(duels(project, found))),
        "gap": interval_dict(_mean(_gaps(found) if project.kind == "rate" else [])),
        "people": [
            {
                "pseudonym": pseudonym,
                "votes": len(of_person),
                **_swayed(list(duels(project, of_person))),
                "agrees": interval_dict(_agreed(project, of_person, came_to)),
                "offset": interval_dict(_mean(_offsets(of_person, others))),
            }
            for pseudonym, of_person in sorted(by_person.items())
        ],
    }


def _swayed(pairs: Sequence[Duel]) -> dict[str, Any]:
    """The shares of the earlier and of the longer answer."""
    decided = [(pair, pair.left if pair.sign < 0 else pair.right) for pair in pairs if pair.sign]
    first = [(float(won == _earlier(pair)), pair.vote.item.id) for pair, won in decided]
    lengths = [(pair, won, pair.vote.lengths) for pair, won in decided]
    longer = [
        (float(of[won] == max(of[pair.left], of[pair.right])), pair.vote.item.id)
        for pair, won, of in lengths
        if of[pair.left] != of[pair.right]
    ]
    return {"first": interval_dict(_share(first)), "longer": interval_dict(_share(longer))}


def _earlier(pair: Duel) -> int:
    """The answer of a pair that stood earlier on the screen."""
    return min(pair.left, pair.right, key=pair.vote.judgement.shown_order.index)


def _agreed(project: Project, found: Sequence[Vote], came_to: Mapping[int, Outcome]) -> Interval | None:
    agreed = {key: one.content for key, one in came_to.items() if one.content is not None}
    same = [
        (float(agrees(project, vote.judgement.content, agreed[vote.item.id])), vote.item.id)
        for vote in found
        if vote.item.id in agreed
    ]
    return _share(same)


def _given(vote: Vote) -> list[float]:
    """The mean of the scales, for each answer."""
    return [fmean(scores.values()) for scores in vote.judgement.content["scores"]]


def _gaps(found: Sequence[Vote]) -> list[tuple[float, int]]:
    return [
        (given[longer] - given[shorter], vote.item.id)
        for vote in found
        for given, lengths in [(_given(vote), vote.lengths)]
        for longer, shorter in itertools.permutations(range(len(given)), 2)
        if lengths[longer] > lengths[shorter]
    ]


def _scores(found: Sequence[Vote]) -> dict[tuple[int, int], list[float]]:
    """What everybody gave to each answer, by item and answer."""
    scores: dict[tuple[int, int], list[float]] = defaultdict(list)
    for vote in found:
        for answer, given in enumerate(_given(vote)):
            scores[vote.item.id, answer].append(given)
    return scores


def _offsets(found: Sequence[Vote], everybody: Mapping[tuple[int, int], Sequence[float]]) -> list[tuple[float, int]]:
    offsets = []
    for vote in found if everybody else ():
        for answer, given in enumerate(_given(vote)):
            all_given = everybody[vote.item.id, answer]
            if len(all_given) > 1:
                others = (sum(all_given) - given) / (len(all_given) - 1)
                offsets.append((given - others, vote.item.id))
    return offsets


def _share(points: Points) -> Interval | None:
    if not points:
        return None
    return pass_rate([value for value, _ in points], clusters=[item for _, item in points])


def _mean(points: Points) -> Interval | None:
    """None also for a single item, of which no interval can be told."""
    if len({item for _, item in points}) < 2:
        return None
    return mean_interval([value for value, _ in points], clusters=[item for _, item in points])
