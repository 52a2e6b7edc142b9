"""Looks at held-out prompts: what is written of each answer, the KL from the start, and the look at the start."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from burnish.config import load, merged
from burnish.example import Completion, Example, read_jsonl
from burnish.graders import registry
from burnish.protocols import Grade
from burnish.stages.registry import stage_class
from burnish.stages.stage import Stage
from tests.stages.runs import lines, run, run_killed
from tests.stages.tiny_chat import write_model, write_prompts

ADAPTER = {"rank": 4, "alpha": 8}


class Vowels:
    """The share of vowels in an answer."""

    def grade(self, example: Example, completion: Completion) -> Grade:
        text = completion.text
        return Grade(score=sum(letter in "aeiou" for letter in text) / max(len(text), 1))


class Letters:
    """How long an answer is."""

    def grade(self, example: Example, completion: Completion) -> Grade:
        return Grade(score=float(len(completion.text)), reasons=("counted",))


@pytest.fixture(autouse=True)
def graders(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {
        "vowels": registry.Entry(make=lambda _: Vowels(), code=(Vowels,)),
        "letters": registry.Entry(make=lambda _: Letters(), code=(Letters,)),
    }
    monkeypatch.setattr(registry, "GRADERS", {**registry.GRADERS, **more})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("looks")
    write_model(folder / "model")
    write_prompts(folder / "prompts.jsonl", count=12)
    return folder


def made(verb: str, world: Path, **changes: Any) -> Stage:
    base = {
        "model": str(world / "model"),
        "data": str(world / "prompts.jsonl"),
        "held_out": 4,
        "steps": 4,
        "reward": {"grader": "vowels"},
        "looks": {"reward": {"grader": "letters"}},
        "rollout": {"num_samples": 3, "decoding": {"max_tokens": 8}},
        "train": {
            "batch_size": 2,
            "precision": "fp32",
            "checkpoint_every": 1,
            "evaluate_every": 2,
            "optimizer": {"learning_rate": 1e-2},
        },
    }
    return load(stage_class(verb), merged(base, changes))


def looks_in(out: Path) -> dict[int, list[Example]]:
    return {int(path.stem): list(read_jsonl(path)) for path in sorted((out / "looks").iterdir())}


@pytest.mark.parametrize("verb", ["grpo", "ppo", "online-dpo"])
@pytest.mark.parametrize("adapter", [None, ADAPTER], ids=["whole", "adapter"])
def test_every_answer_is_written_with_both_scores_and_its_log_ratio(
    world: Path, tmp_path: Path, verb: str, adapter: Any
):
    out = run(made(verb, world, adapter=adapter), tmp_path / "run")
    found = looks_in(out)
    assert list(found) == [0, 2, 4]
    figures = {row["step"]: row for row in lines(out) if "held_out_score" in row}
    figures[0] = json.loads((out / "run.json").read_text())["before"]
    assert set(figures) == set(found)
    for update, examples in found.items():
        assert [one.id for one in examples] == [one.id for one in found[0]]
        answers = [one.completions[0] for one in examples]
        for example, answer in zip(examples, answers, strict=True):
            assert answer.score == len(answer.text)
            assert answer.reasons == ("counted",)
            assert example.columns["look"]["reward"] == Vowels().grade(example, answer).score
            assert example.columns["constraint"] == {"kind": "lower_case"}
        row = figures[update]
        assert row["held_out_score"] == pytest.approx(fmean(answer.score for answer in answers))
        for name, column in (("held_out_reward", "reward"), ("held_out_kl", "log_ratio")):
            assert row[name] == pytest.approx(fmean(one.columns["look"][column] for one in examples))
    assert all(one.columns["look"]["log_ratio"] == 0.0 for one in found[0])
    assert all(one.columns["look"]["log_ratio"] != 0.0 for one in found[4])


def test_the_log_ratio_is_that_of_the_answer_as_it_was_sampled(world: Path, tmp_path: Path):
    """Of the first look the policy is the start; of a later one the sampler's log-probs are the policy's."""
    slow = {"evaluate_every": 1, "optimizer": {"learning_rate": 1e-4}}
    found = looks_in(run(made("grpo", world, train=slow), tmp_path / "run"))
    kept = {one.id: one.completions[0] for one in found[0]}
    same = [one for one in found[1] if one.completions[0].token_ids == kept[one.id].token_ids]
    assert same  # one update leaves some answer as it was
    for one in same:
        change = sum(one.completions[0].logps or ()) - sum(kept[one.id].logps or ())
        assert change != 0
        assert one.columns["look"]["log_ratio"] == pytest.approx(change, abs=1e-4)


def test_at_rate_0_every_look_is_the_first(world: Path, tmp_path: Path):
    found = looks_in(run(made("grpo", world, train={"optimizer": {"learning_rate": 0.0}}), tmp_path / "run"))
    texts = [[(one.completions[0].text, one.columns["look"]) for one in examples] for examples in found.values()]
    assert texts == [texts[0]] * 3


def test_a_killed_run_leaves_the_same_looks(world: Path, tmp_path: Path):
    whole = run(made("grpo", world, adapter=ADAPTER), tmp_path / "whole")
    run_killed(made("grpo", world, adapter=ADAPTER), tmp_path / "broken", after=3)
    run(made("grpo", world, adapter=ADAPTER), tmp_path / "broken")
    assert looks_in(tmp_path / "broken") == looks_in(whole)  # the first not from weights that have moved


def test_without_another_grader_and_without_a_reference_there_is_the_score_alone(world: Path, tmp_path: Path):
    out = run(made("rloo", world, looks={"reward": None}, reference=None), tmp_path / "run")
    assert all(one.columns["look"] == {} for examples in looks_in(out).values() for one in examples)
    assert all({"held_out_kl", "held_out_reward"}.isdisjoint(row) for row in lines(out))
    none = run(made("rloo", world, held_out=0, looks={"reward": None}), tmp_path / "none")
    assert not (none / "looks").exists()
