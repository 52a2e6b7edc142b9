"""The works that are compared: what each of them does, on what data, and what it is to reach.

    sft, dpo, reward    updates on given rows: rows per second
    grpo                updates on sampled answers, sampling included: answers per second
    sample-groups       4 prompts x 8 answers x 64 tokens: answers per second
    sample-prompts      32 different prompts x 64 tokens: answers per second
    resume              from the command to the first update of a run that was killed: seconds
    load                from the command to the first update of a new run: seconds

Imports nothing but the standard library: both sides read it, and the peer's environment has no Burnish.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["update", "sample", "command"]


@dataclass(frozen=True, kw_only=True)
class Work:
    """One work.

    Attributes:
        name: as in the record.
        kind: what is timed: updates, calls of the sampler, or a command.
        data: file under the data folder.
        rows: examples of the workload, taken from the beginning of the file.
        max_tokens: longest prompt with one answer.
        batch: examples per update, or answers to one prompt.
        updates: timed updates.
        length: tokens of a sampled answer.
        agree: rows on which both sides are compared in float32.
        ratio, memory: the targets, how many times as fast and what share of the memory; None where there is none.
    """

    name: str
    kind: Kind
    data: str
    rows: int
    max_tokens: int = 1024
    batch: int
    updates: int = 0
    length: int = 0
    agree: int
    ratio: float | None = None
    memory: float | None = None


ALPACA, PAIRS, GSM8K = "sft/alpaca_en_1k.json", "preference/dpo_en_300.json", "math/gsm8k_train.jsonl"

_ALL = (
    Work(
        name="sft",
        kind="update",
        data=ALPACA,
        rows=64,
        max_tokens=512,
        batch=8,
        updates=8,
        agree=4,
        ratio=3.5,
        memory=0.4,
    ),
    Work(name="dpo", kind="update", data=PAIRS, rows=16, batch=8, updates=2, agree=2, ratio=4.0, memory=0.25),
    Work(name="reward", kind="update", data=PAIRS, rows=16, batch=8, updates=2, agree=2, ratio=2.2, memory=0.3),
    Work(name="grpo", kind="update", data=GSM8K, rows=1, batch=8, updates=3, length=96, agree=1, ratio=3.3, memory=0.6),
    Work(name="sample-groups", kind="sample", data=GSM8K, rows=4, batch=8, length=64, agree=4, ratio=2.5),
    Work(name="sample-prompts", kind="sample", data=GSM8K, rows=32, batch=1, length=64, agree=32, ratio=1.5),
    Work(name="resume", kind="command", data=ALPACA, rows=16, max_tokens=512, batch=2, updates=6, agree=0),
    Work(name="load", kind="command", data=ALPACA, rows=40, max_tokens=512, batch=8, updates=5, agree=0),
)

WORKS = {work.name: work for work in _ALL}

VERBS = {
    name: (name,) if name != "sample" else ("sample-groups", "sample-prompts")
    for name in ("sft", "dpo", "reward", "grpo", "sample", "resume", "load")
}
"""What can be typed, and the works that it means."""
