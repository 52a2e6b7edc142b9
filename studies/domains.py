"""Models trained on domains, and measured on documents of each that they never saw: what several studies do."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.config import load
from burnish.stages.likelihoods import causal
from burnish.stages.run import run_stage
from burnish.stages.stage import Stage
from burnish.store.record import read_record

HELD_OUT_EVERY = 10
LONGEST = 2000
"""Characters of a held-out document that are measured."""


def made(kind: type[Stage], out: Path, given: Mapping[str, Any]) -> Path:
    """The folder of a run, which is made if it is not there."""
    if (read_record(out) or {}).get("state") != "finished":
        run_stage(load(kind, given), out, say=lambda line: None)
    return out


def split(source: Path, folder: Path, held_out: int) -> list[str]:
    """Write the documents to train on; return the beginnings of `held_out` others, of every tenth."""
    lines = [line for line in source.read_text(encoding="utf-8").splitlines() if line.strip()]
    texts = [json.loads(line)["text"] for line in lines]
    folder.mkdir(parents=True, exist_ok=True)
    train = [text for place, text in enumerate(texts) if place % HELD_OUT_EVERY]
    rows = "".join(json.dumps({"text": text}) + "\n" for text in train)
    if not (folder / "train.jsonl").exists():  # a finished run is known by the bytes of its data
        (folder / "train.jsonl").write_text(rows, encoding="utf-8")
    return [text[:LONGEST] for text in texts[::HELD_OUT_EVERY]][:held_out]


def bits_per_byte(model: Path, held_out: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Bits per byte of the held-out documents of each domain; kept beside the model."""
    kept = model / "bits.json"
    if not kept.exists():
        likelihoods = causal(str(model))
        found = {
            name: -float(likelihoods.log_likelihoods(texts).sum()) / math.log(2) / sum(len(t.encode()) for t in texts)
            for name, texts in held_out.items()
        }
        kept.write_text(json.dumps(found) + "\n", encoding="utf-8")
    values: dict[str, float] = json.loads(kept.read_text(encoding="utf-8"))
    return values
