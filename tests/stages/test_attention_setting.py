"""How trees are attended to is a setting of every training verb, and what ran is recorded."""

from __future__ import annotations

import json
from pathlib import Path

from burnish.config import load, merged
from burnish.models import flex
from burnish.stages import reference
from burnish.stages.registry import stage_class
from burnish.stages.updates import Training
from tests.stages.runs import FAST, run
from tests.stages.tiny_chat import write_chats, write_model


def test_reference_log_probs_of_one_way_are_not_read_for_the_other(tmp_path: Path, monkeypatch):
    """On a GPU the two differ in their last bits, which the key of the column must tell apart."""
    model, found = str(write_model(tmp_path / "model")), {}
    for kind in ("flex", "segments"):
        monkeypatch.setattr(reference, "attention_for", lambda device, kind=kind: (kind, ""))
        found[kind] = reference._identity(model, "full", [], Training(), "template")
    assert {name for name in found["flex"] if found["flex"][name] != found["segments"][name]} == {"attention"}


def test_segments_may_be_asked_for_and_what_ran_is_recorded(tmp_path: Path, monkeypatch):
    write_model(tmp_path / "model")
    data = write_chats(tmp_path / "chats.jsonl")
    seen = []
    choose = flex.attention_for
    monkeypatch.setattr(flex, "attention_for", lambda device: seen.append(choose(device)) or choose(device))
    found = {}
    for name in ("auto", "segments"):
        base = {"model": str(tmp_path / "model"), "data": str(data), "steps": 1, "train": FAST}
        out = run(load(stage_class("sft"), merged(base, {"train": {"attention": name}})), tmp_path / name)
        record = json.loads((out / "run.json").read_text())
        found[name] = record["attention"], record["attention_reason"]
        assert set(seen) == {found[name]}
        seen.clear()
    assert found == {
        "auto": ("segments", "FlexAttention trains on a GPU, and the device is 'cpu'"),
        "segments": ("segments", "asked for"),
    }
