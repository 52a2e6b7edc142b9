"""The section on text: models side by side on the same documents; other documents are not compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from burnish.errors import StoreError
from burnish.evals.texts import Measured, document_rows, text_scores
from burnish.reports.lineage import lineage
from burnish.reports.page import render
from burnish.reports.texts import read_text_model, text_panel


def write(folder: Path, *, nats: float, documents: int = 20, samples: bool = False) -> Path:
    draw = np.random.default_rng(0)
    found = []
    for number in range(documents):
        size = int(draw.integers(10, 200))
        row = Measured(id=f"d{number}", num_bytes=3 * size, nats=np.full(size, nats), seen=np.arange(size) + 1)
        found.append(row)
    folder.mkdir()
    (folder / "scores.json").write_text(json.dumps(text_scores(found)))
    (folder / "documents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in document_rows(found)))
    if samples:
        (folder / "samples.jsonl").write_text(json.dumps({"prompt": "The <b>", "text": " river & so on"}) + "\n")
    (folder / "run.json").write_text(
        json.dumps({"verb": "evaluate-text", "settings": {}, "versions": {}, "inputs": {}, "state": "finished"})
    )
    return folder


def test_models_are_compared_document_by_document(tmp_path: Path, parse):
    folders = {
        "five-gram": write(tmp_path / "a", nats=4.0),
        "small": write(tmp_path / "b", nats=3.5, samples=True),
        "elsewhere": write(tmp_path / "c", nats=3.0, documents=19),
    }
    panel = text_panel([read_text_model(name, folder) for name, folder in folders.items()])
    gap = panel.gaps["small-five-gram"]
    assert gap["estimate"] == pytest.approx(-0.5 / np.log(2) / 3)
    assert gap["low"] <= gap["estimate"] <= gap["high"] < 0
    assert list(panel.gaps) == ["small-five-gram"]
    assert "0.2404 fewer than five-gram" in panel.findings[1]
    assert panel.findings[2] == "elsewhere was measured on other documents, so it is not compared with five-gram."
    page = render(lineage(list(folders.values())), [], texts=panel, title="Text", samples_per_kind=1)
    text = " ".join("".join(parse(page).itertext()).split())
    for row in panel.rows:
        assert f"{row.bits.estimate:.4f}" in text
    assert "The <b> river & so on" in text
    assert "3 models were measured on held-out text: five-gram, small and elsewhere." in text
    assert "No model was measured" not in text


def test_a_damaged_file_is_named(tmp_path: Path):
    folder = write(tmp_path / "a", nats=4.0)
    (folder / "documents.jsonl").unlink()
    with pytest.raises(StoreError, match=r"documents\.jsonl lacks a figure .* Run its stage again"):
        read_text_model("a", folder)
