"""Online training whose answers are sampled by workers of Ray: the same bytes as in one process, worker lost or not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.errors import ConfigError, MissingExtra
from burnish.graders import registry
from burnish.sampling.place import InProcess
from burnish.sampling.ray import RayWorkers
from tests.sampling.local_ray import killing, needs_ray, quiet, running_ray
from tests.stages.online_runs import ADAPTER, Vowels, made, write_world
from tests.stages.runs import digest, lines, run, run_killed, weights

RAY = {"engine": {"kind": "ray"}}
FIGURES = ("sampler_gap_mean", "sampler_gap_max", "sampler_kl")
"""What the rounding of the sampler's log-probs enters, which depends on who else is in a batch."""


@pytest.fixture(autouse=True)
def graders(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {"vowels": registry.Entry(make=lambda _: Vowels(), code=(Vowels,))}
    monkeypatch.setattr(registry, "GRADERS", {**registry.GRADERS, **more})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("online-ray"))


def test_where_answers_are_sampled_is_a_setting(world: Path):
    assert made("grpo", world).rollout.engine == InProcess()
    assert made("ppo", world, rollout={"engine": {"kind": "ray", "workers": 4}}).rollout.engine == RayWorkers(workers=4)
    with pytest.raises(ConfigError, match=r"'rollout\.engine\.kind' is 'vllm'; expected one of in-process, ray"):
        made("grpo", world, rollout={"engine": {"kind": "vllm"}})
    with pytest.raises(ConfigError, match=r"rollout\.engine\.workers"):
        made("grpo", world, rollout={"engine": {"kind": "ray", "workers": 0}})
    with pytest.raises(ConfigError, match=r"unknown setting 'rollout\.engine\.workers'"):
        made("grpo", world, rollout={"engine": {"kind": "in-process", "workers": 2}})


def test_without_ray_a_run_says_what_to_install(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install 'burnish\[ray\]'"):
        run(made("grpo", world, rollout=RAY), tmp_path / "run")


@pytest.fixture(scope="module")
def ray_runs() -> Iterator[None]:
    with running_ray():
        yield


def without_rounding(out: Path) -> list[dict[str, float]]:
    """The metrics without those that rounding enters."""
    return [{name: value for name, value in row.items() if name not in FIGURES} for row in lines(out)]


@pytest.mark.slow
@needs_ray
@quiet
@pytest.mark.parametrize(
    ("verb", "changes"),
    [
        ("grpo", {"adapter": ADAPTER, "held_out": 3, "train": {"evaluate_every": 1}}),
        ("ppo", {"critic": {"shared": True}}),
        ("online-dpo", {}),
    ],
)
def test_two_workers_train_to_the_bytes_of_one_process(world: Path, tmp_path: Path, ray_runs, verb: str, changes):
    here = run(made(verb, world, **changes), tmp_path / "here")
    there = run(made(verb, world, rollout=RAY, **changes), tmp_path / "there")
    assert without_rounding(there) == without_rounding(here)
    for name, value in weights(here).items():
        assert float((weights(there)[name] - value).abs().max()) == 0.0
    for row, other in zip(lines(there), lines(here), strict=True):
        assert all(row[name] == pytest.approx(other[name], abs=1e-5) for name in FIGURES if name in row)


@pytest.mark.slow
@needs_ray
@quiet
def test_a_run_that_loses_a_worker_and_one_that_is_killed_end_with_the_same_bytes(world, tmp_path: Path, ray_runs):
    changes = {"adapter": ADAPTER, "rollout": {**RAY, "num_samples": 6, "max_rows": 2, "decoding": {"max_tokens": 24}}}
    whole = run(made("grpo", world, **changes), tmp_path / "whole")
    said: list[str] = []
    with killing(1) as killed:
        run(made("grpo", world, **changes), tmp_path / "lost", said)
    assert len(killed) == 1
    assert any("a sampling worker was lost" in line for line in said)
    run_killed(made("grpo", world, **changes), tmp_path / "broken", after=2)
    run(made("grpo", world, **changes), tmp_path / "broken")
    assert digest(tmp_path / "lost") == digest(tmp_path / "broken") == digest(whole)
