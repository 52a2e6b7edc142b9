"""The stage `classify`: one step is transformers' own, whatever it is cut into; runs, adapters, pipelines, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from burnish.config import load, merged
from burnish.errors import BadRow, BurnishError, ConfigError, DataError
from burnish.models.four_bits import held_as
from burnish.models.labelled import Labelled, row_cost
from burnish.models.labeller import Labeller
from burnish.objectives.labels import CrossEntropy, class_weights
from burnish.stages.classify import ClassifyStage
from burnish.stages.run import run_stage
from burnish.stages.specialist_start import Labels
from burnish.training.optimizer import AdamW
from tests.stages.runs import FAST, digest, lines, run, run_killed
from tests.stages.specialist_gradients import flat_gradient, gathered
from tests.stages.specialist_world import write_rows, write_world
from tests.training.toys import gradient_of, on_ranks


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


def stage(world: Path, family: str = "bert", **changes: Any) -> ClassifyStage:
    base = {
        "model": str(world / family),
        "data": str(world / "texts.jsonl"),
        "held_out": 12,
        "max_tokens": 24,
        "steps": 30,
        "train": {**FAST, "batch_size": 12, "checkpoint_every": 3, "evaluate_every": 10},
    }
    return load(ClassifyStage, merged(base, changes))


def ready(made: ClassifyStage) -> tuple[Labels[Any, Labelled], Labeller]:
    labels = made._labels(lambda line: None)
    model, _ = made.load(labels)
    return labels, Labeller(model.requires_grad_(True))


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_the_loss_and_the_gradient_are_those_of_transformers(world, family):
    labels, part = ready(stage(world, family))
    items = labels.train[:6]
    batch = Labelled.collate(items)
    rows = labels.tokenizer.pad({"input_ids": [list(item.tokens) for item in items]}, return_tensors="pt")
    theirs = part.model(**rows, labels=batch.target_N).loss
    expected = flat_gradient(theirs, part.model)
    trainer = gathered(part, CrossEntropy(), items, cost=row_cost, micro=2)
    torch.testing.assert_close(gradient_of(trainer, "model"), expected, rtol=1e-4, atol=1e-6)
    assert trainer.optimizer_step()["loss"] == pytest.approx(float(theirs.detach()), rel=1e-5)


def test_class_weights_are_those_of_torch(world):
    labels, part = ready(stage(world, balanced=True))
    counts = labels.facts["classes"]
    assert counts["good"] > counts["bad"]
    assert labels.facts["weights"] == [sum(counts.values()) / (3 * counts[name]) for name in labels.classes]
    batch = Labelled.collate(labels.train)
    logps = part(batch, frozenset({"class_logps"}))
    loss = CrossEntropy().loss(logps, batch, {}).terms["nll"] / CrossEntropy().weights(batch)["nll"]
    weight = torch.tensor(labels.facts["weights"])
    torch.testing.assert_close(loss, torch.nn.functional.nll_loss(logps["class_logps"], batch.target_N, weight))
    assert class_weights([0, 0, 1], ("a", "b", "c"), balanced=True, given=None) == (0.75, 1.5, 0.0)
    assert class_weights([0], ("a", "b"), balanced=False, given={"b": 3}) == (1.0, 3.0)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_a_step_is_the_same_for_any_split_and_for_two_ranks(world, family):
    labels, start = ready(stage(world, family, balanced=True))
    items = labels.train[:7]

    def stepped(micro: int | None, ranks: Any = None) -> tuple[dict[str, float], torch.Tensor]:
        slow = AdamW(epsilon=1e-2)
        trainer = gathered(start, CrossEntropy(), items, cost=row_cost, micro=micro, ranks=ranks, optimizer=slow)
        gradient = gradient_of(trainer, "model")
        trainer._drop()
        return dict(trainer.step(items)), gradient

    whole, gradient = stepped(None)
    for metrics, other in (stepped(1), stepped(3), *on_ranks(2, lambda ranks: stepped(2, ranks))):
        torch.testing.assert_close(other, gradient, rtol=1e-4, atol=1e-6)
        assert metrics["loss"] == pytest.approx(whole["loss"], rel=1e-5)
        assert metrics["accuracy"] == whole["accuracy"]


QLORA = {"rank": 8, "base": "nf4-double"}
"""Needs the extra qlora."""

LEARNS = [
    ("bert", None),
    ("llama", None),
    ("bert", {"rank": 8}),
    ("bert", {"kind": "dora", "rank": 8}),
    ("bert", QLORA),
    ("llama", QLORA),
]


@pytest.mark.parametrize(("family", "adapter"), LEARNS, ids=str)
def test_it_learns_and_a_pipeline_predicts_the_same(world, tmp_path, family, adapter):
    if adapter is QLORA:
        pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    more = {"adapter": adapter} if adapter else {}
    out = run(stage(world, family, **more), tmp_path / "out")
    scores = json.loads((out / "scores.json").read_text())
    assert scores["accuracy"] > scores["majority_accuracy"]
    rows = lines(out)
    assert rows[-1]["held_out_loss"] < rows[0]["loss"]
    assert rows[-1]["held_out_accuracy"] == pytest.approx(scores["accuracy"])
    held = stage(world, family)._labels(lambda line: None).held_out_rows
    classify = pipeline("text-classification", model=str(out / "model"), device="cpu")
    said = [one["label"] for one in classify([row.text for row in held], truncation=True, batch_size=5)]
    assert sum(a == row.label for a, row in zip(said, held, strict=True)) / len(held) == scores["accuracy"]
    card = (out / "model" / "README.md").read_text()
    assert f"On {len(held)} held-out rows" in card
    assert f"| macro_f1 | {scores['macro_f1']:.4g} |" in card
    assert not (out / "checkpoints").exists()


def test_a_killed_run_ends_with_the_same_bytes(world, tmp_path):
    made = stage(world, steps=7)
    whole = run(made, tmp_path / "whole")
    run_killed(made, tmp_path / "killed", after=5)
    assert digest(run(made, tmp_path / "killed")) == digest(whole)
    assert digest(run(stage(world, steps=7, seed=1), tmp_path / "other")) != digest(whole)


def test_bf16_keeps_float32_masters_and_a_classifier_is_trained_on(world, tmp_path):
    first = run(stage(world, steps=4, train={"precision": "bf16"}), tmp_path / "first")
    still = {"optimizer": {"learning_rate": 0.0}, "precision": "bf16"}
    again = run(stage(world, model=str(first), steps=1, train=still), tmp_path / "again")
    assert (again / "model" / "model.safetensors").read_bytes() == (first / "model" / "model.safetensors").read_bytes()
    model = AutoModelForSequenceClassification.from_pretrained(again / "model")
    assert model.config.id2label == {0: "bad", 1: "good", 2: "none"}
    other = write_rows(tmp_path / "other.jsonl", [{"text": "x", "label": "ugly"}, {"text": "y", "label": "bad"}])
    with pytest.raises(DataError, match="has the label 'ugly', which is none of the 3 classes: bad, good, none"):
        stage(world, model=str(first), data=str(other), held_out=0).plan()


def test_the_saved_tokenizer_brings_borders_and_types(world, tmp_path):
    rows = [{"text": "opal", "text_pair": "ruby", "label": n % 2} for n in range(4)]
    data = write_rows(tmp_path / "pairs.jsonl", [{**row, "id": str(n)} for n, row in enumerate(rows)])
    out = run(stage(world, data=str(data), steps=1, held_out=0), tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(out / "model")
    found = tokenizer("opal", "ruby")
    (item,) = {item.tokens for item in stage(world, data=str(data), held_out=0)._labels(lambda line: None).train}
    assert tuple(found["input_ids"]) == item
    assert (found["input_ids"][0], found["input_ids"][-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert sum(found["token_type_ids"]) == len(tokenizer("ruby", add_special_tokens=False)["input_ids"]) + 1
    assert "Nothing was held out" in (out / "model" / "README.md").read_text()


@pytest.mark.parametrize(
    ("rows", "changes", "error", "message"),
    [
        ([("a", "x"), ("b", "y")], {"classes": ["x", "z"]}, DataError, "the label 'y', which is none of the 2 classes"),
        ([("a", "x"), ("b", "x")], {}, DataError, "all 2 labels are 'x'; there is nothing to tell apart"),
        ([("a", "x"), ("b", "")], {}, BadRow, "field 'label': found ''; expected the name or the number of a class"),
        ([("a", "x"), (" ", "y")], {}, BadRow, "row 2, field 'text': found empty text"),
        ([("a", "x"), ("b", "y")], {"class_weights": {"z": 2}}, ConfigError, "names 'z', and the classes are x, y"),
        ([("a", "x"), ("b", "y")], {"max_tokens": 65}, ConfigError, "max_tokens is 65, and .* has 64 positions"),
        ([("a", "x"), ("b", "y")], {"train": {"epochs": 1}}, ConfigError, "steps is 30 and train.epochs is 1"),
        ([("a", "x"), ("b", "y")], {"train": {"token_budget": 20}}, ConfigError, "a micro-batch may hold 20"),
    ],
)
def test_what_could_not_work_is_refused_before_the_first_step(world, tmp_path, rows, changes, error, message):
    data = write_rows(tmp_path / "rows.jsonl", [{"text": text, "label": label} for text, label in rows])
    made = stage(world, **merged({"data": str(data), "held_out": 0}, changes))
    for work in (made.plan, lambda: run_stage(made, tmp_path / "out", say=print)):
        with pytest.raises(error, match=message):
            work()
    assert not (tmp_path / "out" / "metrics.jsonl").exists()


def test_settings_that_contradict_each_other_are_refused(world):
    with pytest.raises(ConfigError, match="balanced and class_weights both say"):
        stage(world, balanced=True, class_weights={"x": 1.0})
    with pytest.raises(ConfigError, match="'x' counts -1; it must be 0 or more"):
        stage(world, class_weights={"x": -1.0})


def test_long_texts_are_cut_and_counted_and_bad_rows_may_be_dropped(world, tmp_path):
    rows = [{"text": "opal " * 40, "label": "a"}, {"text": "ruby", "label": "b"}, {"text": "jade"}]
    data = write_rows(tmp_path / "rows.jsonl", rows)
    facts = stage(world, data=str(data), held_out=0, reading={"on_bad_row": "skip"}).plan().facts
    assert (facts["cut"], facts["rows"], len(facts["bad_rows"])) == (1, 2, 1)
    with pytest.raises(BurnishError, match="to drop, list and count them: on_bad_row: skip"):
        stage(world, data=str(data), held_out=0).plan()


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_the_head_stays_whole_and_learns_beside_weights_in_4_bits(world, family):
    """BERT's head has a layer within its body, the pooler, whose values are the first ones."""
    pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    made = stage(world, family, adapter=QLORA)
    labels = made._labels(lambda line: None)
    start = made._start(labels)
    _, head = made.load(labels)
    assert held_as(start.plain) == "nf4-double"
    trained = {name for name, value in start.plain.named_parameters() if value.requires_grad}
    assert {name for name in trained if "lora" not in name} == set(head)
    assert any("pooler" in name for name in head) == (family == "bert")
    trainer = gathered(start.part, CrossEntropy(), labels.train[:6], cost=row_cost)
    masters = trainer.optimizers["model"].masters
    moved = [name for name, value in masters.items() if value.grad is not None and bool(value.grad.any())]
    assert {name.removeprefix("model.") for name in moved} >= set(head)
