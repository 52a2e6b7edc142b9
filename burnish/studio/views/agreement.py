"""How well people agree: Krippendorff's alpha with a bootstrap interval.

    alpha = 1 - observed disagreement / disagreement expected by chance

is 1 where all say the same and 0 where they might as well have drawn lots (Krippendorff 2018, chapter 12). A unit is
an item: compare (a, b or tie), thumbs and evaluate are nominal; every scale of rate is an interval scale of its own,
with a unit for each answer; rank is nominal over pairs of answers (better, tie, worse).

Computed by evalica, whose bootstrap (after Hayes's KALPHA) draws from the observed disagreements of pairs; the package
`krippendorff` is under the GPL. The draws have a fixed seed, so the same votes give the same interval.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy.orm import Session

from burnish.studio.options import options_from
from burnish.studio.tables import Project
from burnish.studio.views.votes import Vote, duels, only_for, votes

KINDS = ("compare", "rank", "rate", "thumbs", "evaluate")
RESAMPLES = 1000

Ratings = Mapping[str, Mapping[str, float]]
"""pseudonym -> unit -> value."""


def agreement(session: Session, project: Project) -> dict[str, Any]:
    """Alpha of each measure of a project: `{measure: {alpha, low, high, units, people} or None}`; None where it is not
    defined: no unit that two people judged, or everybody always said one and the same.

    Raises:
        Invalid: this kind of work is not judged by several.
    """
    only_for(project, KINDS, "agreement")
    found = votes(session, project)
    if project.kind == "rate":
        scales = options_from(project.options).scales
        return {scale: alpha(_scale(found, scale), "interval") for scale in scales}
    measure = {"compare": "better", "rank": "order", "thumbs": "good", "evaluate": "verdict"}[project.kind]
    return {measure: alpha(_nominal(project, found), "nominal")}


def alpha(ratings: Ratings, distance: Literal["nominal", "interval"]) -> dict[str, Any] | None:
    """Krippendorff's alpha of values by person and unit, with its 95% interval; None where it is not defined."""
    import evalica
    import pandas  # both slow to import

    people = defaultdict(list)
    for pseudonym, values in ratings.items():
        for unit in values:
            people[unit].append(pseudonym)
    units = [unit for unit, who in people.items() if len(who) > 1]
    said = {values[unit] for values in ratings.values() for unit in units if unit in values}
    if len(said) < 2:
        return None
    rows = [[values.get(unit, float("nan")) for unit in units] for values in ratings.values()]
    result = evalica.alpha_bootstrap(pandas.DataFrame(rows), distance=distance, n_resamples=RESAMPLES, random_state=0)
    return {
        "alpha": float(result.alpha),
        "low": float(result.low),
        "high": float(result.high),
        "units": len(units),
        "people": sum(any(unit in values for unit in units) for values in ratings.values()),
    }


def _scale(found: Sequence[Vote], scale: str) -> Ratings:
    ratings: dict[str, dict[str, float]] = defaultdict(dict)
    for vote in found:
        for answer, scores in enumerate(vote.judgement.content["scores"]):
            if scale in scores:
                ratings[vote.pseudonym][f"{vote.item.id}/{answer}"] = float(scores[scale])
    return ratings


def _nominal(project: Project, found: Sequence[Vote]) -> Ratings:
    ratings: dict[str, dict[str, float]] = defaultdict(dict)
    if project.kind in ("compare", "rank"):
        for duel in duels(project, found):
            unit = f"{duel.vote.item.id}/{duel.left}/{duel.right}"
            ratings[duel.vote.pseudonym][unit] = float(duel.sign)
        return ratings
    verdicts = {"accept": 0.0, "edit": 1.0, "reject": 2.0}
    for vote in found:
        content = vote.judgement.content
        value = float(content["good"]) if project.kind == "thumbs" else verdicts[content["verdict"]]
        ratings[vote.pseudonym][str(vote.item.id)] = value
    return ratings
