"""How much does a language model forget of one domain while it learns another, with elastic weight consolidation and
without?

    python -m studies.forgetting.measure [--domains ../shared/data/domains] [--out runs/study-forgetting] [--quick]

From the root of the repository. A small Llama is trained from nothing on the first domain (web pages), then on the
second (code): without a penalty, with penalties of several strengths, and without one for fewer updates. The last is
the comparison that counts: whoever trains less forgets less, too. Figures are bits per byte on held-out documents of
both domains, means over seeds of the second training. A run that is stopped goes on with what is finished. Writes
`docs/records/forgetting.json` (in a quick form `record.json` in its folder) and prints the table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from burnish.stages.fisher import FisherStage
from burnish.stages.new_model import NewModelStage
from burnish.stages.pretrain import PretrainStage
from burnish.stages.tokenizer import TokenizerStage
from studies.domains import bits_per_byte, made, split


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large the study is."""

    first: str = "c4"
    second: str = "github"
    vocabulary: int = 4096
    depth: int = 3
    max_tokens: int = 256
    batch_size: int = 16
    first_steps: int = 400
    second_steps: int = 80
    fewer_steps: tuple[int, ...] = (10, 20, 40)
    strengths: tuple[float, ...] = (10.0, 100.0, 1000.0, 10000.0)
    fisher_examples: int = 256
    seeds: int = 2
    held_out: int = 40


QUICK = Size(
    vocabulary=300,
    depth=1,
    max_tokens=32,
    batch_size=4,
    first_steps=6,
    second_steps=4,
    fewer_steps=(2,),
    strengths=(1e6,),
    fisher_examples=4,
    seeds=1,
    held_out=2,
)


@dataclass(frozen=True)
class Arm:
    """One way of the second training: without a penalty where the strength is None."""

    strength: float | None
    steps: int

    @property
    def name(self) -> str:
        """As it stands in the table."""
        held = "none" if self.strength is None else f"{self.strength:g}"
        return f"{held}, {self.steps} updates"


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description="forgetting with and without elastic weight consolidation")
    parser.add_argument("--domains", type=Path, default=Path("../shared/data/domains"))
    parser.add_argument("--out", type=Path, default=Path("runs/study-forgetting"))
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    record = measured(asked.domains, asked.out, QUICK if asked.quick else Size())
    path = asked.out / "record.json" if asked.quick else Path("docs/records/forgetting.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(table(record))


def measured(domains: Path, out: Path, size: Size) -> dict[str, Any]:
    """The record, as plain data."""
    held_out = {name: split(domains / f"{name}.jsonl", out / name, size.held_out) for name in (size.first, size.second)}
    texts = {name: str(out / name / "train.jsonl") for name in held_out}
    tokenizer = made(
        TokenizerStage,
        out / "tokenizer",
        {"data": texts, "algorithm": {"vocabulary": size.vocabulary}, "held_out_every": 20},
    )
    new = made(NewModelStage, out / "new", {"tokenizer": str(tokenizer), "depth": size.depth})
    start = made(PretrainStage, out / "start", _training(new, texts[size.first], size.first_steps, 0, size))
    fisher = made(
        FisherStage,
        out / "fisher",
        {
            "model": str(start),
            "data": texts[size.first],
            "examples": size.fisher_examples,
            "text": {"max_tokens": size.max_tokens, "longer": "windows"},
        },
    )
    rows = []
    for arm in arms(size):
        found = []
        for seed in range(size.seeds):
            given = _training(start, texts[size.second], arm.steps, seed, size)
            if arm.strength is not None:
                given["ewc"] = {"fisher": str(fisher), "strength": arm.strength}
            folder = out / f"{arm.name.replace(', ', '-').replace(' ', '-')}-{seed}"
            found.append(bits_per_byte(made(PretrainStage, folder, given), held_out))
        rows.append({"arm": arm.name, **asdict(arm), "runs": found})
    return {"size": asdict(size), "start": bits_per_byte(start, held_out), "rows": rows}


def arms(size: Size) -> list[Arm]:
    """Every way of the second training, the plain one first."""
    plain = [Arm(None, steps) for steps in (size.second_steps, *sorted(size.fewer_steps, reverse=True))]
    return [*plain, *(Arm(strength, size.second_steps) for strength in size.strengths)]


def _training(model: Path, data: str, steps: int, seed: int, size: Size) -> dict[str, Any]:
    return {
        "model": str(model),
        "data": data,
        "steps": steps,
        "seed": seed,
        "text": {"max_tokens": size.max_tokens, "longer": "windows"},
        "train": {
            "batch_size": size.batch_size,
            "checkpoint_every": 0,
            "optimizer": {"learning_rate": 1e-3, "beta2": 0.95},
        },
    }


def table(record: Mapping[str, Any]) -> str:
    """The record as Markdown: what was forgotten of the first domain, and what was learned of the second."""
    first, second = record["size"]["first"], record["size"]["second"]
    start = record["start"]
    lines = [
        f"| penalty | {first}, bits per byte | forgotten | {second}, bits per byte | learned |",
        "|---|---|---|---|---|",
    ]
    lines.append(f"| before | {start[first]:.3f} | | {start[second]:.3f} | |")
    for row in record["rows"]:
        means = {name: statistics.fmean(run[name] for run in row["runs"]) for name in (first, second)}
        forgotten, learned = means[first] - start[first], start[second] - means[second]
        lines.append(f"| {row['arm']} | {means[first]:.3f} | {forgotten:+.3f} | {means[second]:.3f} | {learned:+.3f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
