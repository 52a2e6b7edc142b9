"""What each of two processes runs for `test_several_processes.py`, and what one process runs to compare with.

torchrun --nproc-per-node 2 several.py WORLD OUT NAME ...      runs the named cases into OUT/NAME
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from burnish.config import load, merged
from burnish.example import Completion, Example
from burnish.graders import registry
from burnish.processes import joined
from burnish.protocols import Grade
from burnish.stages.registry import stage_class
from burnish.stages.run import run_stage
from burnish.stages.stage import Stage

ONLINE = ("reinforce", "rloo", "grpo", "ppo", "online-dpo")
PREFERENCE = ("reward", "dpo", "ipo", "kto", "orpo", "simpo", "plackett-luce")
ADAPTER = {"adapter": {"rank": 4, "alpha": 8, "dropout": 0.1}}
BF16 = {"train": {"precision": "bf16"}}

CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    **{verb: (verb, {}) for verb in ("pretrain", "sft", *PREFERENCE, *ONLINE)},
    **{f"{verb}-adapter": (verb, ADAPTER) for verb in ("sft", "reward", "dpo", "grpo", "ppo")},
    "kto": ("kto", {"train": {"batch_size": 4, "micro_batch_size": 3}}),
    "doremi": (
        "doremi",
        {"data": "mix", "reference": "reference", "train": {"batch_size": 4}, "text": {"max_tokens": 17}},
    ),
    "sft-whole": ("sft", {"train": {"divide": "nothing"}}),
    "grpo-whole": ("grpo", {"train": {"divide": "nothing"}}),
    "ppo-shared": ("ppo", {"critic": {"shared": True}}),
    "sft-twice": ("sft", {"train": {"gradient_checkpointing": True}}),
    "sft-padded": ("sft", {"train": {"layout": "padded"}}),
    "sft-bf16": ("sft", BF16),
    "sft-tasks": (
        "sft",
        {"held_out_tasks": {"data": ["questions"], "answer_tokens": 6}, "train": {"evaluate_every": 1}},
    ),
    "dpo-adapter-bf16": ("dpo", {**ADAPTER, **BF16}),
    "grpo-looks": ("grpo", {"held_out": 4, "looks": {"keep": "best"}, "train": {"evaluate_every": 1}}),
}
"""Every training verb, and what is placed in another way: adapters, whole weights, shared trunks, bf16."""


class Vowels:
    """The share of vowels in an answer: random texts differ in it."""

    def grade(self, example: Example, completion: Completion) -> Grade:
        text = completion.text
        return Grade(score=sum(letter in "aeiou" for letter in text) / max(len(text), 1))


def stage_of(world: Path, name: str, **changes: Any) -> Stage:
    """The stage of a case, ready to run."""
    registry.GRADERS = {**registry.GRADERS, "vowels": registry.Entry(make=lambda _: Vowels(), code=(Vowels,))}
    verb, more = CASES[name]
    data = {"pretrain": "text", "sft": "chats", "kto": "labelled", "plackett-luce": "rankings"}
    base: dict[str, Any] = {
        "model": str(world / "model"),
        "data": str(world / f"{'prompts' if verb in ONLINE else data.get(verb, 'pairs')}.jsonl"),
        "steps": 3,
        "train": {
            "batch_size": 5 if verb not in ONLINE else 2,
            "micro_batch_size": 2,
            "precision": "fp32",
            "checkpoint_every": 1,
            # Steps like those of SGD: AdamW's first ones turn the rounding of a tiny gradient into a full step.
            "optimizer": {"learning_rate": 1e-2, "epsilon": 1e-2},
        },
    }
    if verb in ONLINE:
        several = {"num_samples": 2, "batches": 2, "passes": 2} if verb == "ppo" else {"num_samples": 3}
        base |= {"reward": {"grader": "vowels"}, "rollout": {**several, "decoding": {"max_tokens": 8}}}
    given = merged(base, more)
    if verb == "doremi":
        given |= {name: str(world / given[name]) for name in ("data", "reference")}
    if "held_out_tasks" in given:
        given["held_out_tasks"] = {**given["held_out_tasks"], "data": [str(world / "questions.jsonl")]}
    return load(stage_class(verb), merged(given, changes))


def main(world: Path, out: Path, names: list[str]) -> None:
    """Run the cases one after the other, in all processes."""
    torch.set_num_threads(1)
    with joined():
        for name in names:
            run_stage(stage_of(world, name), out / name, say=lambda line: None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
