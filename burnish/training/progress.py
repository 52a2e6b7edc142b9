"""What a person sees while a run goes on: a bar with tokens per second and the time left, or plain lines.

On a terminal a bar is drawn; into a file or a pipe one line is written every ten seconds and at the end.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SHOWN = ("loss", "accuracy", "margin", "bits_per_byte", "held_out_loss")
_LINE_SECONDS = 10.0


class ProgressBar:
    """Shows a run.

    Args:
        name: of the run.
        total: updates.
        done: updates done before.
    """

    def __init__(self, name: str, *, total: int, done: int = 0) -> None:
        console = Console()
        self._name, self._total, self._last_line = name, total, 0.0
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, TextColumn("{task.fields[numbers]}"), console=console)
            self._task = self._bar.add_task(name, total=total, completed=done, numbers="")

    def __enter__(self) -> Self:
        self._started, self._first = time.monotonic(), -1
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show the numbers of an update."""
        numbers = [f"{name} {metrics[name]:.4g}" for name in _SHOWN if name in metrics]
        numbers.append(f"{metrics['tokens_per_second']:.0f} tokens/s")
        if self._bar:
            self._bar.update(self._task, completed=step, numbers="  ".join(numbers))
            return
        now = time.monotonic()
        if self._first < 0:
            self._first = step - 1
        if step == self._total or now - self._last_line >= _LINE_SECONDS:
            left = (now - self._started) / (step - self._first) * (self._total - step)
            print(f"{self._name} {step}/{self._total}  {'  '.join(numbers)}  {left:.0f} s left", flush=True)
            self._last_line = now
