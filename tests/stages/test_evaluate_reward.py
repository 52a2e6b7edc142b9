"""`evaluate-reward` on tiny classifiers: scores as transformers gives them, ensembles, refusals, the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from burnish.config import dump, load
from burnish.data.read import DataSettings, read
from burnish.errors import ConfigError, DataError, ModelError, TemplateError
from burnish.example import read_jsonl, write_jsonl
from burnish.models.classifier import save_reward_model
from burnish.models.score import score_model
from burnish.stages.evaluate_reward import EvaluateRewardStage, members_of
from burnish.stages.prepare import load_text
from burnish.stages.report import ReportStage
from burnish.stages.run import run_stage
from burnish.text.rendering import TemplateSettings
from tests.stages.tiny_chat import tiny_tokenizer, write_chats, write_model, write_pairs


def write_reward_model(folder: Path, base: Path, *, seed: int = 0, heads: int = 1) -> Path:
    """A random reward model over a random base; its head is large enough for scores that differ."""
    part = score_model(AutoModelForCausalLM.from_pretrained(base), heads=heads, seed=seed)
    with torch.no_grad():
        part.head.weight *= 20
    text = load_text(str(base), TemplateSettings())
    save_reward_model(part, tiny_tokenizer(), folder, template_hash=text.hash)
    return folder


def converted(path: Path) -> Path:
    """The same data in the library's own format."""
    target = path.with_name("ours.jsonl")
    write_jsonl(target, read(DataSettings(path=str(path))).examples)
    return target


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    base = write_model(root / "base")
    return {
        "base": base,
        "one": write_reward_model(root / "one", base, seed=1),
        "two": write_reward_model(root / "two", base, seed=2),
        "heads": write_reward_model(root / "heads" / "model", base, seed=3, heads=3).parent,
        "pairs": write_pairs(root / "pairs.jsonl"),
        "pairs_of_ours": converted(root / "pairs.jsonl"),
        "chats": write_chats(root / "chats.jsonl"),
    }


def evaluated(out: Path, said: list[str] | None = None, **fields) -> dict:
    """What the stage writes into `scores.json`."""
    stage = load(EvaluateRewardStage, {"precision": "fp32", **fields})
    run_stage(stage, out, say=(said if said is not None else []).append)
    return json.loads((out / "scores.json").read_text())


def scores_in(out: Path) -> list[list[float]]:
    return [[c.score for c in example.completions] for example in read_jsonl(out / "examples.jsonl")]


@pytest.fixture(scope="module")
def single(world, tmp_path_factory):
    """The figures of one model, its folder, and what was said."""
    out, said = tmp_path_factory.mktemp("single") / "out", []
    found = evaluated(out, said, model=str(world["one"]), data=str(world["pairs"]))
    return found, out, said


def test_scores_are_those_that_transformers_gives(world, single):
    _, out, _ = single
    tokenizer = AutoTokenizer.from_pretrained(world["one"])
    model = AutoModelForSequenceClassification.from_pretrained(world["one"]).eval()
    examples = list(read_jsonl(out / "examples.jsonl"))
    assert len(examples) == 12
    for example, ours in zip(examples, scores_in(out), strict=True):
        chats = [
            [{"role": m.role, "content": m.content} for m in (*example.prompt, *c.messages)]
            for c in example.completions
        ]
        texts = [tokenizer.apply_chat_template(chat, tokenize=False).rstrip("\n") for chat in chats]
        with torch.no_grad():
            theirs = model(**tokenizer(texts, return_tensors="pt", padding=True)).logits[:, 0]
        assert ours == pytest.approx(theirs.tolist(), abs=1e-4)


def test_figures_are_those_of_the_scores_that_were_written(single):
    found, out, said = single
    rows = scores_in(out)
    won = sum((chosen > rejected) + 0.5 * (chosen == rejected) for chosen, rejected in rows)
    assert found["accuracy"]["accuracy"] == pytest.approx(won / 12)
    assert found["margin"]["mean"] == pytest.approx(sum(c - r for c, r in rows) / 12)
    assert found["pairs"] == found["prompts"] == 12
    assert sum(row["count"] for row in found["length_difference"]["quantiles"]) == 12
    assert any(f"{won / 12:.1%} of 12 pairs right" in line for line in said)
    assert "members" not in found
    record = json.loads((out / "run.json").read_text())
    assert record["state"] == "finished"
    assert record["template_hash"]


def test_scores_do_not_depend_on_what_is_computed_together(world, single, tmp_path):
    evaluated(tmp_path / "out", model=str(world["one"]), data=str(world["pairs"]), token_budget=80)
    for one, other in zip(scores_in(tmp_path / "out"), scores_in(single[1]), strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_an_ensemble_takes_the_minimum_of_its_members(world, single, tmp_path):
    fields = {"model": [str(world["one"]), str(world["two"])], "data": str(world["pairs"])}
    found = evaluated(tmp_path / "both", **fields, combination={"kind": "minimum"})
    second = evaluated(tmp_path / "two", model=str(world["two"]), data=str(world["pairs"]))
    first_rows, second_rows = scores_in(single[1]), scores_in(tmp_path / "two")
    for both, one, two in zip(scores_in(tmp_path / "both"), first_rows, second_rows, strict=True):
        assert both == pytest.approx([min(pair) for pair in zip(one, two, strict=True)], abs=1e-6)
    accuracies = [member["accuracy"]["accuracy"] for member in found["members"]]
    assert accuracies == [single[0]["accuracy"]["accuracy"], second["accuracy"]["accuracy"]]
    assert found["combination"] == {"kind": "minimum", "spread": None}
    example = next(iter(read_jsonl(tmp_path / "both" / "examples.jsonl")))
    assert [row[0] for row in example.columns["member_scores"]] == pytest.approx(first_rows[0], abs=1e-6)


def test_centred_members_have_a_mean_of_zero(world, tmp_path):
    models = [str(world["one"]), str(world["two"])]
    evaluated(tmp_path / "out", model=models, data=str(world["pairs"]), centre=True)
    rows = [row for e in read_jsonl(tmp_path / "out" / "examples.jsonl") for row in e.columns["member_scores"]]
    for member in zip(*rows, strict=True):
        assert sum(member) / len(member) == pytest.approx(0.0, abs=1e-9)
        assert max(member) > 0.01


def test_a_folder_with_heads_stands_for_its_members(world, tmp_path):
    assert members_of([str(world["heads"])]) == tuple(str(world["heads"] / "model" / f"head-{i}") for i in range(3))
    assert members_of(["hub/name", str(world["one"])]) == ("hub/name", str(world["one"]))
    found = evaluated(tmp_path / "out", model=str(world["heads"]), data=str(world["pairs"]))
    assert [member["model"][-6:] for member in found["members"]] == ["head-0", "head-1", "head-2"]


def test_heads_are_counted_as_numbers(tmp_path):
    for number in (0, 2, 10):
        (tmp_path / f"head-{number}").mkdir()
        (tmp_path / f"head-{number}" / "config.json").write_text("{}")
    assert [member.rpartition("/")[2] for member in members_of([str(tmp_path)])] == ["head-0", "head-2", "head-10"]


def test_a_ranking_counts_as_all_its_pairs(world, tmp_path):
    row = {"prompt": "What is opal?", "completions": ["a gem.", "a stone.", "no"], "ranks": [0, 1, 2]}
    (tmp_path / "ranked.jsonl").write_text(json.dumps(row) + "\n")
    found = evaluated(tmp_path / "out", model=str(world["one"]), data=str(tmp_path / "ranked.jsonl"))
    assert (found["pairs"], found["prompts"]) == (3, 1)


def test_graded_samples_are_ranked_by_their_scores(world, tmp_path):
    pairs = list(read_jsonl(world["pairs_of_ours"]))
    graded = [
        replace(pair, completions=tuple(replace(c, rank=None, score=-2.5 * c.rank) for c in pair.completions))
        for pair in pairs
    ]
    equal = replace(graded[0], id="equal", completions=tuple(replace(c, score=1.0) for c in graded[0].completions))
    write_jsonl(tmp_path / "graded.jsonl", [*graded, equal])
    found = evaluated(tmp_path / "out", model=str(world["one"]), data=str(tmp_path / "graded.jsonl"))
    ranked = evaluated(tmp_path / "ranked", model=str(world["one"]), data=str(world["pairs_of_ours"]))
    assert found["accuracy"] == ranked["accuracy"]
    assert found["pairs"] == 12  # equal scores make no pair
    assert len(scores_in(tmp_path / "out")) == 13
    write_jsonl(tmp_path / "equal.jsonl", [equal])
    with pytest.raises(DataError, match="found no pair in 1 examples"):
        evaluated(tmp_path / "none", model=str(world["one"]), data=str(tmp_path / "equal.jsonl"))


def test_examples_that_truncation_drops_are_counted_and_left_out(world, tmp_path):
    long = {"prompt": "What is opal?", "chosen": "opal is a gem. " * 30, "rejected": "no"}
    data = tmp_path / "pairs.jsonl"
    data.write_text(world["pairs"].read_text() + json.dumps(long) + "\n")
    said: list[str] = []
    fields = {"model": str(world["one"]), "data": str(data), "text": {"max_tokens": 120}}
    found = evaluated(tmp_path / "out", said, **fields)
    assert found["pairs"] == 12
    assert "1 examples are not scored, because truncation dropped them" in said
    with pytest.raises(DataError, match="dropped all 13 examples"):
        evaluated(tmp_path / "none", **{**fields, "text": {"max_tokens": 2}})


def test_what_cannot_be_measured_is_refused_before_any_work(world, tmp_path):
    stage = EvaluateRewardStage(model=str(world["one"]), data=str(world["chats"]))
    with pytest.raises(DataError, match="no two completions of different rank"):
        stage.plan()
    unranked = tmp_path / "examples.jsonl"
    rows = [{"messages": [{"role": "assistant", "content": text}], "rank": rank} for text, rank in (("a", 0), ("b", 1))]
    rows.append({"messages": [{"role": "assistant", "content": "c"}]})
    unranked.write_text(json.dumps({"prompt": [{"role": "user", "content": "q"}], "completions": rows}) + "\n")
    with pytest.raises(DataError, match="has a completion without a rank"):
        EvaluateRewardStage(model=str(world["one"]), data=str(unranked)).plan()
    with pytest.raises(ConfigError, match="model"):
        load(EvaluateRewardStage, {"model": [], "data": "x"})
    with pytest.raises(ModelError, match="is no reward model"):
        evaluated(tmp_path / "out", model=str(world["base"]), data=str(world["pairs"]))


def test_a_model_of_another_template_is_refused(world, tmp_path):
    other = tmp_path / "other.jinja"
    other.write_text("{% for m in messages %}[{{ m.role }}] {{ m.content }}<|im_end|>{% endfor %}")
    stage = load(
        EvaluateRewardStage,
        {"model": str(world["one"]), "data": str(world["pairs"]), "template": {"template": str(other)}},
    )
    with pytest.raises(TemplateError):
        stage.plan()


def test_the_plan_counts_for_every_member(world):
    plan = EvaluateRewardStage(model=(str(world["one"]), str(world["two"])), data=str(world["pairs"])).plan()
    assert plan.facts == {"prompts": 12, "answers": 24, "members": 2}
    assert len(plan.lines) == 3


def test_one_word_is_a_list_of_one():
    stage = load(EvaluateRewardStage, {"model": "a", "data": "x"})
    assert stage.model == ("a",)
    assert load(EvaluateRewardStage, dump(stage)) == stage


def test_the_report_draws_it(single, tmp_path):
    found, out, _ = single
    run_stage(ReportStage(runs={"tiny": str(out)}), tmp_path / "report", say=lambda _: None)
    html = (tmp_path / "report" / "report.html").read_text()
    assert "Reward models" in html
    assert f"{found['accuracy']['accuracy']:.0%}" in html
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["tiny"]["accuracy"] == found["accuracy"]
