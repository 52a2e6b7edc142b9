"""Bad input to online training: each kind is refused by name, or has a stated outcome."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.config import load
from burnish.errors import DataError, GraderError, TemplateError, TrainingError
from burnish.example import Completion, Example, read_jsonl
from burnish.graders import registry
from burnish.models.classifier import load_reward_model
from burnish.protocols import Grade
from burnish.stages.prepare import load_text
from burnish.stages.registry import stage_class
from burnish.text.rendering import TemplateSettings
from burnish.training.columns import completion_scores
from burnish.training.plan import packed_cost
from tests.stages.online_runs import Vowels, made, write_world
from tests.stages.runs import lines, run, weights
from tests.stages.tiny_chat import TEMPLATE, tiny_tokenizer, write_model

BAR = TEMPLATE.replace("{{ m.role }}\n", "{{ m.role }}|").replace('{{ "\n" }}{%- endif', "|{%- endif")
OTHERS: dict[str, dict[str, Any]] = {"vocabulary": {"vocabulary": 280}, "template": {"template": BAR}}
"""Tokenizers that are not the policy's."""


class Flat:
    """Finds everything equally good."""

    def grade(self, example: Example, completion: Completion) -> Grade:
        return Grade(score=0.5)


class NotANumber:
    """Loses its mind over every answer with a letter in it."""

    def grade(self, example: Example, completion: Completion) -> Grade:
        return Grade(score=math.nan if completion.text else 0.0)


@pytest.fixture(scope="module", autouse=True)
def graders() -> Iterator[None]:
    kinds = {"vowels": Vowels, "flat": Flat, "nan": NotANumber}
    more = {name: registry.Entry(make=lambda _, kind=kind: kind(), code=(kind,)) for name, kind in kinds.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "GRADERS", {**registry.GRADERS, **more})
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("online"))


@pytest.fixture(scope="module", params=list(OTHERS))
def other_scorer(request: pytest.FixtureRequest, world: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A reward model that reads other tokens than the policy writes."""
    folder = tmp_path_factory.mktemp("other")
    model = write_model(folder / "model", tokenizer=tiny_tokenizer(**OTHERS[request.param]))
    settings = {"model": str(model), "data": str(world / "pairs.jsonl"), "steps": 1}
    train = {"batch_size": 4, "precision": "fp32", "optimizer": {"learning_rate": 1e-2}}
    return str(run(load(stage_class("reward"), {**settings, "train": train}), folder / "run") / "model")


def test_a_reward_model_with_another_tokenizer_or_template_reads_the_text(
    world: Path, tmp_path: Path, other_scorer: str
):
    """Each answer's score is that of its text by the reward model's own tokens, which are not those sampled."""
    reward = {"grader": "model", "models": [other_scorer], "precision": "fp32"}
    out = run(made("grpo", world, reward=reward, steps=1), tmp_path / "run")
    text, part = load_text(other_scorer, TemplateSettings()), load_reward_model(other_scorer)
    policy = load_text(str(world / "model"), TemplateSettings())
    for example in read_jsonl(out / "rollouts" / "000000.jsonl"):
        for completion in example.completions:
            read = replace(example, completions=(Completion(messages=completion.messages),))
            trees = text.trees(read)
            expected = completion_scores(part, trees, budget=512, cost=packed_cost, device=torch.device("cpu"))
            assert completion.score == pytest.approx(expected[0][0], abs=1e-5)
            assert tuple(trees[0].prompt) != tuple(policy.prompt(read))


def test_a_critic_that_reads_other_tokens_is_refused_before_any_work(world: Path, tmp_path: Path, other_scorer: str):
    stage = made("ppo", world, critic={"model": other_scorer})
    for attempt in (stage.plan, lambda: run(stage, tmp_path / "run")):
        with pytest.raises(TemplateError, match=r"critic\.model .* would value other words than those that were said"):
            attempt()
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize("limit", ["context", "cache"])
def test_a_prompt_longer_than_the_context_is_refused_before_the_first_one_is_asked(
    world: Path, tmp_path: Path, limit: str
):
    """The model's context of 256 tokens, or a cache of 30, where text.max_tokens allows more."""
    rollout = {"decoding": {"max_tokens": 250}} if limit == "context" else {"cache_tokens": 30}
    stage = made("grpo", world, rollout=rollout, text={"max_tokens": 400})
    held = 30 if limit == "cache" else 256
    with pytest.raises(DataError, match=rf"example '.*' has \d+ tokens and an .*; set text\.max_tokens to {held}"):
        run(stage, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_held_out_prompt_that_is_too_long_is_refused_as_well(world: Path, tmp_path: Path):
    long = tmp_path / "long.jsonl"
    long.write_text('{"prompt": "What is opal?"}\n' + '{"prompt": "' + "What is opal? " * 40 + '"}\n')
    with pytest.raises(DataError, match=r"has \d+ tokens and an answer may have 8; the model's context holds 256"):
        run(made("grpo", world, held_out_data=str(long)), tmp_path / "run")


@pytest.mark.parametrize("verb", ["reinforce", "grpo", "ppo", "online-dpo"])
def test_a_score_that_is_no_number_stops_every_method_before_the_update(world: Path, tmp_path: Path, verb: str):
    wrong = r"NotANumber on example '.*' gave the score nan; .* \(answer \d to example"
    with pytest.raises(GraderError, match=wrong):
        run(made(verb, world, reward={"grader": "nan"}), tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").read_text()


def test_groups_without_variance_change_no_weight_and_are_counted(world: Path, tmp_path: Path):
    flat = {"reward": {"grader": "flat"}, "steps": 2}
    out = run(made("grpo", world, **flat), tmp_path / "run")
    still = run(made("grpo", world, **flat, train={"optimizer": {"learning_rate": 0.0}}), tmp_path / "still")
    assert all(row["groups_equal"] == row["advantage_zero"] == 1.0 and row["grad_norm"] == 0.0 for row in lines(out))
    for name, value in weights(still).items():
        assert torch.equal(weights(out)[name], value)


def test_pairs_of_groups_without_variance_are_looked_for_in_a_few_rollouts_and_no_longer(world: Path, tmp_path: Path):
    """Online DPO makes nothing of them, and would sample for ever."""
    flat: dict[str, Any] = {"reward": {"grader": "flat"}, "rollout": {"most_draws": 2}, "save_answers_every": 1}
    with pytest.raises(TrainingError, match=r"2 rollouts up to number 1: all answers .* the same score"):
        run(made("online-dpo", world, **flat), tmp_path / "run")
    assert len(list((tmp_path / "run" / "rollouts").iterdir())) == 2
