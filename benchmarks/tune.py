"""Find the peer's fastest settings for a work, and record every trial.

    python -m benchmarks.tune sft|dpo|reward|grpo|sample|all

The grid is in `grids.py`. A trial is one fresh process of the peer with a few updates, or one call of `generate`; a
choice is kept if it has more rows per second than the best before it. A trial that fails, or takes more than twice as
long as the best, is recorded with its error. `run` takes the best.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.grids import Choice, Settings, grid
from benchmarks.processes import ProcessFailed
from benchmarks.records import origin, start_settings, tuning_file, write_record
from benchmarks.run import add_place, launch_for, place_for, scratch_parent
from benchmarks.works import VERBS, WORKS, Work
from burnish.errors import BurnishError

Trial = Callable[[Settings, float | None], Mapping[str, Any]]
"""Runs the peer once with these settings, for so many seconds at most."""

UPDATES = 1
"""Of a trial: one global batch, which is what the batch shape and the rest are about."""

PATIENCE = 2.0
"""A trial may take this many times as long as the best one, start included."""


def tuned(start: Settings, choices: Sequence[Choice], trial: Trial) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The best settings, and every trial in the order in which they were made.

    Raises:
        ProcessFailed: the settings that the tuning starts from fail.
    """
    best = dict(start)
    clock: float | None = None
    found = trial(best, None)
    rate, clock = found["rows"] / found["seconds"], found["process_seconds"]
    trials = [_entry("as it starts", best, found)]
    for name, change in choices:
        settings = {**best, **change}
        try:
            found = trial(settings, PATIENCE * clock)
        except ProcessFailed as error:
            trials.append({"choice": name, "settings": settings, "error": str(error)[-400:]})
            continue
        trials.append(_entry(name, settings, found))
        if found["rows"] / found["seconds"] > rate:
            best, rate, clock = settings, found["rows"] / found["seconds"], found["process_seconds"]
    return best, trials


def _entry(name: str, settings: Settings, found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "choice": name,
        "settings": dict(settings),
        "rows_per_second": found["rows"] / found["seconds"],
        "peak_bytes": found["peak_bytes"],
    }


def tuned_work(typed: argparse.Namespace, work: Work) -> dict[str, Any]:
    """The tuning record of one work."""
    start = start_settings(work.name, typed.device)
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory(dir=scratch_parent(), ignore_cleanup_errors=True) as scratch:
        place = place_for(typed, start, Path(scratch))

        def trial(settings: Settings, limit_s: float | None) -> Mapping[str, Any]:
            launch = launch_for(replace(place, settings=settings), work, UPDATES, limit_s)
            found = launch("peer", "measure")
            versions.update(found["versions"])
            return found

        best, trials = tuned(start, grid(work.name, typed.device), trial)
    return {
        "work": work.name,
        "origin": {**origin(""), "versions": versions},
        "updates": UPDATES,
        "trials": trials,
        "best": best,
    }


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    words = argparse.ArgumentParser(prog="python -m benchmarks.tune", description="find the peer's fastest settings")
    words.add_argument("work", choices=[*(verb for verb in VERBS if verb not in ("load", "resume")), "all"])
    add_place(words)
    return words


def main(argv: Sequence[str] | None = None) -> int:
    """Tune, record, say what was best; returns the exit code."""
    typed = parser().parse_args(argv)
    verbs = [verb for verb in VERBS if verb not in ("load", "resume")] if typed.work == "all" else [typed.work]
    for name in (name for verb in verbs for name in VERBS[verb]):
        try:
            record = tuned_work(typed, WORKS[name])
        except BurnishError as error:
            sys.stderr.write(f"benchmarks: {error}\n")
            return 1
        write_record(tuning_file(name, typed.device, typed.records), record)
        sys.stdout.write(json.dumps({"work": name, "best": record["best"]}) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
