"""Fresh processes: start one, wait for it, and learn how much memory it held at most.

The peak is the system's own count for the process (`ru_maxrss` of wait4), which holds everything: weights, activations,
libraries, the allocator's reserve. On a GPU the process reports its peak of allocated GPU memory instead. The count of
a child begins with what its parent held, so nothing that starts processes imports torch.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.case import Mode, Request, Side, result_file
from benchmarks.works import Work
from burnish.errors import BurnishError

ROOT = Path(__file__).parents[1]
POLL = 0.01
"""Seconds between two looks at a process."""

Launch = Callable[[Side, Mode], dict[str, Any]]
"""Runs one side once in a fresh process and gives its result, with `peak_bytes`."""


class ProcessFailed(BurnishError):
    """A process ended with an error, or took too long."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A process that is over.

    Attributes:
        code: its exit status; negative for the signal that ended it.
        seconds: from its start to its end.
        peak_bytes: the most it held.
        errors: the end of what it wrote to stderr.
    """

    code: int
    seconds: float
    peak_bytes: int
    errors: str


class Process:
    """A running process.

    Args:
        words: the command.
        environment: of the process.
    """

    def __init__(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.started = time.perf_counter()
        self._running = subprocess.Popen(
            list(words), cwd=ROOT, env=dict(environment), stdout=self._errors, stderr=self._errors
        )
        self._ended: Ended | None = None

    @property
    def pid(self) -> int:
        """Its number."""
        return self._running.pid

    def poll(self) -> Ended | None:
        """What is known of its end, None while it runs."""
        if self._ended is None:
            pid, status, used = os.wait4(self._running.pid, os.WNOHANG)
            if pid:
                self._ended = self._end(status, used)
        return self._ended

    def wait(self, limit_s: float | None = None) -> Ended:
        """Its end.

        Raises:
            ProcessFailed: it ran longer than `limit_s`, and was killed.
        """
        while (ended := self.poll()) is None:
            if limit_s is not None and time.perf_counter() - self.started > limit_s:
                self.kill()
                raise ProcessFailed(f"it was stopped after {limit_s:.0f} s")
            time.sleep(POLL)
        return ended

    def kill(self) -> Ended:
        """End it as a power cut would; returns its end."""
        if self.poll() is None:
            self._running.send_signal(signal.SIGKILL)
        return self.wait()

    def _end(self, status: int, used: resource.struct_rusage) -> Ended:
        seconds = time.perf_counter() - self.started
        self._running.returncode = os.waitstatus_to_exitcode(status)
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace")
        self._errors.close()
        unit = 1 if sys.platform == "darwin" else 1024
        return Ended(
            code=self._running.returncode, seconds=seconds, peak_bytes=used.ru_maxrss * unit, errors=text[-3000:]
        )


def finished(words: Sequence[str], environment: Mapping[str, str], limit_s: float | None = None) -> Ended:
    """Run a command to its end.

    Raises:
        ProcessFailed: it ended with an error, or took longer than `limit_s`.
    """
    ended = Process(words, environment).wait(limit_s)
    if ended.code:
        raise ProcessFailed(f"{' '.join(words[:4])} ended with {ended.code}:\n{ended.errors}")
    return ended


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where both sides run.

    Attributes:
        device: cpu or cuda.
        peer: the interpreter of the peer's environment.
        folder: of the model and the cases.
        scratch: for what processes write; the caller removes it.
        settings: of the peer; `environment` among them holds variables of its process.
    """

    device: str
    peer: Path
    folder: Path
    scratch: Path
    settings: Mapping[str, Any]

    def interpreter(self, side: Side) -> str:
        """Of one side."""
        return sys.executable if side == "ours" else str(self.peer)

    def environment(self, side: Side) -> dict[str, str]:
        """Of one side's process: nothing is fetched, and no cache of an earlier run is used."""
        quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
        fresh = {"HF_DATASETS_CACHE": tempfile.mkdtemp(dir=self.scratch)}
        own: Mapping[str, str] = self.settings.get("environment", {}) if side == "peer" else {}
        return {**os.environ, **quiet, **fresh, **own}


def launcher(place: Place, work: Work, *, updates: int, limit_s: float | None = None) -> Launch:
    """Starts `benchmarks.ours` and `benchmarks.peer` on a work."""

    def launch(side: Side, mode: Mode) -> dict[str, Any]:
        out = Path(tempfile.mkdtemp(dir=place.scratch))
        request = Request(
            work=work.name,
            mode=mode,
            folder=str(place.folder.resolve()),
            out=str(out.resolve()),
            device=place.device,
            updates=updates,
            settings=dict(place.settings),
        )
        words = [place.interpreter(side), "-m", f"benchmarks.{side}", str(request.write())]
        ended = finished(words, place.environment(side), limit_s)
        found: dict[str, Any] = {
            "peak_bytes": ended.peak_bytes,
            "process_seconds": ended.seconds,
            "out": str(out),
        }
        found.update(json.loads(result_file(out).read_text(encoding="utf-8")))
        return found

    return launch
