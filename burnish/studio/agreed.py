"""What several people's judgements of an item come to.

    compare, thumbs    what more than half of them say; the weight is their share
    evaluate           rejected if more than half reject, accepted if more than half accept, accepted with a text if
                       more than half propose that same text (spaces apart); the weight is the deciding share
    rank               the ranks of the mean ranks; the weight is the share of pairs of answers, over all people, that
                       stand in that order
    rate               the mean score of each answer on each scale; the weight is 1 less the mean distance from it, in
                       units of the scale's width
    writing, spans     each stands for itself, with weight 1

A reviewer's decision holds instead of all that, with weight 1. An item on which people come to nothing is a dispute:
no majority, or a weight of a half or less.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from sqlalchemy import null, select
from sqlalchemy.orm import Session

from burnish.studio.options import options_from
from burnish.studio.record import newest, spoken
from burnish.studio.tables import Adjudication, Item, Judgement, Project

Stored = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an item came to.

    Attributes:
        content: in the item's order; None if people disagree.
        weight: agreement from 0 to 1.
        decided_by: "votes" or "reviewer".
    """

    content: Stored | None
    weight: float
    decided_by: Literal["votes", "reviewer"] = "votes"

    @property
    def disputed(self) -> bool:
        """Whether a reviewer has to decide."""
        return self.content is None


def outcome(session: Session, project: Project, item: Item) -> Outcome | None:
    """What an item came to; None as long as fewer people than asked have judged it, or where each judgement stands
    for itself.
    """
    decisions = select(Adjudication).where(Adjudication.item_id == item.id).order_by(Adjudication.id.desc()).limit(1)
    if (decision := session.scalar(decisions)) is not None:
        return _decided(decision.content)
    if item.state != "done" or project.kind not in _TOGETHER:
        return None
    return together(project, [judgement.content for judgement in spoken(session, item)])


def outcomes(session: Session, project: Project) -> dict[int, Outcome]:
    """What each item of a project came to, by the item's id, in two queries; those of which `outcome` says None are
    left out.
    """
    contents: dict[int, list[Stored]] = defaultdict(list)
    if project.kind in _TOGETHER:
        said = (
            select(Judgement.item_id, Judgement.content)
            .join(Item, Item.id == Judgement.item_id)
            .where(Item.project_id == project.id, Item.state == "done", Item.gold.is_(null()))
            .where(Judgement.counted, newest())
        )
        for item_id, content in session.execute(said.order_by(Judgement.id)):
            contents[item_id].append(content)
    decisions = (
        select(Adjudication.item_id, Adjudication.content)
        .join(Item, Item.id == Adjudication.item_id)
        .where(Item.project_id == project.id)
    )
    found = {item_id: together(project, of_item) for item_id, of_item in contents.items()}
    decided = session.execute(decisions.order_by(Adjudication.id)).all()
    return {**found, **{item_id: _decided(content) for item_id, content in decided}}


def together(project: Project, contents: Sequence[Stored]) -> Outcome:
    """What contents of one item come to; at least one."""
    return _TOGETHER[project.kind](contents, project)


def agrees(project: Project, content: Stored, agreed: Stored) -> bool:
    """Whether one person said what all came to."""
    if project.kind == "rate":
        near = zip(_flat(content), _flat(agreed), strict=True)
        return all(abs(one - other) <= 1 for one, other in near)
    return bool(_said(project, content) == _said(project, agreed))


def _decided(content: Stored) -> Outcome:
    return Outcome(content=content, weight=1.0, decided_by="reviewer")


def _said(project: Project, content: Stored) -> Any:
    if project.kind == "evaluate":
        return content["verdict"], " ".join(content.get("text", "").split())
    return content.get({"compare": "better", "thumbs": "good", "rank": "ranks"}.get(project.kind, "text"))


def _majority(contents: Sequence[Stored], project: Project) -> Outcome:
    (said, count), *_ = Counter(_said(project, content) for content in contents).most_common(1)
    share = count / len(contents)
    if 2 * count <= len(contents):
        return Outcome(content=None, weight=share)
    name = "better" if project.kind == "compare" else "good"
    return Outcome(content={name: said}, weight=share)


def _reviewed(contents: Sequence[Stored], project: Project) -> Outcome:
    (said, count), *_ = Counter(_said(project, content) for content in contents).most_common(1)
    verdicts = Counter(content["verdict"] for content in contents)
    verdict, most = verdicts.most_common(1)[0]
    if 2 * most > len(contents) and verdict != "edit":
        return Outcome(content={"verdict": verdict}, weight=most / len(contents))
    if 2 * count > len(contents):
        text = next(content["text"] for content in contents if _said(project, content) == said)
        return Outcome(content={"verdict": "edit", "text": text}, weight=count / len(contents))
    return Outcome(content=None, weight=most / len(contents))


def _ranked(contents: Sequence[Stored], project: Project) -> Outcome:
    means = [fmean(ranks) for ranks in zip(*(content["ranks"] for content in contents), strict=True)]
    order = sorted(set(means))
    ranks = [order.index(mean) for mean in means]
    pairs = list(itertools.combinations(range(len(ranks)), 2))
    same = [
        _sign(content["ranks"][i] - content["ranks"][j]) == _sign(ranks[i] - ranks[j])
        for content in contents
        for i, j in pairs
    ]
    weight = fmean(same)
    return Outcome(content={"ranks": ranks} if weight > 0.5 else None, weight=weight)


def _rated(contents: Sequence[Stored], project: Project) -> Outcome:
    scales = options_from(project.options).scales
    num_answers = len(contents[0]["scores"])
    scores = [{scale: fmean(c["scores"][i][scale] for c in contents) for scale in scales} for i in range(num_answers)]
    agreed = {"scores": scores}
    width = options_from(project.options).highest - 1
    apart = [abs(a - b) / width for content in contents for a, b in zip(_flat(content), _flat(agreed), strict=True)]
    weight = 1 - fmean(apart)
    return Outcome(content=agreed if weight > 0.5 else None, weight=weight)


def _flat(content: Stored) -> list[float]:
    return [scores[scale] for scores in content["scores"] for scale in sorted(scores)]


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


_TOGETHER: Mapping[str, Callable[[Sequence[Stored], Project], Outcome]] = {
    "compare": _majority,
    "thumbs": _majority,
    "evaluate": _reviewed,
    "rank": _ranked,
    "rate": _rated,
}
