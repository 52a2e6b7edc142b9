"""The best weights of a run: kept, told apart after a kill, put back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from burnish.errors import StoreError
from burnish.training.best_weights import BestWeights


def watched(folder: Path, *, patience: int | None = None) -> tuple[BestWeights, dict[str, nn.Parameter]]:
    masters = {"w": nn.Parameter(torch.zeros(2))}
    return BestWeights(folder, "score", masters, patience=patience), masters


def look(best: BestWeights, masters: dict[str, nn.Parameter], step: int, score: float) -> bool:
    with torch.no_grad():
        masters["w"].fill_(float(step))
    return best.look(step, {"score": score})


def test_the_first_of_the_best_is_put_back(tmp_path: Path):
    best, masters = watched(tmp_path)
    for step, score in enumerate((0.1, 0.7, 0.3, 0.7), start=1):
        look(best, masters, step, score)
    best.put_back()
    assert masters["w"].tolist() == [2.0, 2.0]
    assert (best.step, best.value) == (2, 0.7)


def test_only_updates_that_looked_count(tmp_path: Path):
    best, _ = watched(tmp_path, patience=1)
    assert best.look(1, {"score": 0.5}) is False
    assert best.look(2, {"loss": 1.0}) is False
    assert best.look(3, {"score": 0.4}) is True
    assert best.over


def test_older_weights_stay_until_a_checkpoint_is_written(tmp_path: Path):
    best, masters = watched(tmp_path)
    look(best, masters, 1, 0.1)
    look(best, masters, 2, 0.2)
    assert len(list(tmp_path.glob("best-*"))) == 2
    best.tidy()
    assert [path.name for path in tmp_path.glob("best-*")] == ["best-00000002.safetensors"]


def test_a_run_that_goes_on_from_an_earlier_checkpoint_knows_what_was_best_then(tmp_path: Path):
    """Killed after update 3, whose look was the best; the checkpoint is of update 2, where it was that of update 1."""
    best, masters = watched(tmp_path)
    for step, score in enumerate((0.5, 0.2, 0.9), start=1):
        look(best, masters, step, score)
    metrics = tmp_path / "metrics.jsonl"
    rows = [{"step": 1, "score": 0.5}, {"step": 2, "score": 0.2, "loss": None}]
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    again, masters = watched(tmp_path)
    again.restore(metrics)
    assert (again.step, again.value, again.behind) == (1, 0.5, 1)
    again.put_back()
    assert masters["w"].tolist() == [1.0, 1.0]


def test_weights_that_are_gone_are_said_to_be(tmp_path: Path):
    best, _ = watched(tmp_path)
    with pytest.raises(StoreError, match="--overwrite"):
        best.put_back()
