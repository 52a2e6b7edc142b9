"""The recipe of instruction tuning, in its quick form on a tiny model: what each stage makes of what came before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from burnish.config import load_yaml
from burnish.evals.tasks import figure_name
from burnish.example import read_jsonl
from burnish.stages.graph import run_recipe
from burnish.stages.recipe import read_recipe
from burnish.synth.word_tasks import WORD_TASKS
from tests.stages.tiny_chat import write_model

RECIPE = Path(__file__).parents[2] / "recipes" / "instruction-tuning.yaml"
MIX = load_yaml(RECIPE)["stages"]["mix"]
SHOTS = (0, *MIX["shots"])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of the stages by name; "out" is what is published."""
    place = tmp_path_factory.mktemp("recipe")
    changes = {
        "stages": {"start": {"model": str(write_model(place / "model", context=2048))}},
        "out": str(place / "out"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_STORE", str(place / "store"))
        recipe = read_recipe(RECIPE, [changes], quick=True)
        run_recipe(recipe, say=lambda line: None)
    return {"out": recipe.out, **{step.name: step.folder for step in recipe.steps}}


def test_every_task_is_given_and_those_held_out_are_not_trained_on(made: dict[str, Path]):
    assert set(MIX["data"]) == set(WORD_TASKS)
    trained = {one.columns["task"] for one in read_jsonl(made["mix"] / "examples.jsonl")}
    assert trained == set(WORD_TASKS) - set(MIX["held_out"])


@pytest.mark.parametrize("name", ["tuned", "responses"])
def test_held_out_tasks_are_scored_for_every_number_of_shots(name: str, made: dict[str, Path]):
    last = json.loads((made[name] / "metrics.jsonl").read_text().splitlines()[-1])
    before = json.loads((made[name] / "run.json").read_text())["before"]
    for task in (None, *MIX["held_out"]):
        for shots in SHOTS:
            assert figure_name(task, shots) in before.keys() & last.keys()
    assert "held_out_loss" in last
    assert len(list((made[name] / "looks").iterdir())) == 2


def test_the_report_draws_both_runs(made: dict[str, Path]):
    page = (made["out"] / "report.html").read_text(encoding="utf-8")
    for task in MIX["held_out"]:
        assert page.count(f"Held-out task: {task}</title>") == 2
    assert (made["out"] / "model" / "model.safetensors").is_file()
