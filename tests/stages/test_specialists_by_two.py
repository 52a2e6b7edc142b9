"""Two gloo processes under torchrun train the specialists, denoisers and mixtures of experts that one process trains,
hold by EWC what one holds, and go on in any number."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from burnish.config import load
from burnish.stages.fisher import FisherStage
from burnish.stages.new_model import NewModelStage
from burnish.stages.run import run_stage
from tests.stages.runs import lines, run
from tests.stages.several_specialists import CASES, stage_of
from tests.stages.specialist_world import SENTENCES, write_rows, write_world
from tests.stages.test_several_processes import TORCHRUN, assert_same_run, ended

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of every family, rows of every kind, and what a Llama minds."""
    folder = write_world(tmp_path_factory.mktemp("world"))
    data = write_rows(folder / "sentences.jsonl", [{"text": text} for text in SENTENCES[:20]])
    run(load(FisherStage, {"model": str(folder / "llama"), "data": str(data), "examples": 5}), folder / "fisher")
    sizes = {"width": 32, "heads": 4, "inner": 24, "experts": 4}
    given = {"family": "moe", "tokenizer": str(folder / "llama"), "depth": 2, "sizes": sizes, "zero_residual": False}
    run(load(NewModelStage, given), folder / "moe")
    return folder


@pytest.fixture(scope="module")
def two(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every case by two processes."""
    out = tmp_path_factory.mktemp("two")
    code, _, err = ended([*TORCHRUN, "-m", "tests.stages.several_specialists", str(world), str(out)])
    assert code == 0, err[-4000:]
    return out


@pytest.fixture(scope="module")
def one(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every case by one."""
    out = tmp_path_factory.mktemp("one")
    for name in CASES:
        run_stage(stage_of(world, name), out / name, say=lambda line: None)
    return out


def start_of(world: Path, name: str) -> Path:
    """The weights that a case starts from."""
    family = world / CASES[name][1]
    return (family / "model" if (family / "model").is_dir() else family) / "model.safetensors"


def numbers(value: Any, name: str = "") -> dict[str, float]:
    """Every number of nested figures, by its path."""
    if isinstance(value, (int, float)):
        return {name: float(value)}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path: number for key, item in items for path, number in numbers(item, f"{name}/{key}").items()}


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_what_one_does(name: str, world: Path, one: Path, two: Path):
    assert_same_run(two / name, one / name, start_of(world, name), rel=1e-4, apart=1e-5)
    assert json.loads((two / name / "run.json").read_text())["state"] == "finished"
    if CASES[name][0] not in ("pretrain", "denoise"):
        found, expected = (numbers(json.loads((out / name / "scores.json").read_text())) for out in (two, one))
        assert expected
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_packed_and_unpacked_experts_learn_the_same(one: Path):
    """Loads and noise count every prompt token once in both layouts; by whole updates, not by one gradient alone."""
    packed, padded = (one / name for name in ("experts", "experts-padded"))
    for line, other in zip(lines(packed), lines(padded), strict=True):
        assert line["loss"] == pytest.approx(other["loss"], rel=1e-4)
    weights = [load_file(out / "model" / "model.safetensors") for out in (packed, padded)]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["classify", "spans", "experts"])
def test_stopped_in_two_it_goes_on_in_one_and_ends_in_two(name: str, world: Path, tmp_path: Path):
    verb, family, more = CASES[name]
    data = "texts" if verb == "classify" else "sentences"
    words = [verb, "--model", str(world / family), "--data", str(world / f"{data}.jsonl")]
    words += ["--train.batch_size", "4", "--train.micro_batch_size", "1", "--train.precision", "fp32"]
    words += ["--train.optimizer.learning_rate", "1e-2", "--train.optimizer.epsilon", "1e-2"]
    words += ["--train.checkpoint_every", "1", "--steps", "5"]
    words += ["--max_tokens", "32"] if verb != "pretrain" else []
    words += ["--objective.kind", more["objective"]["kind"]] if verb == "denoise" else []
    out, alone = tmp_path / "run", tmp_path / "alone"
    for start, stop in ((TORCHRUN, 2), ([sys.executable], 4), (TORCHRUN, 0)):
        code, said, err = ended(
            [*start, "-m", "tests.stages.stopping", *words, "--out", str(out)], BURNISH_TEST_STOP_AFTER=str(stop)
        )
        assert (code == 0) == (stop == 0), err[-3000:]
    assert "going on after update 4" in said
    code, _, err = ended([sys.executable, "-m", "burnish", *words, "--out", str(alone)])
    assert code == 0, err[-3000:]
    assert_same_run(out, alone, start_of(world, name), rel=1e-4, apart=1e-5)
