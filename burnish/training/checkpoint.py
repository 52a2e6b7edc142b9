"""Checkpoints: everything that decides the future of a run, in one folder that appears whole or not at all.

    checkpoints/step-00000040/
        state.json                           update count, source state, feedback, size of metrics.jsonl, ranks
        policy-00001-of-00001.safetensors    float32 masters and AdamW's moments of the part `policy`: one file per
                                             trainable part and rank

A checkpoint is written beside and renamed, and the one before it is removed only afterwards, so a process killed at any
moment leaves a complete one. Frozen weights are not in it: the run's record pins the model that they come from. Each
rank writes what it holds and reads what it needs (`shares.py`), so the number of ranks may differ on resume.
"""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from burnish.batch import Item
from burnish.errors import StoreError
from burnish.training.shares import Fitted, Shares, write_share
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
    beside = target.with_name(f".{target.name}.part")
    ranks = trainer.ranks
    if ranks.leads:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
    ranks.wait()
    if not beside.is_dir():
        raise StoreError(
            f"rank {ranks.index} on {socket.gethostname()} does not see the folder {beside} that rank 0 has made; "
            "choose an --out on a disk that all machines share"
        )
    for name, optimizer in trainer.optimizers.items():
        write_share(beside, name, optimizer.state(), ranks)
    ranks.wait()
    if ranks.leads:
        state = {
            "num_updates": trainer.num_updates,
            "source": source.state(),
            "feedback": dict(feedback),
            "metrics_bytes": metrics_bytes,
            "ranks": ranks.count,
        }
        (beside / "state.json").write_text(json.dumps(state), encoding="utf-8")
        _put_in_place(beside, target)
    ranks.wait()
    return target


def _put_in_place(beside: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    beside.rename(target)
    for old in _found(target.parent):
        if old != target:
            shutil.rmtree(old)


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
            shares = Shares(newest, name, state["ranks"])
            optimizer.restore(Fitted(shares, {key: optimizer.like(key) for key in shares.names()}))
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
