"""What each of two processes runs for `test_specialists_by_two.py`, and what one process runs to compare with.

torchrun --nproc-per-node 2 several_specialists.py WORLD OUT      runs every case into OUT/NAME
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from burnish.config import load, merged
from burnish.processes import joined
from burnish.stages.registry import stage_class
from burnish.stages.run import run_stage
from burnish.stages.stage import Stage

ROWS = {"classify": "texts", "tag": "words", "answer-spans": "questions", "seq2seq": "pairs"}
"""The rows of each verb; the others read sentences."""
WHOLE = {"train": {"divide": "nothing"}}

CASES: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "classify": ("classify", "bert", {"balanced": True, "fisher": 4}),
    "classify-adapter": ("classify", "llama", {"adapter": {"rank": 4, "alpha": 32}}),
    "tag": ("tag", "llama", {"balanced": True}),
    "answer-spans": ("answer-spans", "bert", {"stride": 8}),
    "seq2seq": ("seq2seq", "t5", {}),
    "masks": ("denoise", "bert", {}),
    "masks-adapter": ("denoise", "bert", {"adapter": {"kind": "dora", "rank": 4}}),
    "spans": ("denoise", "t5", {"objective": {"kind": "span_corruption"}}),
    "pretrain-ewc": ("pretrain", "llama", {"ewc": {"strength": 1e4}}),
    "experts": ("pretrain", "moe", {}),
    "experts-whole": ("pretrain", "moe", WHOLE),
    "experts-padded": ("pretrain", "moe", {"train": {"layout": "padded"}}),
}
"""By name: verb, family, and what is set besides."""


def stage_of(world: Path, name: str, **changes: Any) -> Stage:
    """The stage of a case, ready to run."""
    verb, family, more = CASES[name]
    base: dict[str, Any] = {
        "model": str(world / family),
        "data": str(world / f"{ROWS.get(verb, 'sentences')}.jsonl"),
        "steps": 3,
        "train": {
            "batch_size": 5,
            "micro_batch_size": 2,
            "precision": "fp32",
            "checkpoint_every": 1,
            # Steps like those of SGD: AdamW's first ones turn the rounding of a tiny gradient into a full step.
            "optimizer": {"learning_rate": 1e-2, "epsilon": 1e-2},
        },
    }
    if verb != "pretrain":
        base |= {"max_tokens": 32, "held_out": 6}
    elif "ewc" in more:
        base["ewc"] = {"fisher": str(world / "fisher")}
    return load(stage_class(verb), merged(merged(base, more), changes))


def main(world: Path, out: Path) -> None:
    """Run the cases one after the other, in all processes."""
    torch.set_num_threads(1)
    with joined():
        for name in CASES:
            run_stage(stage_of(world, name), out / name, say=lambda line: None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
