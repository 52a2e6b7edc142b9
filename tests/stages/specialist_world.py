"""Tiny encoders, decoders and encoder-decoders with labelled rows for them: what specialists are tested with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from burnish.config import load
from burnish.stages.new_model import NewModelStage
from burnish.text.training import BPE, Special, trained_tokenizer
from tests.stages.runs import run
from tests.stages.tiny_chat import GEMS, write_model

NAMES = ("Ada", "Max", "Eva", "Tom", "Lea", "Ben")
SENTENCES = [f"{name} has {number} {gem}s, and {gem} shines." for name in NAMES for number, gem in enumerate(GEMS)]


def write_world(folder: Path) -> Path:
    """A BERT, a T5 and a Llama of a few thousand weights, and rows of every kind."""
    special = Special(mask="<|mask|>", sentinels=30)
    trained_tokenizer(SENTENCES, BPE(vocabulary=370), special).save_pretrained(folder / "tokenizer")
    for family, sizes in {"bert": {"context": 64}, "t5": {}}.items():
        given: dict[str, Any] = {"tokenizer": str(folder / "tokenizer"), "family": family, "depth": 1}
        more = {"sizes": {"width": 32, "heads": 2, **sizes}, "zero_residual": False}
        run(load(NewModelStage, given | more), folder / family)
    write_model(folder / "llama")
    write_rows(folder / "texts.jsonl", texts(48))
    write_rows(folder / "words.jsonl", words(36))
    write_rows(folder / "questions.jsonl", questions(36))
    write_rows(folder / "pairs.jsonl", pairs(36))
    return folder


def texts(count: int) -> list[dict[str, Any]]:
    """Texts whose class is in their words; three classes of different size."""
    found = []
    for place in range(count):
        gem, label = GEMS[place % len(GEMS)], ("good", "good", "bad", "none")[place % 4]
        said = {"good": "shines", "bad": "is dull", "none": "is"}[label]
        found.append({"text": f"{gem} {said} " * (1 + place % 3) + str(place), "label": label})
    return found


def words(count: int) -> list[dict[str, Any]]:
    """Sentences with names and gems as entities."""
    found = []
    for place in range(count):
        name, gem = NAMES[place % len(NAMES)], GEMS[place % 7]
        tokens = [name, "Stone", "has", str(place), gem, "."]
        found.append({"tokens": tokens, "tags": ["B-PER", "I-PER", "O", "O", "B-GEM", "O"]})
    return found


def questions(count: int) -> list[dict[str, Any]]:
    """Questions whose answers stand at different places of contexts of different length; some have none."""
    found = []
    for place in range(count):
        name, gem = NAMES[place % len(NAMES)], GEMS[place % len(GEMS)]
        before = "It rains here. " * (place % 3)
        context = f"{before}{name} has a {gem} now. " + "It is old. " * (place % 4)
        start = context.index(gem)
        answers: dict[str, Any] = {"text": [gem], "answer_start": [start]}
        if place % 6 == 5:
            answers = {"text": [], "answer_start": []}
        found.append({"question": f"What has {name}? {place}", "context": context.strip(), "answers": answers})
    return found


def pairs(count: int) -> list[dict[str, Any]]:
    """Sources and targets."""
    return [
        {"source": f"{NAMES[i % 6]} has {GEMS[i % 12]} {i}", "target": f"{GEMS[i % 12]} of {NAMES[i % 6]}"}
        for i in range(count)
    ]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
