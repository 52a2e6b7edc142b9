"""Measure a work on both sides, side by side in one run, and print one line of JSON.

    python -m benchmarks.run sft|dpo|reward|grpo|sample|resume|load|all

    {"work", "ratio", "memory_ratio", "ours": {...}, "peer": {...}}

The peer is TRL 1.16, and transformers' `generate` for sampling, in an environment of its own (`make bench` makes it),
with the settings that `benchmarks.tune` found fastest and recorded. Ours has its defaults. Both have the same model,
rows, order, global batch, optimiser and precision, and every run is a fresh process. `agreement.py` says what has to
agree before there is a ratio, `measure.py` how the repetitions go, `commands.py` what `load` and `resume` are.

Throughput is in rows per second: the two sides count the tokens of prompts in different ways. A record is written for
three repetitions or more, from a tuned peer, of the whole work.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.commands import command_launcher
from benchmarks.measure import compared
from benchmarks.processes import Launch, Place, finished, launcher
from benchmarks.records import RECORDS, origin, record_file, start_settings, tuned_settings, write_record
from benchmarks.works import VERBS, WORKS, Work
from burnish.errors import BurnishError, ConfigError

CASES = Path(".cache/benchmarks")
PEER = Path(".venv-peer/bin/python")
ENOUGH = 3
"""Repetitions that a record needs."""


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    words = argparse.ArgumentParser(prog="python -m benchmarks.run", description="measure Burnish beside TRL")
    words.add_argument("work", choices=[*VERBS, "all"])
    words.add_argument("--repetitions", type=int, default=ENOUGH, help="runs of each side that are timed")
    words.add_argument("--updates", type=int, help="timed updates, fewer than the work has")
    words.add_argument("--untuned", action="store_true", help="the peer as its tuning starts, to try the harness")
    add_place(words)
    return words


def add_place(words: argparse.ArgumentParser) -> None:
    """Where it runs: the words that `run` and `tune` share."""
    words.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    words.add_argument("--peer", type=Path, default=PEER, help="the interpreter of the peer's environment")
    words.add_argument("--cases", type=Path, help="folder of the model and the rows, made if it is not there")
    words.add_argument("--records", type=Path, default=RECORDS, help="folder of the records")


def place_for(typed: argparse.Namespace, settings: dict[str, Any], scratch: Path) -> Place:
    """Where both sides run, with the cases made.

    Raises:
        ConfigError: the peer's environment is not there.
    """
    if not typed.peer.is_file():
        raise ConfigError([f"there is no {typed.peer}, the peer's interpreter; type make .venv-peer/.made"])
    folder: Path = typed.cases or CASES / typed.device
    place = Place(device=typed.device, peer=typed.peer.absolute(), folder=folder, scratch=scratch, settings=settings)
    if typed.cases is None:
        folder.mkdir(parents=True, exist_ok=True)
        finished([sys.executable, "-m", "benchmarks.cases", typed.device, str(folder)], os.environ)
    return place


def launch_for(place: Place, work: Work, updates: int, limit_s: float | None = None) -> Launch:
    """Runs one side of a work."""
    if work.kind == "command":
        return command_launcher(place, work)
    return launcher(place, work, updates=updates, limit_s=limit_s)


def measured(typed: argparse.Namespace, work: Work) -> dict[str, Any]:
    """The record of one work."""
    settings = (
        start_settings(work.name, typed.device)
        if typed.untuned
        else tuned_settings(work.name, typed.device, typed.records)
    )
    with tempfile.TemporaryDirectory(dir=scratch_parent(), ignore_cleanup_errors=True) as scratch:
        place = place_for(typed, settings, Path(scratch))
        launch = launch_for(place, work, typed.updates or work.updates)
        found, apart = compared(work, launch, repetitions=typed.repetitions)
    found["peer"]["settings"] = settings
    return {"line": found, "agreement": apart, "origin": origin(found["ours"].get("accelerator", ""))}


def scratch_parent() -> Path:
    """Where processes may leave gigabytes for a while."""
    CASES.mkdir(parents=True, exist_ok=True)
    return CASES.resolve()


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, record; returns the exit code."""
    typed = parser().parse_args(argv)
    names = [name for verb in (VERBS if typed.work == "all" else (typed.work,)) for name in VERBS[verb]]
    for name in names:
        try:
            record = measured(typed, WORKS[name])
        except BurnishError as error:
            sys.stderr.write(f"benchmarks: {error}\n")
            return 1
        sys.stdout.write(json.dumps(record["line"]) + "\n")
        sys.stdout.flush()
        if not typed.untuned and not typed.updates and typed.repetitions >= ENOUGH:
            write_record(record_file(name, typed.device, typed.records), record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
