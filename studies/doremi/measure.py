"""Do the domain weights that DoReMi finds help? Small Llamas on seven domains, equal tokens, by natural, even and found
weights.

    python -m studies.doremi.measure [--domains ../shared/data/domains] [--out runs/study-doremi] [--quick]

From the root of the repository. A reference is trained on the domains in proportion to their sizes; proxies follow its
excess losses, without smoothing, with the paper's and with a strong one. Then models are trained from nothing on as
many tokens of each mixture, several seeds of weights and order each, and measured on held-out documents of every
domain. Reference, proxy and model have one size. What counts is the mean over domains and the worst of them, against
natural weights of the same seed. Small domains are gone through several times: the record says how often. A run that is
stopped goes on with what is finished. Writes `docs/records/doremi.json` (in a quick form `record.json` in its folder)
and prints the tables.
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

from burnish.data.mixing.mixture import read_mixture
from burnish.data.mixing.reweighting import effective_domains
from burnish.data.mixing.weights import normalised
from burnish.stages.doremi import DoremiStage
from burnish.stages.mix import MixStage
from burnish.stages.new_model import NewModelStage
from burnish.stages.pretrain import PretrainStage
from burnish.stages.tokenise import TokeniseStage
from burnish.stages.tokenizer import TokenizerStage
from studies.domains import bits_per_byte, made, split

NATURAL, EVEN = "natural", "even"
SHOWN = 12
"""Points of a trajectory that the record keeps."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large the study is.

    Attributes:
        smoothings: of the proxies.
        trained: of these, whose mixtures models are trained on.
    """

    vocabulary: int = 2048
    depth: int = 2
    max_tokens: int = 128
    batch_size: int = 16
    steps: int = 300
    learning_rate: float = 4e-3
    smoothings: tuple[float, ...] = (0.0, 1e-3, 0.1)
    trained: tuple[float, ...] = (1e-3, 0.1)
    seeds: int = 3
    held_out: int = 30


QUICK = Size(
    vocabulary=300,
    depth=1,
    max_tokens=32,
    batch_size=4,
    steps=6,
    smoothings=(0.0, 0.1),
    trained=(0.1,),
    seeds=1,
    held_out=2,
)


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description="natural, even and found weights of domains at equal tokens")
    parser.add_argument("--domains", type=Path, default=Path("../shared/data/domains"))
    parser.add_argument("--out", type=Path, default=Path("runs/study-doremi"))
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    record = measured(asked.domains, asked.out, QUICK if asked.quick else Size())
    path = asked.out / "record.json" if asked.quick else Path("docs/records/doremi.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(table(record))


def measured(domains: Path, out: Path, size: Size) -> dict[str, Any]:
    """The record, as plain data."""
    held_out = {path.stem: split(path, out / path.stem, size.held_out) for path in sorted(domains.glob("*.jsonl"))}
    texts = {name: str(out / name / "train.jsonl") for name in held_out}
    algorithm = {"vocabulary": size.vocabulary}
    tokenizer = made(TokenizerStage, out / "tokenizer", {"data": texts, "algorithm": algorithm, "held_out_every": 20})
    start = str(_new(out, tokenizer, 0, size))
    tokens = {
        name: str(made(TokeniseStage, out / f"{name}-tokens", {"model": start, "data": {name: text}}))
        for name, text in texts.items()
    }
    mixtures = {
        NATURAL: made(MixStage, out / "mix-natural", {"data": tokens, "max_epochs": 1000}),
        EVEN: made(
            MixStage, out / "mix-even", {"data": tokens, "max_epochs": 1000, "weights": dict.fromkeys(tokens, 1.0)}
        ),
    }
    reference = made(PretrainStage, out / "reference", _training(out, tokenizer, mixtures[NATURAL], 0, size))
    proxies = {}
    for smoothing in size.smoothings:
        given = _training(out, tokenizer, mixtures[NATURAL], 0, size)
        given |= {"reference": str(reference), "smoothing": smoothing}
        mixtures[arm(smoothing)] = made(DoremiStage, out / f"doremi-{smoothing:g}", given)
        proxies[arm(smoothing)] = _proxy(mixtures[arm(smoothing)])
    rows = []
    for name in (NATURAL, EVEN, *map(arm, size.trained)):
        bits = []
        for seed in range(1, size.seeds + 1):  # another one than the reference and the proxies have
            folder = out / f"{name.replace(' ', '-')}-{seed}"
            given = _training(out, tokenizer, mixtures[name], seed, size)
            bits.append(bits_per_byte(made(PretrainStage, folder, given), held_out))
        rows.append({"arm": name, "runs": bits})
    weights = {name: _weights(mixture) for name, mixture in mixtures.items()}
    found = {"weights": weights, "passes": _passes(mixtures, size), "proxies": proxies}
    return {"size": asdict(size), **found, "rows": rows}


def arm(smoothing: float) -> str:
    """What weights are called that were found with this smoothing."""
    return f"c {smoothing:g}"


def _training(out: Path, tokenizer: Path, data: Path, seed: int, size: Size) -> dict[str, Any]:
    """Settings of a run from new weights of that seed."""
    return {
        "model": str(_new(out, tokenizer, seed, size)),
        "data": str(data),
        "steps": size.steps,
        "seed": seed,
        "text": {"max_tokens": size.max_tokens},
        "train": {
            "batch_size": size.batch_size,
            "checkpoint_every": 0,
            "optimizer": {"learning_rate": size.learning_rate, "beta2": 0.95, "weight_decay": 0.1},
            "schedule": {"kind": "cosine", "warmup": min(20, size.steps // 2)},
        },
    }


def _new(out: Path, tokenizer: Path, seed: int, size: Size) -> Path:
    """New weights, with as many positions as the text that is seen at a time."""
    given = {"tokenizer": str(tokenizer), "depth": size.depth, "sizes": {"context": size.max_tokens}, "seed": seed}
    return made(NewModelStage, out / f"new-{seed}", given)


def _weights(mixture: Path) -> dict[str, float]:
    return normalised({name: part.weight for name, part in read_mixture(mixture).parts.items()})


def _passes(mixtures: Mapping[str, Path], size: Size) -> dict[str, dict[str, float]]:
    """How often a run on each mixture goes through each domain."""
    seen = size.steps * size.batch_size * (size.max_tokens - 1)
    return {
        name: {
            domain: share * seen / read_mixture(mixture).parts[domain].num_tokens
            for domain, share in _weights(mixture).items()
        }
        for name, mixture in mixtures.items()
    }


def _proxy(folder: Path) -> dict[str, Any]:
    """How the weights of a proxy went: at some updates, in the last one, and how many domains they amount to."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    prefix = "domain_weight/"
    weights = [{n.removeprefix(prefix): w for n, w in row.items() if n.startswith(prefix)} for row in rows]
    every = max(1, len(rows) // SHOWN)
    largest = [max(one.values()) for one in weights]
    return {
        "trajectory": [{"step": row["step"], **one} for row, one in zip(rows, weights, strict=True)][::every],
        "last": weights[-1],
        "effective_domains": {
            "of the mean": effective_domains(_weights(folder)),
            "last": effective_domains(weights[-1]),
        },
        "steps_above_0.9": sum(value > 0.9 for value in largest),
    }


def gains(record: Mapping[str, Any], name: str) -> list[float]:
    """By how much a mixture is better than natural weights of the same seed, bits per byte, mean over domains."""
    runs = {row["arm"]: [statistics.fmean(run.values()) for run in row["runs"]] for row in record["rows"]}
    return [natural - own for natural, own in zip(runs[NATURAL], runs[name], strict=True)]


def verdict(record: Mapping[str, Any], name: str) -> str:
    """Whether a mixture is better than natural weights: only if every seed says so."""
    found = gains(record, name)
    if min(found) > 0:
        return "better with every seed"
    return "worse with every seed" if max(found) < 0 else "not told apart by these seeds"


def table(record: Mapping[str, Any]) -> str:
    """The record as Markdown: the weights, then what models learned by them."""
    domains = list(record["weights"][NATURAL])
    head = f"| {' | '.join(domains)} |"
    lines = [f"| weights {head} domains they amount to | updates with 0.9 on one |", "|---" * (len(domains) + 3) + "|"]
    for name, weights in record["weights"].items():
        shares = " | ".join(f"{weights[domain]:.3f}" for domain in domains)
        stuck = record["proxies"][name]["steps_above_0.9"] if name in record["proxies"] else ""
        lines.append(f"| {name} | {shares} | {effective_domains(weights):.1f} | {stuck} |")
    lines += ["", f"| bits per byte by {head} mean | worst | against natural |", "|---" * (len(domains) + 4) + "|"]
    for row in record["rows"]:
        means = [statistics.fmean(run[domain] for run in row["runs"]) for domain in domains]
        said = ""
        if row["arm"] != NATURAL:
            found = gains(record, row["arm"])
            spread = f"{-statistics.fmean(found):+.4f} ({-max(found):+.4f} to {-min(found):+.4f})"
            said = f"{spread}, {verdict(record, row['arm'])}"
        cells = " | ".join(f"{value:.3f}" for value in means)
        lines.append(f"| {row['arm']} | {cells} | {statistics.fmean(means):.3f} | {max(means):.3f} | {said} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
