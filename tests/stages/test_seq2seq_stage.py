"""The stage `seq2seq`: transformers' own loss, greedy decoding that transformers repeats, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from burnish.config import load, merged
from burnish.errors import BadRow, ModelError
from burnish.models.corrupted import Corrupted
from burnish.models.denoiser import Denoiser
from burnish.objectives.labels import TargetLikelihood
from burnish.stages.denoise import padded
from burnish.stages.run import run_stage
from burnish.stages.seq2seq import Seq2seqStage
from tests.stages.runs import FAST, digest, lines, run, run_killed
from tests.stages.specialist_gradients import flat_gradient, require_gradient
from tests.stages.specialist_world import write_rows, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


def stage(world: Path, family: str = "t5", **changes: Any) -> Seq2seqStage:
    base = {
        "model": str(world / family),
        "data": str(world / "pairs.jsonl"),
        "held_out": 8,
        "max_tokens": 32,
        "max_target_tokens": 16,
        "steps": 40,
        "train": {**FAST, "batch_size": 14, "checkpoint_every": 3, "evaluate_every": 10},
    }
    return load(Seq2seqStage, merged(base, changes))


def test_the_loss_and_the_gradient_are_those_of_transformers_for_any_split(world):
    made = stage(world)
    labels = made._labels(lambda line: None)
    items = labels.train[:5]
    batch = Corrupted.collate(items)
    targets = torch.full((5, max(len(item.targets) for item in items)), -100)
    for row, item in enumerate(items):
        targets[row, : len(item.targets)] = torch.tensor(item.targets)
    model = made.load(labels)[0].requires_grad_(True)
    theirs = model(input_ids=batch.tokens_BL, attention_mask=batch.mask_BL, labels=targets).loss
    expected = flat_gradient(theirs, model)
    require_gradient(Denoiser(model), TargetLikelihood(), items, expected, cost=padded)


@pytest.mark.parametrize("adapter", [None, {"rank": 8}, {"rank": 8, "base": "nf4"}], ids=str)
def test_it_learns_and_transformers_generates_the_same(world, tmp_path, adapter):
    if adapter and "base" in adapter:
        pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    out = run(stage(world, prefix="turn: ", **({"adapter": adapter} if adapter else {})), tmp_path / "out")
    rows = lines(out)
    assert rows[-1]["held_out_loss"] < rows[9]["held_out_loss"]
    scores = json.loads((out / "scores.json").read_text())
    assert scores["rows"] == 8
    assert {"rouge1", "rougeL", "bleu", "chrf"} <= scores.keys()
    tokenizer, model = (
        AutoTokenizer.from_pretrained(out / "model"),
        AutoModelForSeq2SeqLM.from_pretrained(out / "model"),
    )
    for line in (out / "generated.jsonl").read_text().splitlines()[:2]:
        row = json.loads(line)
        given = tokenizer("turn: " + row["source"], return_tensors="pt")
        found = model.generate(**given, max_new_tokens=16, do_sample=False)
        assert tokenizer.decode(found[0], skip_special_tokens=True).strip() == row["generated"]


def test_a_killed_run_ends_with_the_same_bytes(world, tmp_path):
    made = stage(world, steps=5)
    whole = run(made, tmp_path / "whole")
    run_killed(made, tmp_path / "killed", after=4)
    assert digest(run(made, tmp_path / "killed")) == digest(whole)


def test_sources_keep_their_end_when_they_are_cut_and_cut_targets_have_none(world, tmp_path):
    data = write_rows(tmp_path / "rows.jsonl", [{"source": "opal " * 60, "target": "ruby " * 60}])
    made = stage(world, data=str(data), held_out=0)
    labels = made._labels(lambda line: None)
    (item,), end = labels.train, labels.tokenizer.eos_token_id
    assert (len(item.tokens), item.tokens[-1], len(item.targets)) == (32, end, 16)
    assert end not in item.targets
    assert labels.facts["cut"] == 1
    plain = stage(world)._labels(lambda line: None).train[0]
    assert plain.targets[-1] == end
    assert plain.decoder is not None
    assert plain.decoder[1:] == plain.targets[:-1]


@pytest.mark.parametrize(
    ("family", "row", "error", "message"),
    [
        ("bert", {}, ModelError, "is no encoder-decoder; start from a T5, or use burnish sft"),
        ("t5", {"target": " "}, BadRow, "field 'target': found empty text"),
    ],
)
def test_what_could_not_work_is_refused_before_the_first_step(world, tmp_path, family, row, error, message):
    data = write_rows(tmp_path / "rows.jsonl", [{"source": "a", "target": "b", **row}])
    made = stage(world, family, data=str(data), held_out=0)
    for work in (made.plan, lambda: run_stage(made, tmp_path / "out", say=print)):
        with pytest.raises(error, match=message):
            work()
