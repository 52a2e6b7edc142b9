"""The recipes that train a model on its own graded answers: their graph, their dry run, and their quick form run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.config import load_yaml
from burnish.example import read_jsonl
from burnish.stages.graph import run_recipe
from burnish.stages.quick import quick_mistakes, quick_stages
from burnish.stages.recipe import Recipe, read_recipe
from tests.stages.tiny_chat import write_model

RECIPES = Path(__file__).parents[2] / "recipes"
NAMES = ("rejection-sampling", "iterative-dpo", "spin")
HELP = Path(__file__).with_name("random_answers.py").resolve()


def stages_of(name: str) -> dict[str, dict[str, Any]]:
    return load_yaml(RECIPES / f"{name}.yaml")["stages"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random chat model with room for the prompts, whose tokens are little more than bytes."""
    return write_model(tmp_path_factory.mktemp("tiny") / "model", context=2048)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def place(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory; the store is that of all tests here, which share the stages before the rounds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BURNISH_STORE", str(store))
    return tmp_path


def finished(name: str, tiny: Path) -> tuple[Recipe, dict[str, Path]]:
    """The quick form, run on the tiny model with answers of few tokens; the folders of its stages by name."""
    short, pleased = {"sampling": {"decoding": {"max_tokens": 6}}}, {"grader": f"{HELP}:even"}
    by_verb = {"sample": short, "grade": pleased, "evaluate": {**short, **pleased}}
    start = {"stages": {"start": {"model": str(tiny)}}}  # the demo's model need not be installed
    steps = read_recipe(RECIPES / f"{name}.yaml", [start], quick=True).steps
    changes: dict[str, Any] = {step.name: by_verb[step.stage.verb] for step in steps if step.stage.verb in by_verb}
    changes |= {"start": {"model": str(tiny)}, "own_answers": {"use": f"{HELP}:WrittenAnswers"}}
    recipe = read_recipe(RECIPES / f"{name}.yaml", [{"stages": changes}], quick=True)
    run_recipe(recipe, say=lambda line: None)
    return recipe, {step.name: step.folder for step in recipe.steps}


def scores_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "scores.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_starts_as_the_demo_does_so_that_the_store_shares_stages(name: str):
    demo, stages = load_yaml(RECIPES / "demo.yaml"), stages_of(name)
    shared = [one for one in stages if one in demo["stages"] and one != "report"]
    assert {"start", "test_prompts", "own_answers", "demonstrations", "sft", "sft_scores"} <= set(shared)
    assert {one: stages[one] for one in shared} == {one: demo["stages"][one] for one in shared}
    assert load_yaml(RECIPES / f"{name}.yaml")["seed"] == demo["seed"]


@pytest.mark.parametrize("name", NAMES)
def test_the_quick_section_is_right_and_measures_every_model_alike(name: str):
    recipe = load_yaml(RECIPES / f"{name}.yaml")
    assert quick_mistakes(recipe["stages"], recipe["quick"]) == []
    for stages in (recipe["stages"], quick_stages(recipe["stages"], recipe["quick"])):
        measured = [{**values, "model": ""} for values in stages.values() if values["use"] == "evaluate"]
        assert measured == [measured[0]] * len(stages["report"]["runs"])
        assert set(stages["report"]["runs"].values()) == {
            f"@{one}" for one, values in stages.items() if values["use"] == "evaluate"
        }


def test_the_selected_and_the_control_differ_in_their_data_alone():
    stages = stages_of("rejection-sampling")
    assert {**stages["selected"], "data": ""} == {**stages["unselected"], "data": ""}
    assert stages["first_answers"] | {"sampling": ""} == stages["answers"] | {"sampling": ""}
    assert {**stages["first_answers"]["sampling"], "num_samples": 8} == stages["answers"]["sampling"]


def test_every_round_of_dpo_follows_from_the_one_before():
    stages = stages_of("iterative-dpo")
    answers, graded, pairs = (
        ["sft_answers", "answers_2", "answers_3"],
        ["graded", "graded_2", "graded_3"],
        ["pairs", "pairs_2", "pairs_3"],
    )
    seeds = {stages[stages[one]["data"].removeprefix("@")]["seed"] for one in answers}
    assert len(seeds) == 3  # fresh prompts
    assert stages["test_prompts"]["train"] == 0
    for number, model in enumerate(("sft", "dpo_1", "dpo_2"), 1):
        assert stages[answers[number - 1]]["model"] == f"@{model}"
        assert stages[graded[number - 1]]["data"] == f"@{answers[number - 1]}"
        assert stages[pairs[number - 1]]["data"] == f"@{graded[number - 1]}"
        assert stages[f"best_{number}"]["data"] == ["@demonstrations", *(f"@{one}" for one in graded[:number])]
        assert (stages[f"sft_{number}"]["model"], stages[f"sft_{number}"]["data"]) == ("@start", f"@best_{number}")
        assert stages[f"dpo_{number}"]["model"] == f"@sft_{number}"
        assert stages[f"dpo_{number}"]["data"] == f"@{pairs[number - 1]}"
        assert stages[f"scores_{number}"]["model"] == f"@dpo_{number}"
        alike = ("adapter", "train", "held_out")
        assert [stages[f"sft_{number}"][one] for one in alike] == [stages["sft"][one] for one in alike]
        assert stages[f"dpo_{number}"]["train"] == load_yaml(RECIPES / "demo.yaml")["stages"]["dpo"]["train"]


def test_every_round_of_self_play_starts_and_measures_from_the_model_that_answered():
    stages = stages_of("spin")
    for number, model in enumerate(("@sft", "@spin_1", "@spin_2"), 1):
        assert stages[f"answers_{number}"]["model"] == stages[f"spin_{number}"]["model"] == model
        assert stages[f"pairs_{number}"]["data"] == f"@answers_{number}"
        assert stages[f"spin_{number}"]["data"] == f"@pairs_{number}"
        assert "reference" not in stages[f"spin_{number}"]  # the default: where the run starts
    for name in ("steps", "adapter", "train"):
        assert stages["more_sft"][name] == stages["spin_1"][name]


def test_rejection_sampling_runs_and_leaves_a_curve(tiny: Path, place: Path):
    recipe, folders = finished("rejection-sampling", tiny)
    scores = scores_in(recipe.out)
    assert [point["n"] for point in scores["curve"]] == [1, 2, 4]
    rates = [point["score"]["mean"] for point in scores["curve"]]
    assert 0 < rates[0] < rates[1] < rates[2]
    kept = list(read_jsonl(folders["best"] / "examples.jsonl"))
    assert len(kept) == scores["demonstrations"] == 24
    assert sum(e.completions[0].score or 0.0 for e in kept) / 24 == pytest.approx(rates[-1])
    first = {e.id: e.completions[0].token_ids for e in read_jsonl(folders["first_answers"] / "examples.jsonl")}
    assert first == {e.id: e.completions[0].token_ids for e in read_jsonl(folders["answers"] / "examples.jsonl")}
    record = json.loads((folders["best"] / "run.json").read_text())
    assert record["best_of"] == {"n": 4, "kl": pytest.approx(0.6362944), "prompts": 24}
    assert set(json.loads((recipe.out / "metrics.json").read_text())["gains"]) == {
        "unselected-sft",
        "selected-unselected",
        "selected-sft",
    }
    assert (recipe.out / "model" / "model.safetensors").is_file()


def test_three_rounds_of_dpo_run_and_the_report_compares_them(tiny: Path, place: Path):
    recipe, folders = finished("iterative-dpo", tiny)
    versions = [
        {c.policy_version for e in read_jsonl(folders[one] / "examples.jsonl") for c in e.completions}
        for one in ("sft_answers", "answers_2", "answers_3")
    ]
    assert [len(found) for found in versions] == [1, 1, 1]
    assert len(set.union(*versions)) == 3  # every round asks another model
    sizes = [scores_in(folders[f"best_{number}"])["demonstrations"] for number in (1, 2, 3)]
    assert sizes[0] < sizes[1] < sizes[2]
    figures = json.loads((recipe.out / "metrics.json").read_text())
    assert {"sft", "round 1", "round 2", "round 3"} <= figures.keys()
    assert set(figures["gains"]) == {"round 1-sft", "round 2-round 1", "round 3-round 2", "round 3-sft"}
    assert "round 3" in (recipe.out / "report.html").read_text()


def test_self_play_runs_and_its_pairs_are_demonstrations_against_own_answers(tiny: Path, place: Path):
    recipe, folders = finished("spin", tiny)
    shown = {e.prompt: e.completions[0].text for e in read_jsonl(folders["demonstrations"] / "examples.jsonl")}
    for number in (1, 2):
        pairs = list(read_jsonl(folders[f"pairs_{number}"] / "examples.jsonl"))
        own = {e.id: e.completions[0].token_ids for e in read_jsonl(folders[f"answers_{number}"] / "examples.jsonl")}
        assert len(pairs) == len(own) == 16
        for pair in pairs:
            chosen, rejected = pair.completions
            assert (chosen.text, chosen.rank) == (shown[pair.prompt], 0)
            assert (rejected.token_ids, rejected.rank) == (own[pair.id], 1)
    first = json.loads((folders["spin_1"] / "metrics.jsonl").read_text().splitlines()[0])
    assert first["loss"] == pytest.approx(0.693147, abs=1e-4)  # the model that answered is the reference
    assert "spin_3" not in folders
    assert list(json.loads((recipe.out / "metrics.json").read_text()))[:4] == ["sft", "more sft", "spin 1", "spin 2"]
