"""Checkpoints: a resumed run is bit for bit the run that was never stopped; no kill leaves a broken one (pain 12)."""

from __future__ import annotations

import functools
import json
import math
import shutil
import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from burnish.batch import Tree
from burnish.errors import StoreError
from burnish.objectives.dpo import DPO
from burnish.objectives.sft import SFT
from burnish.training import checkpoint, shares
from burnish.training.checkpoint import remove_checkpoints, restore_checkpoint, save_checkpoint
from burnish.training.optimizer import AdamW
from burnish.training.record import CLOCKS, Record
from burnish.training.schedule import Cosine
from burnish.training.source import Shuffled
from burnish.training.trainer import Trainer, Updates
from tests.training.toys import chats, pairs, parts_of, policy, weights_of

STEPS = 6
UPDATES = Updates(optimizer=AdamW(learning_rate=3e-3, weight_decay=0.1), schedule=Cosine(warmup=2), token_budget=40)


class Run:
    """A run in a folder: trainer, source, metrics.jsonl and checkpoints after every update, as the stages do it."""

    def __init__(self, folder: Path, kind: str, dtype: torch.dtype, *, seed: int = 0) -> None:
        self.folder = folder
        self.part = policy("gpt2", dtype=dtype, seed=seed)  # it has dropout
        objective = SFT() if kind == "sft" else DPO()
        self.trainer: Trainer[Tree] = Trainer(parts_of(self.part), objective, UPDATES, steps=STEPS, seed=1)
        self.source = Shuffled(chats(7) if kind == "sft" else pairs(7), batch_size=4, seed=2)

    def go(self, *, until: int = STEPS) -> None:
        found = restore_checkpoint(self.folder / "checkpoints", self.trainer, self.source)
        keep, feedback = (found.metrics_bytes, found.feedback) if found else (0, None)
        with Record(self.folder / "metrics.jsonl", keep_bytes=keep) as record:

            def after(metrics: Mapping[str, float]) -> bool:
                record.write(self.trainer.num_updates, metrics)
                save_checkpoint(
                    self.folder / "checkpoints", self.trainer, self.source, metrics, metrics_bytes=record.num_bytes
                )
                return self.trainer.num_updates == until

            self.trainer.run(self.source, after=after, feedback=feedback)

    @property
    def outcome(self) -> tuple[list[dict[str, float]], Tensor, dict[str, Tensor], dict[str, int]]:
        """Metrics without clocks, weights, the optimiser's state, and the source's."""
        lines = [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]
        numbers = [{name: value for name, value in line.items() if name not in CLOCKS} for line in lines]
        return numbers, weights_of(self.part), self.trainer.optimizers["policy"].state(), self.source.state()


def assert_equal(found: Run, expected: Run) -> None:
    numbers, weights, state, source = found.outcome
    others, other_weights, other_state, other_source = expected.outcome
    assert numbers == others
    assert [line["step"] for line in numbers] == list(range(1, STEPS + 1))
    assert torch.equal(weights, other_weights)
    assert state.keys() == other_state.keys()
    assert all(torch.equal(state[name], other_state[name]) for name in state)
    assert source == other_source


CASES = [("sft", torch.float32), ("dpo", torch.bfloat16)]


@functools.cache
def straight(kind: str, dtype: torch.dtype, folder: Path) -> Run:
    run = Run(folder, kind, dtype)
    run.go()
    return run


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("straight")


def expected_run(folder: Path, kind: str, dtype: torch.dtype) -> Run:
    own = folder / f"{kind}-{dtype}"
    own.mkdir(exist_ok=True)
    return straight(kind, dtype, own)


@pytest.mark.parametrize(("kind", "dtype"), CASES)
@pytest.mark.parametrize("stop", range(1, STEPS))
def test_resume_is_bit_exact_at_any_step(tmp_path, never_stopped, kind: str, dtype: torch.dtype, stop: int):
    """The second process starts from other weights, so that everything has to come from the checkpoint."""
    Run(tmp_path, kind, dtype).go(until=stop)
    resumed = Run(tmp_path, kind, dtype, seed=7)
    resumed.go()
    assert_equal(resumed, expected_run(never_stopped, kind, dtype))


def test_a_checkpoint_is_read_one_tensor_at_a_time(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """A state of twelve bytes a weight would otherwise stand beside the one that it is copied into."""
    Run(tmp_path, "sft", torch.bfloat16).go(until=1)
    given: list[weakref.ref[Tensor]] = []

    class Watched(shares.Shares):
        def read(self, name: str, like: Tensor) -> Tensor:
            assert not [reference for reference in given if reference() is not None]
            tensor = super().read(name, like)
            given.append(weakref.ref(tensor))
            return tensor

    monkeypatch.setattr(checkpoint, "Shares", Watched)
    Run(tmp_path, "sft", torch.bfloat16).go(until=2)
    assert len(given) > 20


@pytest.mark.parametrize(("kind", "dtype"), CASES)
def test_resume_after_every_update(tmp_path, never_stopped, kind: str, dtype: torch.dtype):
    for stop in range(1, STEPS + 1):
        run = Run(tmp_path, kind, dtype, seed=stop - 1)
        run.go(until=stop)
    assert_equal(run, expected_run(never_stopped, kind, dtype))


@pytest.mark.parametrize("where", ["save_file", "rename", "rmtree"])
def test_killed_while_a_checkpoint_is_written(tmp_path, never_stopped, monkeypatch, where: str):
    """Killed in the files, before the rename, or before the old one is removed: the run goes on and ends the same.

    The line of the update whose checkpoint was lost stands in metrics.jsonl already; resuming cuts it off.
    """

    class Killed(BaseException):
        pass

    kind, dtype = CASES[0]
    first = Run(tmp_path, kind, dtype)
    first.go(until=2)

    def die(*args: object, **kwargs: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if where == "save_file":
            patch.setattr(shares, "save_file", die)
        elif where == "rename":
            patch.setattr(Path, "rename", die)
        else:
            patch.setattr(checkpoint.shutil, "rmtree", after_calls(1, shutil.rmtree, die))
        with pytest.raises(Killed):
            Run(tmp_path, kind, dtype).go()

    left = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    if where == "rmtree":
        assert left == ["step-00000002", "step-00000003"]
    else:
        assert left == [".step-00000003.part", "step-00000002"]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3
    resumed = Run(tmp_path, kind, dtype, seed=7)
    resumed.go()
    assert_equal(resumed, expected_run(never_stopped, kind, dtype))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000006"]


def after_calls(count: int, real, then):
    """`real` for the first `count` calls, `then` from there on."""
    calls = iter(range(10**6))
    return lambda *args, **kwargs: (real if next(calls) < count else then)(*args, **kwargs)


def test_killed_between_the_record_and_the_checkpoint(tmp_path, never_stopped):
    """A line without its checkpoint, and half a line behind it, are cut off."""
    kind, dtype = CASES[0]
    Run(tmp_path, kind, dtype).go(until=3)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "loss": 1.0}\n{"step": 5, "lo')
    resumed = Run(tmp_path, kind, dtype, seed=7)
    resumed.go()
    assert_equal(resumed, expected_run(never_stopped, kind, dtype))


def test_only_the_newest_checkpoint_is_kept(tmp_path):
    run = Run(tmp_path, *CASES[0])
    run.go(until=3)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000003"]
    remove_checkpoints(tmp_path / "checkpoints")
    assert not (tmp_path / "checkpoints").exists()
    assert restore_checkpoint(tmp_path / "checkpoints", run.trainer, run.source) is None


def test_a_second_save_of_one_step_takes_the_place_of_the_first(tmp_path):
    run = Run(tmp_path, *CASES[0])
    for count in (10, 20):
        save_checkpoint(tmp_path, run.trainer, run.source, {}, metrics_bytes=count)
    found = restore_checkpoint(tmp_path, run.trainer, run.source)
    assert found is not None
    assert found.metrics_bytes == 20


def test_feedback_survives_to_the_bit(tmp_path):
    run = Run(tmp_path, *CASES[0])
    feedback = {"loss": 0.1 + 0.2, "odd": math.nan, "large": math.inf, "tokens": 12.0}
    save_checkpoint(tmp_path, run.trainer, run.source, feedback, metrics_bytes=0)
    found = restore_checkpoint(tmp_path, run.trainer, run.source)
    assert found is not None
    assert str(dict(found.feedback)) == str(feedback)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scramble(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00 not what it was" * 9)


@pytest.mark.parametrize("damage", [cut, scramble, Path.unlink])
@pytest.mark.parametrize("name", ["policy-00001-of-00001.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_an_error_that_says_what_to_do(tmp_path, damage, name: str):
    Run(tmp_path, *CASES[0]).go(until=1)
    damage(tmp_path / "checkpoints" / "step-00000001" / name)
    with pytest.raises(
        StoreError, match=r"checkpoints/step-00000001 is damaged or does not fit this run .*--overwrite"
    ):
        Run(tmp_path, *CASES[0]).go()


def test_a_state_without_its_entries_is_an_error(tmp_path):
    Run(tmp_path, *CASES[0]).go(until=1)
    (tmp_path / "checkpoints" / "step-00000001" / "state.json").write_text("{}")
    with pytest.raises(StoreError, match="does not fit this run"):
        Run(tmp_path, *CASES[0]).go()


def test_a_checkpoint_of_another_model_is_an_error(tmp_path):
    run = Run(tmp_path, *CASES[0])
    run.go(until=1)
    other: Trainer[Tree] = Trainer(parts_of(policy("llama")), SFT(), UPDATES, steps=STEPS)
    with pytest.raises(StoreError, match="does not fit this run"):
        restore_checkpoint(tmp_path / "checkpoints", other, run.source)


def test_steps_may_be_raised(tmp_path):
    """A run of 3 steps resumed for 6 has done 6; with a constant rate it is the run of 6."""
    found = []
    for stops in ((6,), (3, 6)):
        folder = tmp_path / str(len(stops))
        folder.mkdir()
        for steps in stops:
            part = policy("llama", seed=steps)
            if steps == stops[0]:
                part = policy("llama")
            source = Shuffled(chats(5), batch_size=2, seed=0)
            flat = replace(UPDATES, schedule=Updates().schedule)
            trainer: Trainer[Tree] = Trainer(parts_of(part), SFT(), flat, steps=steps)
            resumed = restore_checkpoint(folder, trainer, source)
            last: list[Mapping[str, float]] = []
            trainer.run(
                source, after=lambda m, last=last: bool(last.append(m)), feedback=resumed.feedback if resumed else None
            )
            save_checkpoint(folder, trainer, source, last[-1], metrics_bytes=0)
        assert trainer.num_updates == 6
        found.append(weights_of(part))
    assert torch.equal(*found)
