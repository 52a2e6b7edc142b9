"""An invented comparison of methods: measured runs with a KL, to test the page and to look at it without training.

Nothing here was measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from burnish.evals.divergence import kl_scores
from burnish.evals.scores import format_scores
from burnish.example import Completion, Example, assistant, user, write_jsonl
from burnish.reports.invented import store_folder, write_run, write_training

KINDS = ("bullets", "lower_case", "no_commas")
RUNS: Mapping[str, tuple[float, float]] = {
    "dpo 1e-4": (0.55, 1.1),
    "dpo 4e-4": (0.70, 6.0),
    "dpo+sft 1e-4": (0.56, 0.9),
    "dpo+sft 4e-4": (0.68, 4.1),
    "ipo 1e-4": (0.54, 1.0),
    "ipo 4e-4": (0.69, 4.9),
    "kto 1e-4": (0.52, 0.5),
    "kto 4e-4": (0.62, 2.6),
    "orpo 1e-4": (0.50, 0.3),
    "orpo 4e-4": (0.57, 1.8),
    "simpo 1e-4": (0.57, 2.2),
    "simpo 4e-4": (0.60, 21.0),
    "plackett-luce 1e-4": (0.56, 1.3),
    "plackett-luce 4e-4": (0.69, 7.5),
}
"""Pass rate and KL of each run."""


def write_comparison(store: Path, *, prompts: int = 180) -> dict[str, Path]:
    """The evaluations of a start model, "sft", and of what each of `RUNS` trained from it, by name.

    Args:
        store: folder of the artefacts.
        prompts: that each model answers, the same for all.
    """
    start = write_run(store_folder(store, "sft", 1), "sft")
    found = {"sft": write_measured(store_folder(store, "evaluate", 2), start, start, 0.45, 0.0, prompts=prompts)}
    for number, (name, (rate, kl)) in enumerate(RUNS.items(), start=2):
        verb = name.partition(" ")[0].partition("+")[0]
        trained = write_training(store_folder(store, verb, 2 * number), "dpo", inputs={"model": start}, steps=12)
        folder = store_folder(store, "evaluate", 2 * number + 1)
        found[name] = write_measured(folder, trained, start, rate, kl, prompts=prompts)
    return found


def write_measured(folder: Path, model: Path, reference: Path, rate: float, kl: float, *, prompts: int = 60) -> Path:
    """One evaluation.

    Args:
        folder: where it is written.
        model, reference: folders of the runs that made them.
        rate: about how often an answer passes.
        kl: mean log-ratio of an answer, nats.
        prompts: each with one answer.
    """
    write_run(folder, "evaluate", inputs={"model": model, "reference_model": reference})
    rng = np.random.default_rng(prompts)  # the same prompts are hard for every model
    hard, lengths = rng.random(prompts), rng.integers(15, 50, prompts)
    ratios = kl * rng.gamma(1.5, 1 / 1.5, prompts)
    examples = [_example(number, bool(hard[number] < rate)) for number in range(prompts)]
    write_jsonl(folder / "examples.jsonl", examples)
    names = [example.id for example in examples]
    length = {"mean": float(lengths.mean()), "low": float(lengths.mean()) - 1, "high": float(lengths.mean()) + 1}
    scores = {
        **format_scores(examples),
        "length_tokens": {**length, "count": prompts},
        **kl_scores(list(ratios - 60), [-60.0] * prompts, [int(length) for length in lengths], names),
    }
    (folder / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
    return folder


def _example(number: int, passed: bool) -> Example:
    kind = KINDS[number % len(KINDS)]
    return Example(
        id=f"{kind}-{number}",
        prompt=(user(f"Question {number}, and the rule {kind}"),),
        completions=(Completion(messages=(assistant("An answer."),), score=float(passed)),),
        columns={"kind": kind, "split": "test"},
    )
