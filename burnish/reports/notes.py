"""Notes on trouble that a run's metrics show, each with what it may mean.

Every check compares the mean of the first fifth of the steps with that of the last fifth, so that noise of single steps
does not decide. Thresholds are rules of thumb: a note asks the reader to look, it does not fail a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from burnish.data.mixing.reweighting import ONE_HOT
from burnish.reports.records import Row, Run
from burnish.reports.scale import number_of, percent, plain

FEWEST_STEPS = 5
FALL_OF_LOGP = 0.03
"""Share of the chosen answers' log-probability that may be lost without a note."""
DRIFT_OF_RATIO = 0.10
UNEQUAL_LENGTHS = 1.25
RISE_OF_HELD_OUT_LOSS = 0.02

CHECKED = (
    "the chosen answers' log-probability, the ratio of the rejected to the chosen answers' length, held-out loss "
    "against its lowest value, a held-out score that fell while the reward rose, weights of domains that collapsed "
    "onto one, metrics without a finite value, and whether the run ended"
)


def notes(run: Run) -> tuple[str, ...]:
    """The notes on one training run; empty when nothing was seen."""
    return (
        *_unfinished(run),
        *_falling_logp(run.steps),
        *_length_drift(run.steps),
        *_overfitting(run.steps),
        *_gamed(run.steps),
        *_collapsed(run.steps),
        *_missing_values(run.steps),
    )


def _unfinished(run: Run) -> Iterator[str]:
    if not run.finished:
        last = (
            f"the last line of metrics is step {run.steps[-1]['step']:g}" if run.steps else "there are no metrics yet"
        )
        yield f"This run is not finished: {last}."


def _falling_logp(steps: Sequence[Row]) -> Iterator[str]:
    ends = _ends([row["logp_chosen"] for row in steps if "logp_chosen" in row])
    if ends is None:
        return
    first, last = ends
    if last < first - FALL_OF_LOGP * abs(first):
        yield (
            f"The chosen answers' log-probability falls from {plain(first)} to {plain(last)} nats per answer. "
            "A DPO loss allows this as long as the rejected answers fall faster; the probability goes to answers that "
            "are in neither. Compare the scores; a larger beta or fewer steps holds it."
        )


def _length_drift(steps: Sequence[Row]) -> Iterator[str]:
    rows = [row for row in steps if row.get("length_chosen", 0) > 0 and row.get("length_rejected", 0) > 0]
    ends = _ends([row["length_rejected"] / row["length_chosen"] for row in rows])
    if ends is None:
        return
    first, last = ends
    if abs(last / first - 1) > DRIFT_OF_RATIO:
        yield (
            f"The ratio of rejected to chosen length drifts from {first:.2f} to {last:.2f} over the run: "
            "part of what is learnt may be length."
        )
    mean = sum(row["length_rejected"] / row["length_chosen"] for row in rows) / len(rows)
    if mean > UNEQUAL_LENGTHS or mean < 1 / UNEQUAL_LENGTHS:
        longer = "shorter" if mean > 1 else "longer"
        yield (
            f"Chosen answers are {longer} than rejected ones (rejected to chosen: {mean:.2f}): the pairs prefer a "
            "length, whatever else they prefer."
        )


def _overfitting(steps: Sequence[Row]) -> Iterator[str]:
    points = [(row["step"], row["held_out_loss"]) for row in steps if "held_out_loss" in row]
    if len(points) < 3:
        return
    best_step, best = min(points, key=lambda point: point[1])
    last = points[-1][1]
    if last > best + RISE_OF_HELD_OUT_LOSS * abs(best):
        yield (
            f"Held-out loss was lowest at step {best_step:g} ({plain(best)}) and ends at {plain(last)}, "
            f"{percent(last / best - 1)} higher: the run may be too long for its data."
        )


def _gamed(steps: Sequence[Row]) -> Iterator[str]:
    looks = [row for row in steps if {"held_out_score", "held_out_score_high", "reward"} <= row.keys()]
    if not looks:
        return
    best, last = max(looks, key=lambda row: row["held_out_score"]), looks[-1]
    if last["held_out_score_high"] < best["held_out_score"] and last["reward"] > best["reward"]:
        yield (
            f"The held-out score fell from {plain(best['held_out_score'])} at step {best['step']:g} to "
            f"{plain(last['held_out_score'])}, while the reward rose from {plain(best['reward'])} to "
            f"{plain(last['reward'])}: the reward is being gamed. Keep the best weights (looks.keep best), stop "
            "earlier (looks.patience), or make the KL dearer (kl.weight)."
        )


def _collapsed(steps: Sequence[Row]) -> Iterator[str]:
    prefix = "domain_weight/"
    for name in sorted({name for row in steps for name in row if name.startswith(prefix)}):
        ends = _ends([row[name] for row in steps if name in row])
        if ends is not None and ends[1] > ONE_HOT:
            yield (
                f"The weights of the domains have collapsed: '{name.removeprefix(prefix)}' has {percent(ends[1])} at "
                "the end, and the proxy learns little of the others. Raise smoothing, or lower step_size."
            )


def _missing_values(steps: Sequence[Row]) -> Iterator[str]:
    """Names that stand on most lines, but not on all: a value there was not finite.

    Members of a family (`excess_loss/web`) are left out: a batch may have had nothing of that domain.
    """
    for name in sorted({name for row in steps for name in row}):
        missing = [row["step"] for row in steps if name not in row]
        if missing and len(missing) < 0.5 * len(steps) and not name.startswith("held_out_") and "/" not in name:
            steps_text = number_of(len(missing), "step")
            yield f"'{name}' has no finite value at {steps_text}, the first of them step {missing[0]:g}."


def _ends(values: Sequence[float]) -> tuple[float, float] | None:
    """The means of the first and of the last fifth, None if the run is too short to tell."""
    if len(values) < FEWEST_STEPS:
        return None
    fifth = max(1, len(values) // 5)
    return sum(values[:fifth]) / fifth, sum(values[-fifth:]) / fifth
