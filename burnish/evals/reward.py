"""Figures of a reward model on held-out comparisons: is it right, does it know how sure to be, does it follow length?

A comparison is a prompt with K answers, each with a score, a rank (0 is best) and a length. It makes a pair of every
two answers of different rank, so a ranking of K answers makes up to K (K - 1) / 2 and a chosen-rejected pair makes one.
Answers of equal rank make none. Pairs of one prompt share its luck, and every interval knows it.

    accuracy            share of pairs in which the better answer has the higher score; equal scores count half
    as_scored           calibration of sigmoid(margin), see `evals.calibration`
    calibrated          the same after division by a temperature that was fitted on the other prompts (5 folds)
    rules               accuracy of "the longer one wins" and "the shorter one wins", which a model has to beat
    length_difference   accuracy where the chosen answer is shorter, as long, longer, and by quantile of the difference;
                        a model that learned length is right on one side only
    score_and_length    correlation over answers (Pearson, Spearman) and within pairs: over the pairs in both orders,
                        so that what prompts have in common drops out; sum(m d) / sqrt(sum(m^2) sum(d^2)) for margins m
                        and length differences d

What this does not do: judge whether the preferences are right, or whether the scores of different prompts compare.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from burnish.errors import DataError
from burnish.evals.calibration import Calibration, calibration, cross_fitted, fitted_temperature, share_won, wins
from burnish.evals.correlation import correlation
from burnish.evals.scores import mean_scores
from burnish.stats import Interval, Labels

NUM_LENGTH_BINS = 5

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The answers to one prompt; the three are in the same order.

    Attributes:
        id: the prompt's.
        scores: higher is better.
        ranks: 0 is best, equal ranks are ties.
        lengths: tokens that are scored.
    """

    id: str
    scores: Sequence[float]
    ranks: Sequence[int]
    lengths: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Every two answers of different rank: better minus worse.

    Attributes:
        margins: differences of score, one per pair.
        length_differences: differences of length in tokens.
        prompts: the prompt of each pair.
    """

    margins: Floats
    length_differences: Floats
    prompts: tuple[str, ...]


def pairs_of(comparisons: Sequence[Comparison]) -> Pairs:
    """All pairs of all comparisons.

    Raises:
        DataError: a score is not finite, or no two answers differ in rank.
    """
    margins: list[float] = []
    differences: list[float] = []
    prompts: list[str] = []
    for one in comparisons:
        if not np.isfinite(one.scores).all():
            raise DataError(f"example '{one.id}' has the scores {list(one.scores)}; expected finite numbers")
        for i, j in itertools.permutations(range(len(one.ranks)), 2):
            if one.ranks[i] < one.ranks[j]:
                margins.append(one.scores[i] - one.scores[j])
                differences.append(one.lengths[i] - one.lengths[j])
                prompts.append(one.id)
    if not margins:
        raise DataError(f"found no pair in {len(comparisons)} examples; expected two answers of different rank")
    return Pairs(margins=np.array(margins), length_differences=np.array(differences, float), prompts=tuple(prompts))


def reward_scores(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Everything that `scores.json` holds of a reward model, as plain data (see the top of the file).

    Raises:
        DataError: a score is not finite, or no two answers differ in rank.
    """
    pairs = pairs_of(comparisons)
    return {
        "prompts": len(set(pairs.prompts)),
        "pairs": len(pairs.margins),
        "ties": int((pairs.margins == 0).sum()),
        "accuracy": _accuracy(pairs.margins, pairs.prompts),
        "margin": mean_scores(pairs.margins.tolist(), pairs.prompts),
        **_calibrations(pairs),
        "rules": {
            "longer_wins": _accuracy(pairs.length_differences, pairs.prompts),
            "shorter_wins": _accuracy(-pairs.length_differences, pairs.prompts),
        },
        "length_difference": _by_length_difference(pairs),
        "score_and_length": _score_and_length(comparisons, pairs),
    }


def _calibrations(pairs: Pairs) -> dict[str, Any]:
    fit = fitted_temperature(pairs.margins)
    folds = cross_fitted(pairs.margins, clusters=pairs.prompts) if fit is not None else None
    found: dict[str, Any] = {
        "as_scored": _calibration_dict(calibration(pairs.margins, clusters=pairs.prompts)),
        "temperature": fit,
        "calibrated": None,
    }
    if folds is not None:
        after = calibration(pairs.margins / np.array(folds), clusters=pairs.prompts)
        spread = {"low": min(folds), "high": max(folds)}
        found["calibrated"] = {**_calibration_dict(after), "temperature_of_folds": spread}
    return found


def _calibration_dict(found: Calibration) -> dict[str, Any]:
    return {
        "nll": found.nll,
        "brier": found.brier,
        "ece": found.ece,
        "ece_if_calibrated": found.ece_if_calibrated,
        "bins": [
            {
                "predicted": one.predicted,
                "predicted_low": one.low,
                "predicted_high": one.high,
                **_share_dict(one.observed, "observed"),
            }
            for one in found.bins
        ],
    }


def _by_length_difference(pairs: Pairs) -> dict[str, Any]:
    d = pairs.length_differences
    sides = {"chosen_shorter": d < 0, "same_length": d == 0, "chosen_longer": d > 0}
    return {
        **{name: _accuracy_where(pairs, where) for name, where in sides.items() if where.any()},
        "quantiles": [
            {"from_tokens": int(d[where].min()), "to_tokens": int(d[where].max()), **_accuracy_where(pairs, where)}
            for where in _quantile_bins(d)
        ],
    }


def _score_and_length(comparisons: Sequence[Comparison], pairs: Pairs) -> dict[str, Any]:
    scores = np.array([score for one in comparisons for score in one.scores], dtype=np.float64)
    lengths = np.array([length for one in comparisons for length in one.lengths], dtype=np.float64)
    prompts = [one.id for one in comparisons for _ in one.scores]
    both_ways = np.concatenate([pairs.margins, -pairs.margins])
    differences = np.concatenate([pairs.length_differences, -pairs.length_differences])
    within = correlation(both_ways, differences, clusters=[*pairs.prompts, *pairs.prompts])
    return {
        "pearson": _correlation_dict(correlation(scores, lengths, clusters=prompts)),
        "spearman": _correlation_dict(correlation(rankdata(scores), rankdata(lengths), clusters=prompts)),
        "within_pairs": {**_correlation_dict(within), **({"count": len(pairs.margins)} if within else {})},
        "bins": [
            {
                "from_tokens": int(lengths[where].min()),
                "to_tokens": int(lengths[where].max()),
                "mean_tokens": float(lengths[where].mean()),
                **mean_scores(scores[where].tolist(), [prompts[i] for i in np.flatnonzero(where)]),
            }
            for where in _quantile_bins(lengths)
        ],
    }


def _quantile_bins(values: Floats) -> list[NDArray[np.bool_]]:
    """Masks of about equally many values, from low to high; equal values stay together."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, NUM_LENGTH_BINS + 1)[1:-1]))
    place = np.searchsorted(edges, values, side="right")
    return [place == number for number in np.unique(place)]


def _accuracy(margins: Floats, prompts: Labels) -> dict[str, float]:
    return _share_dict(share_won(wins(margins), clusters=prompts), "accuracy")


def _accuracy_where(pairs: Pairs, where: NDArray[np.bool_]) -> dict[str, float]:
    return _accuracy(pairs.margins[where], [pairs.prompts[i] for i in np.flatnonzero(where)])


def _share_dict(share: Interval, name: str) -> dict[str, float]:
    return {name: share.estimate, "low": share.low, "high": share.high, "count": share.count}


def _correlation_dict(found: Interval | None) -> dict[str, float]:
    """{} if there is no correlation, because the scores or the lengths are all the same."""
    if found is None:
        return {}
    return {"estimate": found.estimate, "low": found.low, "high": found.high, "count": found.count}
