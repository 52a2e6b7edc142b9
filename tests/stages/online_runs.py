"""Runs of online training on a tiny chat model, and a grader that tells its random answers apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from burnish.config import load, merged
from burnish.example import Completion, Example
from burnish.protocols import Grade
from burnish.stages.registry import stage_class
from burnish.stages.stage import Stage
from tests.stages.tiny_chat import write_model, write_pairs, write_prompts

ADAPTER = {"rank": 4, "alpha": 8}


class Vowels:
    """The share of vowels in an answer: random texts differ in it."""

    def grade(self, example: Example, completion: Completion) -> Grade:
        """The share, and the number of letters as a part."""
        text = completion.text
        share = sum(letter in "aeiou" for letter in text) / max(len(text), 1)
        return Grade(score=share, parts={"letters": float(len(text))})


def write_world(folder: Path) -> Path:
    """A model, prompts to train on, and pairs for a reward model."""
    write_model(folder / "model")
    write_prompts(folder / "prompts.jsonl", count=12)
    write_pairs(folder / "pairs.jsonl")
    return folder


def made(verb: str, world: Path, **changes: Any) -> Stage:
    """A verb of online training: three updates of two prompts, rewarded by the grader `vowels`, with `changes`."""
    several = {"num_samples": 2, "batches": 2, "passes": 2} if verb == "ppo" else {"num_samples": 3}
    base = {
        "model": str(world / "model"),
        "data": str(world / "prompts.jsonl"),
        "steps": 3,
        "reward": {"grader": "vowels"},
        "rollout": {**several, "decoding": {"max_tokens": 8}},
        "train": {
            "batch_size": 2,
            "precision": "fp32",
            "checkpoint_every": 1,
            "optimizer": {"learning_rate": 1e-2},
        },
    }
    return load(stage_class(verb), merged(base, changes))
