"""One try at running a stage in a folder, and what `run.json` says of it before, meanwhile and after.

A try that is killed leaves state "running"; one that fails leaves the error beside it. The next try in the folder adds
itself to `attempts`, and `seconds` counts all of them.
"""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from burnish.processes import caused
from burnish.stages.stage import Stage, Work
from burnish.stages.together import call
from burnish.store import Identity, write_record

_CLOCKS = frozenset({"started", "ended", "seconds", "attempts", "error", "peak_memory_bytes"})
_OWN = _CLOCKS | {"state", "stage", "verb", "key", "settings", "inputs", "code", "versions", "grown"}
"""What a stage may not record under; `numerics` is shared."""


def execute(
    stage: Stage,
    folder: Path,
    made_of: Identity,
    before: Mapping[str, Any] | None,
    *,
    say: Callable[[str], None],
    name: str = "",
) -> None:
    """Run `stage` in `folder`, which this process holds.

    Args:
        stage: what to do.
        folder: made if it is not there. Other processes of the run, if there are any, share a stage that is shared.
        made_of: written into run.json.
        before: the run.json of the try that this one goes on from.
        say: prints one line.
        name: of the stage in its recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = _Record(folder, made_of, before, name)
    try:
        if stage.shared:
            call(name, folder, made_of, resume=before is not None)
        stage.run(Work(out=folder, say=say, record=record.add, resume=before is not None))
    except BaseException as error:
        why = caused(error)
        with contextlib.suppress(OSError):  # a full disk must not hide what went wrong
            record.fail(why)
        if why is error:
            raise
        raise why from error
    record.finish()


class _Record:
    """The run.json of a running stage."""

    def __init__(self, folder: Path, made_of: Identity, before: Mapping[str, Any] | None, name: str) -> None:
        self._folder = folder
        self._clock = time.monotonic()
        old = dict(before or {})
        facts = {key: value for key, value in old.items() if key not in _OWN}
        attempts = list(old.get("attempts", []))
        if attempts and "seconds" not in attempts[-1]:  # it was killed
            attempts[-1]["seconds"] = _seconds_until_last_change(folder, attempts[-1]["started"])
        self._earlier = sum(attempt["seconds"] for attempt in attempts)
        started = now()
        self._values: dict[str, Any] = {
            "state": "running",
            "stage": name,
            **made_of.record(),
            "started": old.get("started", started),
            "attempts": [*attempts, {"started": started}],
            **facts,
        }
        self._measure()
        write_record(folder, self._values)

    def add(self, facts: Mapping[str, Any]) -> None:
        """Add what the stage found out."""
        if taken := sorted(_OWN & facts.keys()):
            raise ValueError(f"run.json holds {', '.join(taken)} already; record it under another name")
        for key, value in facts.items():
            old = self._values.get(key)
            self._values[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, Mapping) else value
        self._measure()
        write_record(self._folder, self._values)

    def fail(self, error: BaseException) -> None:
        """Note what stopped the stage; the state stays "running"."""
        self._values["error"] = f"{type(error).__name__}: {error}"
        self._end()

    def finish(self) -> None:
        """The last thing that is written."""
        self._values["state"] = "finished"
        self._end()

    def _end(self) -> None:
        self._measure()
        self._values["ended"] = now()
        self._values["attempts"][-1]["seconds"] = round(time.monotonic() - self._clock, 3)
        write_record(self._folder, self._values)

    def _measure(self) -> None:
        self._values["seconds"] = round(self._earlier + time.monotonic() - self._clock, 3)
        self._values["peak_memory_bytes"] = max(peak_memory_bytes(), self._values.get("peak_memory_bytes", 0))
        self._values["numerics"] = {**self._values.get("numerics", {}), **_numerics()}


def peak_memory_bytes() -> int:
    """The most memory that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _numerics() -> dict[str, Any]:
    """What decides the last bits besides settings and versions; torch is asked only if the stage has loaded it."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch is not None else int(os.environ.get("OMP_NUM_THREADS") or num_cores())
    return {"threads": threads, "machine": platform.machine(), "python": platform.python_version()}


def num_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def now() -> str:
    """The time, as records hold it."""
    return datetime.now(UTC).isoformat("T", "seconds")


def _seconds_until_last_change(folder: Path, started: str) -> float:
    """How long a killed try worked: from its start to the last change of a file."""
    times = [path.lstat().st_mtime for path in folder.rglob("*")]
    return round(max(0.0, max(times, default=0.0) - datetime.fromisoformat(started).timestamp()), 3)
