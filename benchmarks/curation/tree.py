"""A process with all processes that it starts, and the most memory that they hold together, looked at while they run.

    resident    pages in memory, summed over the processes: what two of them share counts twice, and pages of files that
                are mapped and read (which the system takes back when it wants them) count too
    own         the part of it that is in no file: what the processes really take from the machine

Both are read from /proc every `EVERY` seconds, so a peak shorter than that may be missed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import Process, ProcessFailed

EVERY = 0.05
_PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A command that ended well.

    Attributes:
        seconds: from its start to its end.
        peak_bytes: resident at most, all its processes together.
        peak_own_bytes: the same without the pages of files.
        peak_first_bytes: the same of the process that was started alone, without those that it starts.
    """

    seconds: float
    peak_bytes: int
    peak_own_bytes: int
    peak_first_bytes: int


def watched(words: Sequence[str], environment: Mapping[str, str], limit_s: float | None = None) -> Watched:
    """Run a command to its end.

    Raises:
        ProcessFailed: it ended with an error, or took longer than `limit_s`, and it and its processes were killed.
    """
    process = Process(words, environment)
    peak, own, first = 0, 0, 0
    while (ended := process.poll()) is None:
        held = [_held(pid) for pid in tree(process.pid)]
        peak = max(peak, sum(resident for resident, _ in held))
        own = max(own, sum(mine for _, mine in held))
        first = max(first, held[0][1])
        if limit_s is not None and time.perf_counter() - process.started > limit_s:
            for pid in list(tree(process.pid))[:0:-1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.kill()
            raise ProcessFailed(f"it was stopped after {limit_s:.0f} s")
        time.sleep(EVERY)
    if ended.code:
        raise ProcessFailed(f"{' '.join(words)} ended with {ended.code}:\n{ended.errors}")
    return Watched(seconds=ended.seconds, peak_bytes=peak, peak_own_bytes=own, peak_first_bytes=first)


def tree(pid: int) -> Iterator[int]:
    """A process and all that descend from it; those that end meanwhile are left out."""
    yield pid
    for listed in _PROC.glob(f"{pid}/task/*/children"):
        try:
            children = listed.read_text(encoding="ascii").split()
        except OSError:
            continue
        for child in children:
            yield from tree(int(child))


def _held(pid: int) -> tuple[int, int]:
    """Bytes that a process holds, and those of them that are in no file; nothing if it has ended."""
    try:
        lines = (_PROC / str(pid) / "status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0, 0
    found = {line.partition(":")[0]: line for line in lines}
    sizes = [int(found[name].split()[1]) * 1024 for name in ("VmRSS", "RssFile") if name in found]
    return (sizes[0], sizes[0] - sizes[1]) if len(sizes) == 2 else (0, 0)
