"""`sample` and `evaluate` on a tiny model: what they write, repeat, and do again after a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from burnish.config import load, merged
from burnish.example import Example, read_jsonl
from burnish.stages import sampling
from burnish.stages.evaluate import EvaluateStage
from burnish.stages.run import run_stage
from burnish.stages.sample import SampleStage
from burnish.text.template import ChatText
from tests.stages.tiny_chat import write_model, write_prompts


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("world")
    return {
        "model": str(write_model(folder / "model")),
        "data": str(write_prompts(folder / "prompts.jsonl")),
        "sampling": {"block": 2, "num_samples": 2, "precision": "fp32", "decoding": {"max_tokens": 5}},
    }


def run(cls: type, values: dict[str, Any], out: Path) -> Path:
    run_stage(load(cls, values), out, say=lambda line: None)
    return out


def test_samples_carry_tokens_and_log_probs_and_depend_on_the_seed(base: dict[str, Any], tmp_path: Path):
    one, two = (run(SampleStage, base, tmp_path / name) / "examples.jsonl" for name in ("one", "two"))
    other = run(SampleStage, merged(base, {"seed": 1}), tmp_path / "other") / "examples.jsonl"
    assert one.read_bytes() == two.read_bytes() != other.read_bytes()
    examples = list(read_jsonl(one))
    assert [len(example.completions) for example in examples] == [2] * 6
    for completion in (c for example in examples for c in example.completions):
        assert completion.token_ids is not None
        assert completion.logps is not None
        assert 1 <= len(completion.token_ids) == len(completion.logps) <= 5
        assert completion.policy_version


def test_a_killed_sampling_goes_on_after_its_last_whole_block(
    base: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = run(SampleStage, base, tmp_path / "whole")
    real, calls = sampling._sampled_block, []

    def killed_in_the_third(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(sampling, "_sampled_block", killed_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(SampleStage, base, tmp_path / "cut")
    part = tmp_path / "cut" / "samples.part.jsonl"
    part.write_text(part.read_text() + '{"id": "torn')
    cut = run(SampleStage, base, tmp_path / "cut")
    assert len(calls) == 4  # two blocks, the one that was killed, and that one again
    assert (cut / "examples.jsonl").read_bytes() == (whole / "examples.jsonl").read_bytes()
    assert not part.exists()


def test_evaluate_grades_every_answer_and_scores_it_under_the_reference(base: dict[str, Any], tmp_path: Path):
    out = run(EvaluateStage, merged(base, {"reference_model": base["model"]}), tmp_path / "out")
    scores = json.loads((out / "scores.json").read_text())
    examples = list(read_jsonl(out / "examples.jsonl"))
    graded = [completion.score for example in examples for completion in example.completions]
    assert scores["overall"]["count"] == len(graded) == 12
    assert scores["overall"]["pass_rate"] == pytest.approx(sum(score or 0.0 for score in graded) / 12)
    # At temperature 1 the reference is the sampler, so its log-probs are those of the samples.
    sampled = [c.logps for example in examples for c in example.completions if c.logps]
    expected = sum(sum(logps) / len(logps) for logps in sampled) / len(sampled)
    assert scores["reference_logp_per_token"]["mean"] == pytest.approx(expected, abs=1e-4)


def answer_logps(folder: str, examples: list[Example]) -> list[float]:
    """Log-prob of every answer as sampled, by transformers alone: one row per answer, whole logits, temperature 1."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    text = ChatText(AutoTokenizer.from_pretrained(folder))
    found = []
    for example in examples:
        prompt = text.prompt(example)
        for completion in example.completions:
            answer = list(completion.token_ids or ())
            with torch.no_grad():
                logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
            found.append(float(logits.log_softmax(-1)[range(len(answer)), answer].sum()))
    return found


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_evaluate_measures_the_kl_from_a_reference_at_temperature_1(
    base: dict[str, Any], tmp_path: Path, temperature: float
):
    other = str(write_model(tmp_path / "other", seed=1))
    values = {"reference_model": other, "sampling": {"decoding": {"temperature": temperature}}}
    out = run(EvaluateStage, merged(base, values), tmp_path / "out")
    scores = json.loads((out / "scores.json").read_text())
    examples = list(read_jsonl(out / "examples.jsonl"))
    policy, reference = (answer_logps(folder, examples) for folder in (base["model"], other))
    ratios = [mine - theirs for mine, theirs in zip(policy, reference, strict=True)]
    tokens = sum(len(completion.token_ids or ()) for example in examples for completion in example.completions)
    assert scores["kl"]["mean"] == pytest.approx(sum(ratios) / len(ratios), abs=1e-3)
    assert scores["kl_per_token"]["mean"] == pytest.approx(sum(ratios) / tokens, abs=1e-3)
    assert scores["kl"]["low"] < scores["kl"]["mean"] < scores["kl"]["high"]
    assert scores["kl"]["count"] == len(ratios) == 12
    assert scores["kl"]["mean"] > 0.1  # two models of different weights


def test_a_model_measured_from_itself_has_no_kl_and_without_a_reference_none_is_given(
    base: dict[str, Any], tmp_path: Path
):
    same = run(EvaluateStage, merged(base, {"reference_model": base["model"]}), tmp_path / "same")
    assert json.loads((same / "scores.json").read_text())["kl"]["mean"] == 0.0
    alone = run(EvaluateStage, base, tmp_path / "alone")
    assert not {"kl", "kl_per_token"} & set(json.loads((alone / "scores.json").read_text()))
