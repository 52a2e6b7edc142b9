"""Compare the two sides of a work: agreement first, then alternating repetitions, then medians.

    agree ours, agree peer ──► same? ──► ours peer │ peer ours │ ours peer ──► same first loss? ──► medians, ratio

The order changes from one repetition to the next, so that a machine which slows down while it warms up favours nobody.
A ratio is always how many times as fast as the peer we are; the ratio of memory is our share of the peer's.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.agreement import agreement, check_first_loss
from benchmarks.case import Side
from benchmarks.processes import Launch
from benchmarks.works import Work

Runs = Mapping[Side, Sequence[Mapping[str, Any]]]

SIDES: tuple[Side, Side] = ("ours", "peer")
CLOCKS = ("reference_seconds", "sampling_seconds", "update_seconds", "import_seconds", "training_seconds")
KEPT = (*CLOCKS, "layout", "accelerator")
"""What is shown of the median run beside its rate, where it is known."""


def compared(work: Work, launch: Launch, *, repetitions: int) -> tuple[dict[str, Any], dict[str, float]]:
    """The line of a work, and how far the sides were apart in float32.

    Args:
        work: what is compared.
        launch: runs one side once in a fresh process.
        repetitions: runs of each side that are timed.

    Raises:
        Disagreement: the sides do not compute the same thing.
        ProcessFailed: one of them failed.
    """
    apart: dict[str, float] = {}
    if work.kind != "command":
        apart = agreement(work, launch("ours", "agree"), launch("peer", "agree"))
    runs: dict[Side, list[dict[str, Any]]] = {"ours": [], "peer": []}
    for number in range(repetitions):
        for side in SIDES if number % 2 == 0 else SIDES[::-1]:
            runs[side].append(launch(side, "measure"))
    if work.kind != "command":
        for ours, peer in zip(runs["ours"], runs["peer"], strict=True):
            check_first_loss(work, ours, peer)
    return line(work, runs), apart


def line(work: Work, runs: Runs) -> dict[str, Any]:
    """Both sides and the ratios, as one line of JSON has them."""
    ours, peer = (summary(work, runs[side]) for side in SIDES)
    speed = ours["rows_per_second"] / peer["rows_per_second"] if work.kind != "command" else None
    return {
        "work": work.name,
        "ratio": speed if speed is not None else peer["seconds"] / ours["seconds"],
        "memory_ratio": ours["peak_bytes"] / peer["peak_bytes"],
        "ours": ours,
        "peer": peer,
    }


def summary(work: Work, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The medians of one side, every run, and the clocks of the run in the middle."""
    middle = sorted(runs, key=lambda run: run["seconds"])[len(runs) // 2]
    peaks = [run["peak_bytes"] for run in runs]
    found: dict[str, Any] = {"peak_bytes": statistics.median(peaks), "peak_runs": peaks}
    if work.kind == "command":
        seconds = [run["seconds"] for run in runs]
        found |= {"seconds": statistics.median(seconds), "runs": seconds}
    else:
        rates = [run["rows"] / run["seconds"] for run in runs]
        found |= {"rows_per_second": statistics.median(rates), "runs": rates}
    if "same_bytes" in middle:
        found["same_bytes"] = all(run["same_bytes"] for run in runs)
    if "model_flops" in middle:
        found["product_rate"] = middle["product_rate"]
        found["share_of_product_rate"] = statistics.median(share(run) for run in runs)
    found |= {name: middle[name] for name in KEPT if name in middle}
    return found | {name: middle[name] for name in ("threads", "versions")}


def share(run: Mapping[str, Any]) -> float:
    """The share of the machine's rate of matrix products that a run reached."""
    return float(run["model_flops"] / run["seconds"] / run["product_rate"])
