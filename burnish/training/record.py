"""The record of a run: `metrics.jsonl` with one line per update, always; trackers when asked for.

Each line holds step, loss, tokens, tokens_per_second, seconds, peak_memory_bytes, grad_norm, learning_rate and the
objective's own numbers. The file is appended to and flushed with every update. On resume it is cut to the length that
the checkpoint knows, so a step never stands in it twice.
"""

from __future__ import annotations

import json
import math
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

import torch

from burnish.errors import MissingExtra, StoreError

TrackerName = Literal["tensorboard", "wandb", "trackio"]

CLOCKS = frozenset({"seconds", "tokens_per_second", "peak_memory_bytes"})
"""Metrics that differ between two runs of the same bytes."""


class Tracker(Protocol):
    """Something that draws metrics elsewhere."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Add the metrics of an update."""

    def close(self) -> None:
        """Flush."""


class Record:
    """Writes the metrics of a run.

    Args:
        path: of metrics.jsonl.
        keep_bytes: how much of an existing file belongs to the run; the rest is cut off.
        trackers: others that get the same numbers.

    Raises:
        StoreError: the file is shorter than what belongs to the run.
    """

    def __init__(self, path: Path, *, keep_bytes: int = 0, trackers: Sequence[Tracker] = ()) -> None:
        path.touch()
        if (found := path.stat().st_size) < keep_bytes:
            raise StoreError(
                f"{path} has {found} bytes, but the checkpoint counts on {keep_bytes}; lines of the run were lost: "
                "put the file back, or start over with --overwrite"
            )
        self._file = path.open("r+b")
        self._file.truncate(keep_bytes)
        self._file.seek(keep_bytes)
        self._trackers = trackers

    @property
    def num_bytes(self) -> int:
        """How long the file is."""
        return self._file.tell()

    def write(self, step: int, metrics: Mapping[str, float]) -> Mapping[str, float]:
        """Append one line; returns what it holds."""
        line = {"step": step, **metrics, "peak_memory_bytes": peak_memory_bytes()}
        plain = {name: value if math.isfinite(value) else None for name, value in line.items()}
        self._file.write(json.dumps(plain).encode() + b"\n")
        self._file.flush()
        for tracker in self._trackers:
            tracker.log({name: value for name, value in plain.items() if value is not None}, step)
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        for tracker in self._trackers:
            tracker.close()


def peak_memory_bytes() -> int:
    """Most memory that this process has held: on the accelerator if there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def tracker_named(name: TrackerName, *, folder: Path, run: str) -> Tracker:
    """A tracker that writes below `folder` or to its service.

    Raises:
        MissingExtra: its package is not installed.
    """
    return _TensorBoard(folder) if name == "tensorboard" else _Service(name, run)


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtra("tensorboard", "tensorboard") from error
        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _Service:
    """W&B, and trackio, which has the same interface."""

    def __init__(self, name: Literal["wandb", "trackio"], run: str) -> None:
        try:
            if name == "wandb":
                import wandb as service
            else:
                import trackio as service
        except ImportError as error:
            raise MissingExtra(name, name) from error
        self._service = service
        service.init(project="burnish", name=run)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self._service.log(dict(metrics), step=step)

    def close(self) -> None:
        self._service.finish()
