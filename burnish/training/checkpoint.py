"""Checkpoints: everything that decides the future of a run, in one folder that appears whole or not at all.

    checkpoints/step-00000040/
        state.json          update count, source state, feedback, size of metrics.jsonl
        policy.safetensors  float32 masters and AdamW's moments of the part `policy`; one file per trainable part

A checkpoint is written beside and renamed, and the one before it is removed only afterwards, so a process killed at any
moment leaves a complete one. Frozen weights are not in it: the run's record pins the model that they come from.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from burnish.batch import Item
from burnish.errors import StoreError
from burnish.training.source import Source
from burnish.training.trainer import Trainer

_PREFIX = "step-"


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """Where a run goes on.

    Attributes:
        num_updates: updates done.
        feedback: the metrics of the last one.
        metrics_bytes: how much of metrics.jsonl belongs to these updates.
    """

    num_updates: int
    feedback: Mapping[str, float]
    metrics_bytes: int


def save_checkpoint(
    folder: Path, trainer: Trainer[Any], source: Source[Item], feedback: Mapping[str, float], *, metrics_bytes: int
) -> Path:
    """Write the state of a run into `folder` and remove older checkpoints. Returns the checkpoint's own folder."""
    target = folder / f"{_PREFIX}{trainer.num_updates:08d}"
    beside = folder / f".{target.name}.part"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for name, optimizer in trainer.optimizers.items():
        save_file({key: value.contiguous() for key, value in optimizer.state().items()}, beside / f"{name}.safetensors")
    state = {
        "num_updates": trainer.num_updates,
        "source": source.state(),
        "feedback": dict(feedback),
        "metrics_bytes": metrics_bytes,
    }
    (beside / "state.json").write_text(json.dumps(state), encoding="utf-8")
    if target.exists():
        shutil.rmtree(target)
    beside.rename(target)
    for old in _found(folder):
        if old != target:
            shutil.rmtree(old)
    return target


def restore_checkpoint(folder: Path, trainer: Trainer[Any], source: Source[Item]) -> Resumed | None:
    """Put a run back to its newest checkpoint. None if there is none.

    Raises:
        StoreError: the checkpoint does not fit the run.
    """
    found = _found(folder)
    if not found:
        return None
    newest = found[-1]
    try:
        state = json.loads((newest / "state.json").read_text(encoding="utf-8"))
        for name, optimizer in trainer.optimizers.items():
            optimizer.restore(load_file(newest / f"{name}.safetensors"))
    except (OSError, KeyError, RuntimeError, json.JSONDecodeError) as error:
        raise StoreError(
            f"the checkpoint {newest} does not fit this run ({error}); start over with --overwrite"
        ) from error
    trainer.num_updates = state["num_updates"]
    source.restore(state["source"])
    return Resumed(num_updates=state["num_updates"], feedback=state["feedback"], metrics_bytes=state["metrics_bytes"])


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a finished run."""
    shutil.rmtree(folder, ignore_errors=True)


def _found(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if path.is_dir())
