"""Which model answers best: Bradley-Terry strengths from pairs of answers, with ties, regularised, with intervals.

The odds that model a beats model b are their strengths' quotient, s_a / s_b (Bradley and Terry 1952); a tie is half a
win for both. Computed by evalica. Ratings are 400 log10 of the strengths, less their mean: 400 more is odds of 10 to 1.

Without regularisation a model that won every time would have no finite rating, nor would two groups of models that
never met be comparable. So every model is given one more game, a tie, shared out among all others.

Of an arena's conversation only the first vote counts: after it the models' names are told.

Intervals are percentiles of a bootstrap over items, as the votes on one item are not independent; its seed is fixed.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish.studio.tables import Conversation, Project, Turn, Vote
from burnish.studio.views.votes import duels, only_for, votes

KINDS = ("compare", "rank", "rate", "arena")
RESAMPLES = 200
_TOLERANCE, _LIMIT = 1e-6, 1000

Game = tuple[str, str, int]
"""Two models and who won: -1 the first, 0 a tie, 1 the second."""


def ratings(session: Session, project: Project) -> list[dict[str, Any]]:
    """One entry for each model, the best first: `{model, rating, low, high, wins, ties, losses}`.

    Raises:
        Invalid: the project compares no answers.
    """
    only_for(project, KINDS, "ratings")
    if project.kind == "arena":
        return rated(_blind(session, project))
    by_item: dict[int, list[Game]] = defaultdict(list)
    for duel in duels(project, votes(session, project)):
        item = duel.vote.item
        left, right = item.answers[duel.left]["model"], item.answers[duel.right]["model"]
        if left is not None and right is not None and left != right:
            by_item[item.id].append((left, right, duel.sign))
    return rated(list(by_item.values()))


def _blind(session: Session, project: Project) -> list[list[Game]]:
    """The first vote of each conversation of an arena: at later ones the person knows who the models are."""
    query = (
        select(Conversation, Vote.better)
        .join(Turn, Turn.conversation_id == Conversation.id)
        .join(Vote, Vote.turn_id == Turn.id)
        .where(Conversation.project_id == project.id)
        .order_by(Vote.id)
    )
    first: dict[int, Game] = {}
    for conversation, better in session.execute(query):
        sign = {"left": -1, None: 0, "right": 1}[better]
        first.setdefault(conversation.id, (conversation.left, conversation.right, sign))
    return [[game] for game in first.values()]


def rated(items: Sequence[Sequence[Game]]) -> list[dict[str, Any]]:
    """The entries for games that are grouped by item."""
    games = [game for item in items for game in item]
    models = sorted({model for left, right, _ in games for model in (left, right)})
    if not models:
        return []
    estimate = strengths(models, games)
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        chosen = generator.integers(len(items), size=len(items))
        drawn.append(strengths(models, [game for number in chosen for game in items[number]]))
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    entries = [
        {"model": model, "rating": estimate[i], "low": float(low[i]), "high": float(high[i]), **_counts(model, games)}
        for i, model in enumerate(models)
    ]
    return sorted(entries, key=lambda entry: (-entry["rating"], entry["model"]))


def strengths(models: Sequence[str], games: Sequence[Game]) -> list[float]:
    """The rating of each model, 400 log10 of its strength, with mean 0."""
    import evalica  # slow to import

    winner = {-1: evalica.Winner.X, 0: evalica.Winner.Draw, 1: evalica.Winner.Y}
    pairs = list(itertools.combinations(models, 2))
    result = evalica.bradley_terry(
        [left for left, _, _ in games] + [left for left, _ in pairs],
        [right for _, right, _ in games] + [right for _, right in pairs],
        [winner[sign] for _, _, sign in games] + [evalica.Winner.Draw] * len(pairs),
        weights=[1.0] * len(games) + [1 / (len(models) - 1)] * len(pairs),
        tolerance=_TOLERANCE,
        limit=_LIMIT,
    )
    logs = [400 * math.log10(float(result.scores[model])) for model in models]
    mean = math.fsum(logs) / len(logs)
    return [value - mean for value in logs]


def _counts(model: str, games: Sequence[Game]) -> dict[str, int]:
    signs = [-sign if left == model else sign for left, right, sign in games if model in (left, right)]
    return {"wins": signs.count(1), "ties": signs.count(0), "losses": signs.count(-1)}
