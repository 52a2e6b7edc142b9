"""Does Muon learn more from the same tokens than AdamW? Held-out bits per byte of small Llamas, each at its best rate.

    python -m studies.muon.measure [--steps 100] [--out runs/study-muon]

From the root of the repository. The text is Python's own documentation. Both optimisers start from the same weights and
see the same tokens in the same order, at every rate of `RATES`; Muon's matrices move at the rate of AdamW's with the
scale that matches its updates. The best rate of each is then repeated with other seeds, of weights and order together.
A run that is stopped goes on where it was. Writes `record.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnish.store.record import read_record

RATES = (1e-3, 3e-3, 1e-2)
SEEDS = (0, 1, 2)
METHODS: Mapping[str, Mapping[str, object]] = {"adamw": {}, "muon": {"train.muon.momentum": 0.95}}
TRAIN: Mapping[str, object] = {
    "held_out": 40,
    "text.max_tokens": 256,
    "train.batch_size": 16,
    "train.optimizer.beta2": 0.95,
    "train.optimizer.weight_decay": 0.1,
    "train.schedule.kind": "cosine",
    "train.schedule.warmup": 10,
    "train.checkpoint_every": 50,
}


def main() -> None:
    """Every rate with the first seed, then the best rates with the others."""
    parser = argparse.ArgumentParser(description="Muon against AdamW at equal tokens")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES))
    parser.add_argument("--out", type=Path, default=Path("runs/study-muon"))
    asked = parser.parse_args()
    text = asked.out / "docs"
    _burnish("python-docs", text, {})
    data = text / "documents.jsonl"
    tokenizer = asked.out / "tokenizer"
    _burnish("tokenizer", tokenizer, {"data": f"docs={data}", "algorithm.vocabulary": asked.vocabulary})
    found: dict[str, dict[str, Any]] = {}
    for method in METHODS:
        swept = {rate: _measured(asked, method, rate, asked.seeds[0], data, tokenizer) for rate in asked.rates}
        best = min(swept, key=lambda rate: swept[rate]["bits_per_byte"])
        seeds = [swept[best], *(_measured(asked, method, best, s, data, tokenizer) for s in asked.seeds[1:])]
        found[method] = {"rates": {f"{rate:g}": one for rate, one in swept.items()}, "best_rate": best, "seeds": seeds}
    record = {"steps": asked.steps, "depth": asked.depth, "settings": dict(TRAIN), "methods": found}
    (asked.out / "record.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(table(record))


def _measured(
    asked: argparse.Namespace, method: str, rate: float, seed: int, data: Path, tokenizer: Path
) -> dict[str, float]:
    """The last look at the held-out text of one run, and what it saw."""
    model = asked.out / f"new-{seed}"
    _burnish("new-model", model, {"tokenizer": tokenizer, "depth": asked.depth, "seed": seed})
    out = asked.out / f"{method}-{rate:g}-{seed}"
    options = {
        "model": model,
        "data": data,
        "reading.limit": asked.documents,
        "steps": asked.steps,
        "seed": seed,
        "train.evaluate_every": asked.steps,
        "train.optimizer.learning_rate": rate,
        **TRAIN,
        **METHODS[method],
    }
    seconds = _burnish("pretrain", out, options).get("seconds", 0.0)
    last = json.loads((out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    return {
        "bits_per_byte": last["held_out_bits_per_byte"],
        "loss": last["held_out_loss"],
        "tokens": last["tokens_seen"],
        "seconds": float(seconds),
    }


def _burnish(verb: str, out: Path, options: Mapping[str, object]) -> dict[str, Any]:
    """The record of a run, which is made if it is not there."""
    if (read_record(out) or {}).get("state") != "finished":
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        subprocess.run(
            [sys.executable, "-m", "burnish", verb, "--out", str(out), *words], check=True, stdout=sys.stderr
        )
    return read_record(out) or {}


def table(record: Mapping[str, Any]) -> str:
    """The record as Markdown."""
    rates = list(next(iter(record["methods"].values()))["rates"])
    head = [f"bits per byte at {rate}" for rate in rates]
    lines = [f"| optimiser | {' | '.join(head)} | best rate, mean of seeds | spread |", "|---" * (len(rates) + 3) + "|"]
    for method, found in record["methods"].items():
        bits = [one["bits_per_byte"] for one in found["seeds"]]
        swept = " | ".join(f"{one['bits_per_byte']:.3f}" for one in found["rates"].values())
        lines.append(f"| {method} | {swept} | {statistics.mean(bits):.3f} | {max(bits) - min(bits):.3f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
