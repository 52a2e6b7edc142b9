"""Runs of several methods beside each other: how often their answers pass, and how far training moved the model.

Runs are called "METHOD STRENGTH". All of them must have been measured from one reference, the model that they started
from; where a page shows an evaluation of that model itself, it is the start, and gains are counted from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.errors import StoreError
from burnish.reports.evaluations import TEST, Evaluation, gain, rate, read_evaluation
from burnish.reports.lineage import artefact_key
from burnish.reports.records import read_run
from burnish.reports.scale import percent, plain
from burnish.stats import Interval


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One run of the comparison.

    Attributes:
        name: as the recipe calls it.
        method, strength: the first word of the name, and the rest.
        series: number of the colour and shape of its method; 0 is the start.
        rate: of the answers to test prompts that pass.
        gain: in pass rate over the start, on the same prompts; None where the start was not measured on them.
        kl, kl_per_token: nats, from the reference.
        length: of the answers, tokens.
        ahead: whether no other run passes as often at a smaller KL, or more often at no larger one.
    """

    name: str
    method: str
    strength: str
    series: int
    rate: Interval
    gain: Interval | None
    kl: Interval
    kl_per_token: Interval
    length: Interval | None
    ahead: bool


def read_compared(folders: Mapping[str, Path], others: Sequence[Evaluation]) -> tuple[Compared, ...]:
    """Read the measured runs of a comparison; the start comes first.

    Args:
        folders: of `evaluate` runs, by "METHOD STRENGTH".
        others: evaluations on the same page; one that measured the reference itself is where all runs started.

    Raises:
        StoreError: a folder cannot be read, was measured without a reference, or from another one than the first.
    """
    references = {name: _measured_from(name, folder) for name, folder in folders.items()}
    evaluations = [read_evaluation(name, folder) for name, folder in folders.items()]
    first, reference = next(iter(references.items()))
    if apart := [name for name, key in references.items() if key != reference]:
        raise StoreError(
            f"'{apart[0]}' has its KL from another model than '{first}', so they share no axis; evaluate both with "
            "one --reference_model"
        )
    starts = [one for one in others if "kl" in one.figures and _is_reference(one, reference)]
    return compared(evaluations, starts[0] if starts else None)


def compared(evaluations: Sequence[Evaluation], start: Evaluation | None) -> tuple[Compared, ...]:
    """Measured runs, all with a KL among their figures, behind their start."""
    shown = [*([start] if start else []), *evaluations]
    methods = list(dict.fromkeys(one.name.partition(" ")[0] for one in evaluations))
    rates = [rate(one.of(TEST)) for one in shown]
    kls = [_figure(one, "kl") for one in shown]
    runs = []
    for one, passed, kl in zip(shown, rates, kls, strict=True):
        method, _, strength = one.name.partition(" ")
        others = [(r.estimate - passed.estimate, kl.estimate - k.estimate) for r, k in zip(rates, kls, strict=True)]
        better = any(more >= 0 and nearer >= 0 and (more, nearer) != (0, 0) for more, nearer in others)
        runs.append(
            Compared(
                name=one.name,
                method=one.name if one is start else method,
                strength="" if one is start else strength,
                series=0 if one is start else 1 + methods.index(method),
                rate=passed,
                gain=gain(start.of(TEST), one.of(TEST)) if start and one is not start else None,
                kl=kl,
                kl_per_token=_figure(one, "kl_per_token"),
                length=one.figures.get("length_tokens"),
                ahead=not better,
            )
        )
    return tuple(runs)


def frontier_finding(runs: Sequence[Compared]) -> str:
    """Which runs no other one beats on both counts, with what the intervals allow to say."""
    ahead = sorted((run for run in runs if run.ahead and run.series), key=lambda run: run.kl.estimate)
    if not ahead:
        return "No run passes more often than the start."
    named = ", ".join(f"{run.name} ({percent(run.rate.estimate)} at {plain(run.kl.estimate)} nats)" for run in ahead)
    sure = [run.name for run in runs if run.gain and run.gain.low > 0]
    gains = [run for run in runs if run.gain]
    told = f" {len(sure)} of {len(gains)} runs gained over the start with an interval above 0." if gains else ""
    return f"On the frontier by their estimates, no other run passing as often at a smaller KL: {named}.{told}"


def frontier_figures(runs: Sequence[Compared]) -> dict[str, Any]:
    """The same as plain data, for `metrics.json`: by run, with the start among them."""
    return {
        run.name: {
            "method": run.method,
            "strength": run.strength,
            "pass_rate": _plain(run.rate),
            "gain": _plain(run.gain),
            "kl": _plain(run.kl),
            "kl_per_token": _plain(run.kl_per_token),
            "ahead": run.ahead,
        }
        for run in runs
    }


def _measured_from(name: str, folder: Path) -> str:
    """The key of the reference of an evaluation."""
    run = read_run(folder)
    keys = [item.key for item in run.inputs if item.field == "reference_model"]
    if run.verb != "evaluate" or not keys:
        raise StoreError(
            f"'{name}' ({folder}) has no KL; expected a run of `burnish evaluate` with --reference_model, the model "
            "that all runs of the comparison started from"
        )
    return artefact_key(keys[0]) or keys[0]


def _is_reference(evaluation: Evaluation, reference: str) -> bool:
    inputs = read_run(evaluation.folder).inputs
    keys = {item.field: artefact_key(item.key) or item.key for item in inputs}
    return keys.get("model") == keys.get("reference_model") == reference


def _figure(evaluation: Evaluation, name: str) -> Interval:
    if name not in evaluation.figures:
        raise StoreError(
            f"{evaluation.folder / 'scores.json'} has no '{name}'; it was made by an older version, or of fewer than "
            "two prompts. Run its stage again"
        )
    return evaluation.figures[name]


def _plain(value: Interval | None) -> dict[str, float] | None:
    if value is None:
        return None
    return {"estimate": value.estimate, "low": value.low, "high": value.high, "count": value.count}
