"""A studio in a process of its own, started by the command that people type."""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.processes import Ended, Process, ProcessFailed
from benchmarks.studio.engines import free_port
from burnish.studio.settings import StudioSettings

_LONGEST_START = 300.0


class Serving:
    """A running server.

    Attributes:
        address: scheme, host and port.
        ended: how it ended, once it did.
    """

    def __init__(self, address: str, process: Process) -> None:
        self.address, self._process, self.ended = address, process, None

    ended: Ended | None

    def wait_until_ready(self) -> None:
        """Until it answers.

        Raises:
            ProcessFailed: it ended, or does not answer within five minutes.
        """
        until = time.perf_counter() + _LONGEST_START
        while time.perf_counter() < until:
            if (ended := self._process.poll()) is not None:
                raise ProcessFailed(f"the studio ended with {ended.code}:\n{ended.errors}")
            try:
                urllib.request.urlopen(f"{self.address}/login", timeout=2).close()
                return
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.1)
        raise ProcessFailed(f"the studio did not answer within {_LONGEST_START:.0f} s")

    def kill(self) -> Ended:
        """End it as a power cut would; what it acknowledged has to be there all the same."""
        self.ended = self._process.kill()
        return self.ended


@contextmanager
def serving(settings: StudioSettings) -> Iterator[Serving]:
    """Serve a studio on a free port of this machine, until the end or until it is killed.

    Raises:
        ProcessFailed: it does not start.
    """
    settings = replace(settings, port=free_port())
    words = [sys.executable, "-m", "burnish", "studio", "--folder", str(Path(settings.folder).absolute())]
    words += ["--port", str(settings.port), *(["--database", settings.database] if settings.database else [])]
    made = Serving(settings.origin, Process(words, os.environ))
    try:
        made.wait_until_ready()
        yield made
    finally:
        made.kill()
