"""A language model as the perplexity gate: its log-likelihoods are the model's own, and a run is gated by them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from burnish.config import load
from burnish.data.curate.record import Curated
from burnish.errors import ModelError
from burnish.models.load import load_model, load_tokenizer
from burnish.stages.curate import CurateStage
from burnish.stages.likelihoods import causal
from burnish.stages.run import run_stage
from tests.stages.tiny_chat import GEMS, write_model

TEXTS = [f"{gem} is a gem, and <|im_end|> shïnes." for gem in GEMS[:3]]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("BURNISH_WORKERS", "1")
    return str(write_model(tmp_path / "model"))


def by_hand(name: str, text: str) -> float:
    """The sum over the text's tokens and the end, by transformers alone."""
    tokenizer, plain = load_tokenizer(name), load_model(name)
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    row = torch.tensor([[tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]])
    with torch.no_grad():
        logp = torch.log_softmax(plain(row).logits[0, :-1], dim=-1)
    return float(logp.gather(1, row[0, 1:, None]).sum())


def test_likelihoods_are_those_of_the_model_and_do_not_depend_on_neighbours(model):
    found = causal(model).log_likelihoods([*TEXTS, ""])
    assert found[:3].tolist() == pytest.approx([by_hand(model, text) for text in TEXTS], abs=1e-3)
    assert found[3] == 0
    assert [causal(model).log_likelihoods([text])[0] for text in TEXTS] == found[:3].tolist()


def test_a_long_text_goes_through_in_windows(model):
    text = "ruby is a gem. " * 200  # far beyond the context of 256 tokens
    found = causal(model).log_likelihoods([text])[0]
    assert math.isfinite(found)
    part = causal(model).log_likelihoods(["ruby is a gem. " * 4])[0]
    assert found == pytest.approx(50 * part, rel=0.3)


def test_a_run_is_gated_by_it(model, tmp_path):
    path = tmp_path / "web.jsonl"
    path.write_text("".join(json.dumps({"id": str(n), "text": text}) + "\n" for n, text in enumerate(TEXTS)))
    sizes = np.array([len(text.encode()) for text in TEXTS])
    wanted = np.exp(-np.array([by_hand(model, text) for text in TEXTS]) / sizes)
    limit = float(np.sort(wanted)[:2].mean())
    gate = {"kind": "own", "code": "burnish.stages.likelihoods:causal", "weights": model}
    steps = [{"kind": "perplexity", "model": gate, "max_perplexity": limit}]
    run_stage(load(CurateStage, {"data": str(path), "steps": steps}), tmp_path / "out", say=lambda line: None)
    rows = {row["id"]: row for row in Curated(tmp_path / "out").all_rows("perplexity").to_pylist()}
    assert [rows[str(n)]["measure.perplexity"] for n in range(3)] == pytest.approx(wanted.tolist(), rel=1e-4)
    assert [rows[str(n)]["fate"] for n in range(3)] == ["keep" if one <= limit else "drop" for one in wanted]


def test_a_model_has_to_be_named():
    with pytest.raises(ModelError, match=r"set model\.weights"):
        causal(None)
