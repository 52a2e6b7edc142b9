"""Runs of training stages on a tiny world, and what is compared between them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from burnish.stages import updates
from burnish.stages.run import run_stage
from burnish.stages.stage import Stage
from burnish.training.record import CLOCKS

FAST = {"batch_size": 4, "precision": "fp32", "optimizer": {"learning_rate": 1e-2}}


def run(stage: Stage, out: Path, said: list[str] | None = None) -> Path:
    """Run a stage into `out`; what it says is added to `said`."""
    run_stage(stage, out, say=(said if said is not None else []).append)
    return out


def weights(out: Path) -> dict[str, torch.Tensor]:
    """The saved weights."""
    return load_file(out / "model" / "model.safetensors")


def lines(out: Path) -> list[dict[str, Any]]:
    """The metrics without their clocks."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in CLOCKS} for row in rows]


def digest(out: Path) -> str:
    """What "same bytes" means: weights, samples and metrics without their clocks."""
    found = hashlib.sha256()
    for path in sorted([*(out / "model").rglob("*.safetensors"), *(out / "rollouts").glob("*.jsonl")]):
        found.update(path.read_bytes())
    found.update(json.dumps(lines(out)).encode())
    return found.hexdigest()


def run_killed(stage: Stage, out: Path, *, after: int) -> None:
    """Run until the process is as good as killed, when update `after` has been recorded."""
    calls = 0

    class Killed(BaseException):
        pass

    def show(self: object, step: int, metrics: Mapping[str, float]) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(updates.ProgressBar, "show", show)
        with pytest.raises(Killed):
            run(stage, out)
