"""The study of adapters: its quick form runs on a tiny model, the best rate counts, and nothing is run twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from burnish.cli import main
from studies.adapters import measure
from tests.stages.tiny_chat import write_chats, write_model


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The study in this process, on a tiny model and chats; the verbs that it ran."""
    write_model(tmp_path / "model")
    write_chats(tmp_path / "chats.jsonl")
    ran: list[str] = []

    def burnish(verb: str, options: dict[str, object], *words: str) -> str:
        ran.append(verb)
        capsys.readouterr()
        given = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        assert main([verb, *words, *given]) == 0
        return capsys.readouterr().out

    def study(*words: str) -> dict[str, object]:
        paths = ["--model", tmp_path / "model", "--data", tmp_path / "chats.jsonl", "--out", tmp_path / "study"]
        monkeypatch.setattr("sys.argv", ["measure", *map(str, paths), *words])
        measure.main()
        return json.loads((tmp_path / "study" / "record.json").read_text(encoding="utf-8"))

    monkeypatch.setattr(measure, "_burnish", burnish)
    monkeypatch.setattr(measure, "COMMON", {"held_out": 3, "train.batch_size": 4, "train.precision": "fp32"})
    return study, ran


def test_the_quick_form_measures_every_method_once(here, capsys):
    pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    study, ran = here
    record = study("--quick")
    rows = {row["method"]: row for row in record["rows"]}
    assert rows.keys() == measure.METHODS.keys()
    whole = rows["all weights"]["trainable"]
    assert all(row["trainable"] > 0 for row in rows.values())
    assert rows["prefix"]["trainable"] < whole / 2
    assert rows["prompt"]["trainable"] < rows["prefix"]["trainable"]
    assert rows["lora"]["trainable"] == rows["rslora"]["trainable"] == rows["qlora"]["trainable"]
    assert rows["lora"]["trainable"] < rows["dora"]["trainable"]
    assert f"| prompt | {rows['prompt']['trainable']:,} |" in capsys.readouterr().out
    assert ran.count("sft") == len(measure.METHODS)
    study("--quick")
    assert ran.count("sft") == len(measure.METHODS), "what was run is not run again"


def test_the_best_rate_counts(monkeypatch, tmp_path):
    def found(out: Path, options: dict[str, object], rate: float) -> dict[str, float]:
        loss = abs(rate - 3e-3)
        return {"rate": rate, "held_out_loss": loss, "tokens_per_second": 1.0, "peak_memory_bytes": 2e9}

    monkeypatch.setattr(measure, "_run", found)
    monkeypatch.setattr(measure, "_trainable", lambda options: 1000)
    monkeypatch.setattr("sys.argv", ["measure", "--data", "x", "--out", str(tmp_path)])
    measure.main()
    rows = {row["method"]: row for row in json.loads((tmp_path / "record.json").read_text())["rows"]}
    assert (rows["prompt"]["rate"], rows["all weights"]["rate"]) == (3e-3, 1e-4)
    assert len(rows["lora"]["runs"]) == 3
