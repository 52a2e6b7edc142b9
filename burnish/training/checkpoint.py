"""Checkpoints: everything that decides the future of a run, in one folder that appears whole or not at all.

    checkpoints/step-00000040/
        state.json          update count, source state, feedback, size of metrics.jsonl
        policy.safetensors  float32 masters and AdamW's moments of the part `policy`; one file per trainable part

A checkpoint is written beside and renamed, and the one before it is removed only afterwards, so a process killed at any
moment leaves a complete one. Frozen weights are not in it: the run's record pins the model that they come from. With
several ranks the first one writes; tensors are whole in the file, so the number of ranks may differ on resume.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

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
    """Write the state of a run into `folder` and remove older checkpoints. Returns the checkpoint's own folder.

    All ranks must call it.
    """
    target = folder / f"{_PREFIX}{trainer.num_updates:08d}"
    tensors = {name: optimizer.state() for name, optimizer in trainer.optimizers.items()}
    state = {
        "num_updates": trainer.num_updates,
        "source": source.state(),
        "feedback": dict(feedback),
        "metrics_bytes": metrics_bytes,
    }
    if trainer.ranks.index == 0:
        _write(target, tensors, state)
        for old in _found(folder):
            if old != target:
                shutil.rmtree(old)
    trainer.ranks.wait()
    return target


def _write(target: Path, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
    beside = target.with_name(f".{target.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for name, own in tensors.items():
        save_file({key: value.contiguous() for key, value in own.items()}, beside / f"{name}.safetensors")
    (beside / "state.json").write_text(json.dumps(state), encoding="utf-8")
    if target.exists():
        shutil.rmtree(target)
    beside.rename(target)


def restore_checkpoint(folder: Path, trainer: Trainer[Any], source: Source[Item]) -> Resumed | None:
    """Put a run back to its newest checkpoint. None if there is none. All ranks must call it.

    Raises:
        StoreError: the checkpoint is damaged or does not fit the run.
    """
    found = _found(folder)
    if not found:
        return None
    newest = found[-1]
    try:
        state = json.loads((newest / "state.json").read_text(encoding="utf-8"))
        for name, optimizer in trainer.optimizers.items():
            optimizer.restore(load_file(newest / f"{name}.safetensors"))
        source.restore(state["source"])
        resumed = Resumed(
            num_updates=state["num_updates"], feedback=state["feedback"], metrics_bytes=state["metrics_bytes"]
        )
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise StoreError(
            f"the checkpoint {newest} is damaged or does not fit this run ({error}); start over with --overwrite"
        ) from error
    trainer.num_updates = resumed.num_updates
    return resumed


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a finished run."""
    shutil.rmtree(folder, ignore_errors=True)


def _found(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if path.is_dir())
