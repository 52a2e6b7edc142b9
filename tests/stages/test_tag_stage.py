"""The stage `tag`: transformers' own loss, windows of long texts, a pipeline that tags the same, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import pipeline

from burnish.config import load, merged
from burnish.data.labelled import TaggedWords
from burnish.errors import BadRow, DataError
from burnish.models.labelled import Labelled, row_cost
from burnish.models.labeller import Labeller
from burnish.objectives.labels import CrossEntropy
from burnish.stages.run import run_stage
from burnish.stages.tag import TagStage
from burnish.training.labelling import word_items
from tests.stages.runs import FAST, digest, run, run_killed
from tests.stages.specialist_gradients import flat_gradient, require_gradient
from tests.stages.specialist_world import write_rows, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


def stage(world: Path, family: str = "bert", **changes: Any) -> TagStage:
    base = {
        "model": str(world / family),
        "data": str(world / "words.jsonl"),
        "held_out": 8,
        "max_tokens": 48,
        "steps": 25,
        "train": {**FAST, "batch_size": 9, "checkpoint_every": 3, "evaluate_every": 5},
    }
    return load(TagStage, merged(base, changes))


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_the_loss_and_the_gradient_are_those_of_transformers_for_any_split(world, family):
    made = stage(world, family)
    labels = made._labels(lambda line: None)
    items = labels.train[:5]
    batch = Labelled.collate(items)
    targets = torch.full_like(batch.rows.tokens_BL, -100).flatten()
    targets[batch.source_N] = batch.target_N
    model = made.load(labels)[0].requires_grad_(True)
    theirs = model(
        input_ids=batch.rows.tokens_BL,
        attention_mask=batch.rows.mask_BL,
        labels=targets.reshape(batch.rows.tokens_BL.shape),
    ).loss
    expected = flat_gradient(theirs, model)
    require_gradient(Labeller(model), CrossEntropy(), items, expected, cost=row_cost)


def test_it_learns_and_a_pipeline_tags_the_same_words(world, tmp_path):
    out = run(stage(world), tmp_path / "out")
    scores = json.loads((out / "scores.json").read_text())
    assert scores["entity_f1"] > 0.5
    assert scores["accuracy"] > scores["majority_accuracy"]
    labels = stage(world)._labels(lambda line: None)
    tag = pipeline("token-classification", model=str(out / "model"), device="cpu", ignore_labels=[])
    right = total = 0
    for row in labels.held_out_rows:
        said = tag(" ".join(row.words))
        start = 0
        for word, own in zip(row.words, row.tags, strict=True):
            first = next(one for one in said if one["end"] > start)
            right, total, start = right + (first["entity"] == own), total + 1, start + len(word) + 1
    assert right / total == pytest.approx(scores["accuracy"])


def test_a_killed_run_ends_with_the_same_bytes(world, tmp_path):
    made = stage(world, steps=5, adapter={"rank": 4})
    whole = run(made, tmp_path / "whole")
    run_killed(made, tmp_path / "killed", after=4)
    assert digest(run(made, tmp_path / "killed")) == digest(whole)


def test_a_long_text_is_halved_and_every_word_keeps_its_tag(world):
    tokenizer = stage(world)._labels(lambda line: None).tokenizer
    tokenizer.model_max_length = 12
    row = TaggedWords(id="long", words=("Ada", "has", "opal", "and", "ruby", ".") * 4, tags=("O",) * 24)
    items = word_items(row, tokenizer, list(range(24)), [1.0] * 24)
    assert len(items) > 1
    assert all(len(item.tokens) <= 12 for item in items)
    assert [target for item in items for target in item.targets] == list(range(24))
    read = [tokenizer.decode(item.tokens[place]).strip()[:1] for item in items for place in item.places]
    assert read == [word[0] for word in row.words]
    with pytest.raises(DataError, match="has the word 'Pneumono"):
        word_items(TaggedWords(id="x", words=("Pneumonoultramicroscopic" * 3,), tags=("O",)), tokenizer, [0], [1.0])


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, BadRow, "field 'tags': found 1 tags; expected 2, one for each"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, BadRow, "field 'tokens\\[1\\]': found ' '"),
        ({"tokens": ["a"], "tags": ["B-X"]}, DataError, "the label 'B-X', which is none of the 2 classes: O, I-X"),
    ],
)
def test_rows_that_contradict_themselves_are_refused(world, tmp_path, row, error, message):
    data = write_rows(tmp_path / "rows.jsonl", [{"tokens": ["c"], "tags": ["O"]}, row])
    made = stage(world, data=str(data), held_out=0, classes=["O", "I-X"])
    for work in (made.plan, lambda: run_stage(made, tmp_path / "out", say=print)):
        with pytest.raises(error, match=message):
            work()
    assert not (tmp_path / "out" / "metrics.jsonl").exists()
