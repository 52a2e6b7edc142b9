"""`evaluate-text` and `ngram`: the same figures on the same tokens, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.data.tokens.files import TokenFiles
from burnish.errors import ConfigError, DataError
from burnish.models.load import load_model
from burnish.stages.evaluate_text import EvaluateTextStage
from burnish.stages.ngram import NGramStage
from burnish.stages.tokenise import TokeniseStage
from tests.stages.runs import run
from tests.stages.tiny_chat import tiny_tokenizer, write_model, write_text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    model = write_model(folder / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_WORKERS", "1")
        run(TokeniseStage(model=str(model), data=[f"gems={write_text(folder / 'text.jsonl')}"]), folder / "tokens")
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def scores(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "scores.json").read_text(encoding="utf-8")))


def stage(place: Path, **values: Any) -> EvaluateTextStage:
    return EvaluateTextStage(model=str(place / "model"), data=str(place / "tokens"), precision="fp32", **values)


def test_every_document_costs_what_the_model_says_of_it_alone(place: Path):
    run(stage(place), place / "whole")
    model, files = load_model(str(place / "model")), TokenFiles(place / "tokens")
    for row, document in zip(lines(place / "whole" / "documents.jsonl"), files.documents(), strict=True):
        tokens = torch.tensor([[files.spelling.first, *document.tokens.tolist()]])
        logps = torch.log_softmax(model(input_ids=tokens, use_cache=False).logits[0, :-1].double(), -1)
        nats = -float(logps.gather(1, tokens[0, 1:, None]).sum())
        assert row == {
            "id": document.id,
            "bytes": document.num_bytes,
            "tokens": len(document.tokens),
            "nats": pytest.approx(nats, rel=1e-5),
        }
    found = scores(place / "whole")
    cost = sum(row["nats"] for row in lines(place / "whole" / "documents.jsonl"))
    assert found["bits_per_byte"]["estimate"] == pytest.approx(cost / math.log(2) / found["bytes"])
    assert (found["window"], found["documents"]) == (256, 12)


def test_windows_begin_anew_and_positions_are_within_them(place: Path):
    run(stage(place, window=8, overlap=3, token_budget=40), place / "windows")
    found = scores(place / "windows")
    assert [(row["from"], row["to"]) for row in found["by_position"]] == [(1, 2), (2, 4), (4, 8)]
    assert sum(row["tokens"] for row in found["by_position"]) == found["tokens"]
    run(stage(place), place / "again")
    assert found["nats_per_token"] != scores(place / "again")["nats_per_token"]
    assert stage(place, window=8).plan().facts["window"] == 8


def test_it_goes_on_with_what_it_is_given(place: Path):
    decoding = {"temperature": 1.0, "max_tokens": 6}
    for out in ("one", "two"):
        run(stage(place, prompts=("", "opal is"), decoding=decoding), place / out)
    written = lines(place / "one" / "samples.jsonl")
    assert [row["prompt"] for row in written] == ["", "opal is"]
    assert all(isinstance(row["text"], str) and row["finish"] in ("stop", "length") for row in written)
    assert written == lines(place / "two" / "samples.jsonl")


def test_an_ngram_model_is_measured_on_the_same_tokens(place: Path):
    tokens = str(place / "tokens")
    run(NGramStage(data=tokens, held_out_data=tokens, order=4), place / "ngram")
    found, other = scores(place / "ngram"), lines(place / "whole" / "documents.jsonl")
    rows = lines(place / "ngram" / "documents.jsonl")
    assert [(row["id"], row["bytes"], row["tokens"]) for row in rows] == [
        (row["id"], row["bytes"], row["tokens"]) for row in other
    ]
    assert found["order"] == 4 == len(found["discounts"])
    assert found["bits_per_byte"]["estimate"] < 1.5, "it has seen these texts, and they say nearly the same"
    run(NGramStage(data=tokens, held_out_data=tokens, order=1), place / "unigram")
    assert found["bits_per_byte"]["estimate"] < 0.5 * scores(place / "unigram")["bits_per_byte"]["estimate"]


def test_what_cannot_be_measured_is_refused(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BURNISH_WORKERS", "1")
    other = write_model(tmp_path / "other", tokenizer=tiny_tokenizer(vocabulary=290))
    with pytest.raises(DataError, match="made with another tokenizer"):
        EvaluateTextStage(model=str(other), data=str(place / "tokens")).plan()
    with pytest.raises(DataError, match=r"0 of 12 documents have 900 tokens; .* Set min_tokens to \d\d or less"):
        stage(place, min_tokens=900).plan()
    with pytest.raises(ConfigError, match="overlap is 8, and a window has 8 tokens"):
        stage(place, window=8, overlap=8).plan()
    run(TokeniseStage(model=str(other), data=[f"gems={place / 'text.jsonl'}"]), tmp_path / "tokens")
    with pytest.raises(DataError, match="different tokenizers"):
        NGramStage(data=str(place / "tokens"), held_out_data=str(tmp_path / "tokens")).plan()
