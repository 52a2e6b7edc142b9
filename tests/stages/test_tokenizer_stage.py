"""The stage `tokenizer`: what it writes, what it measures on, and that other verbs take it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from burnish.config import load
from burnish.errors import DataError
from burnish.models.load import load_tokenizer
from burnish.models.vocabulary import tokenizer_at
from burnish.stages.new_model import NewModelStage
from burnish.stages.run import run_stage
from burnish.stages.tokenise import TokeniseStage
from burnish.stages.tokenizer import TokenizerStage
from tests.stages.runs import run
from tests.stages.tiny_chat import write_model
from tests.text.test_training import TEXTS


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "text.jsonl"
    rows = [{"text": text} for text in TEXTS] + [{"text": ""}, {"no": 1}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def stage(data: Path, **changes) -> TokenizerStage:
    given = {"data": str(data), "algorithm": {"kind": "bpe", "vocabulary": 300}, "held_out_every": 10}
    return load(TokenizerStage, given | changes)


def test_it_writes_a_tokenizer_and_its_compression_beside_others(data, tmp_path):
    model, said = write_model(tmp_path / "model"), []
    out = run(stage(data, against={"tiny": str(model)}), tmp_path / "out", said)
    scores = json.loads((out / "scores.json").read_text())["tokenizers"]
    assert list(scores) == ["trained", "tiny"]
    assert scores["trained"]["texts"] == scores["tiny"]["texts"] == len(TEXTS) // 10
    assert scores["trained"]["bytes"] == sum(len(text.encode()) for text in TEXTS[9::10])
    assert scores["trained"]["bytes_per_token"] > scores["tiny"]["bytes_per_token"]  # which knows other words
    assert [line.split(":")[0] for line in said] == ["trained", "tiny"]
    record = json.loads((out / "run.json").read_text())
    assert record["tokens"] == len(tokenizer_at(str(out))) == 300
    assert set(record["inputs"]) == {"data.text", "against.tiny"}


def test_what_is_held_out_is_not_learned_from(data, tmp_path):
    rows = [{"text": text} for text in TEXTS]
    rows[9]["text"] = "qqqq " * 400
    other = tmp_path / "text.jsonl"
    other.write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept = tokenizer_at(str(run(stage(data), tmp_path / "one")))
    moved = tokenizer_at(str(run(stage(other), tmp_path / "two")))
    assert kept.get_vocab() == moved.get_vocab()
    whole = run(stage(other, held_out_data=str(data)), tmp_path / "three")
    assert tokenizer_at(str(whole)).get_vocab() != kept.get_vocab()
    assert json.loads((whole / "scores.json").read_text())["tokenizers"]["trained"]["texts"] == len(TEXTS)


def test_a_new_model_and_token_files_are_made_with_it(data, tmp_path, monkeypatch):
    monkeypatch.setenv("BURNISH_WORKERS", "1")
    algorithm = {"kind": "unigram", "vocabulary": 420}
    out = run(stage(data, algorithm=algorithm, special={"sentinels": 2}), tmp_path / "out")
    sizes = {"width": 32, "heads": 4}
    model = run(load(NewModelStage, {"tokenizer": str(out), "depth": 1, "sizes": sizes}), tmp_path / "model")
    assert load_tokenizer(str(model)).get_vocab() == tokenizer_at(str(out)).get_vocab()
    tokens = run(load(TokeniseStage, {"model": str(model), "data": str(data)}), tmp_path / "tokens")
    counts = json.loads((tokens / "run.json").read_text())["tokens"]
    assert (counts["documents"], counts["bytes"]) == (len(TEXTS), sum(len(text.encode()) for text in TEXTS))


def test_a_dry_run_finds_the_files_and_the_others(data, tmp_path):
    model = write_model(tmp_path / "model")
    facts = stage(data, against=str(model)).plan().facts
    assert facts == {"files": 1, "against": {str(model): 300}}


def test_too_few_documents_to_hold_one_out_are_an_error(data, tmp_path):
    with pytest.raises(DataError, match="no document to measure compression on: 48 were found"):
        run_stage(stage(data, held_out_every=100), tmp_path / "out", say=print)
