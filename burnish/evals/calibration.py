"""Calibration of preference probabilities: do 80% mean 80%? Reliability bins, ECE, Brier score, NLL, temperature.

A scorer says P(the first answer is better) = sigmoid(m / T) for the margin m = score(first) - score(second) and a
temperature T. Every pair is shown chosen first, so "chosen is better" would hold always and a diagram of it would say
nothing. Two readings are sound, and they agree:

    oriented      the answer that the scorer prefers goes first: predicted p = sigmoid(|m| / T) in [0.5, 1], and the
                  prediction comes true (1) if that answer is the chosen one; with m = 0, p is 0.5 and half comes true
    symmetrised   both orders are counted, (p, y) and (1 - p, 1 - y): the same bins and their mirror images below 0.5

This file orients, so every pair counts once. Brier score and negative log-likelihood are the same in both readings.

    NLL    mean of log(1 + exp(-m / T)) for m = chosen - rejected, nats; log 2 = 0.693 is knowing nothing
    Brier  mean of (1 - sigmoid(m / T))^2; 0.25 is knowing nothing (Brier 1950)
    ECE    sum over bins of (pairs in the bin / pairs) * |mean predicted - share come true| (Naeini et al. 2015), with
           bins of equal count, whose bias is smaller than that of equal widths (Roelofs et al. 2022)

An ECE is above 0 even for a perfect scorer, because each bin's share is a draw. `ece_if_calibrated` is what to expect
of one with these probabilities and bins: the mean size of a normal deviation, sqrt(2 / pi) * sqrt(sum p (1 - p)) /
pairs, added over the bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

from burnish.stats import Interval, Labels, pass_rate

NUM_BINS = 10
NUM_FOLDS = 5

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Pairs whose preferred answer has a similar probability.

    Attributes:
        low, high: smallest and largest predicted probability, 0.5 to 1.
        predicted: their mean.
        observed: the share that came true, with its interval; ties count half.
    """

    low: float
    high: float
    predicted: float
    observed: Interval


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How well probabilities agree with what came true; NLL in nats per pair."""

    nll: float
    brier: float
    ece: float
    ece_if_calibrated: float
    bins: tuple[Bin, ...]


def calibration(logits: Floats, *, clusters: Labels, num_bins: int = NUM_BINS) -> Calibration:
    """The calibration of probabilities sigmoid(logits) that the chosen answer is the better one.

    Args:
        logits: chosen minus rejected, divided by the temperature, one per pair.
        clusters: the prompt of each pair.
        num_bins: bins of about equal count; pairs of equal probability stay together, so there may be fewer.

    Raises:
        ValueError: no pairs, or a logit that is not finite.
    """
    if not len(logits) or not np.isfinite(logits).all():
        raise ValueError(f"found {len(logits)} pairs, finite or not; calibration needs 1 or more, all finite")
    predicted = expit(np.abs(logits))
    came_true = wins(logits)
    edges = np.quantile(predicted, np.linspace(0, 1, num_bins + 1)[1:-1])
    place = np.searchsorted(np.unique(edges), predicted, side="right")
    members = [np.flatnonzero(place == number) for number in np.unique(place)]
    bins = tuple(_bin(predicted[here], came_true[here], [clusters[int(i)] for i in here]) for here in members)
    deviations = [float(np.sqrt(np.sum(predicted[here] * (1 - predicted[here])))) for here in members]
    return Calibration(
        nll=float(np.logaddexp(0, -logits).mean()),
        brier=float(np.mean((1 - expit(logits)) ** 2)),
        ece=sum(abs(b.predicted - b.observed.estimate) * b.observed.count for b in bins) / len(logits),
        ece_if_calibrated=float(np.sqrt(2 / np.pi)) * sum(deviations) / len(logits),
        bins=bins,
    )


def fitted_temperature(margins: Floats) -> float | None:
    """The temperature that minimises the NLL of the margins (Guo et al. 2017), None where no finite one does.

    The NLL is convex in 1/T. Its minimum is finite and above 0 only if the margins favour the chosen answers on average
    (otherwise T grows without end: the scores say nothing, or the opposite) and some margin is negative (otherwise T
    falls to 0: nothing says how sure is too sure).
    """
    if not len(margins) or float(margins.mean()) <= 0 or float(margins.min()) >= 0:
        return None
    unit = float(np.sqrt(np.mean(margins**2)))
    scaled = margins / unit

    def nll(log_temperature: float) -> float:
        return float(np.logaddexp(0, -scaled * np.exp(-log_temperature)).mean())

    found = minimize_scalar(nll, bounds=(-12.0, 12.0), method="bounded", options={"xatol": 1e-9})
    return unit * float(np.exp(found.x))


def cross_fitted(margins: Floats, *, clusters: Labels, num_folds: int = NUM_FOLDS) -> tuple[float, ...] | None:
    """For each pair a temperature that was fitted without its own fold, None where a fold has no fit.

    Prompts are dealt to the folds in the order of their names, so the order of the pairs does not matter and the pairs
    of one prompt stay together. Probabilities at these temperatures are not flattered by the fit.
    """
    names = sorted({str(label) for label in clusters})
    if len(names) < num_folds:
        return None
    fold_of = {name: number % num_folds for number, name in enumerate(names)}
    fold = np.array([fold_of[str(label)] for label in clusters])
    fits = [fitted_temperature(margins[fold != number]) for number in range(num_folds)]
    known = [fit for fit in fits if fit is not None]
    return tuple(known[number] for number in fold) if len(known) == num_folds else None


def wins(margins: Floats) -> Floats:
    """1 where the chosen answer has the higher score, 0.5 where the two are equal, 0 elsewhere."""
    return 0.5 * (np.sign(margins) + 1)


def share_won(outcomes: Floats, *, clusters: Labels) -> Interval:
    """The mean of outcomes of 0, 0.5 and 1 with Wilson's interval, those of one prompt taken together.

    Where there are ties every outcome counts as two halves of one cluster (1 is two passes, 0.5 is one, 0 is none); the
    design effect of `stats.pass_rate` takes the doubling back.

    Raises:
        ValueError: no outcomes.
    """
    if not (outcomes == 0.5).any():
        return pass_rate(outcomes.tolist(), clusters=clusters)
    halves = np.concatenate([np.ceil(outcomes), np.floor(outcomes)])
    doubled = pass_rate(halves.tolist(), clusters=[*clusters, *clusters])
    return Interval(estimate=doubled.estimate, low=doubled.low, high=doubled.high, count=len(outcomes))


def _bin(predicted: Floats, came_true: Floats, clusters: Labels) -> Bin:
    return Bin(
        low=float(predicted.min()),
        high=float(predicted.max()),
        predicted=float(predicted.mean()),
        observed=share_won(came_true, clusters=clusters),
    )
