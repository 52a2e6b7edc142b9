"""The quick form of a recipe: smaller numbers, stages left out with what needs them, a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from burnish.cli import main
from burnish.errors import ConfigError
from burnish.stages.graph import run_recipe, state_of
from burnish.stages.recipe import Recipe, read_recipe

COUNTING = Path(__file__).with_name("counting.py").resolve()

TEXT = f"""
name: demo
stages:
  one: {{use: "{COUNTING}:CountStage", steps: 3}}
  two: {{use: "{COUNTING}:CountStage", steps: 9, data: "@one/numbers.txt", pace: {{every: 2}}}}
  three: {{use: "{COUNTING}:CountStage", data: "@one/numbers.txt", seed: 3}}
  four: {{use: "{COUNTING}:CountStage", data: "@three/numbers.txt"}}
  joined:
    use: "{COUNTING}:JoinStage"
    parts: {{one: "@one", two: "@two", three: "@three", four: "@four"}}
publish:
  model: "@joined/model"
  four.txt: "@four/numbers.txt"
quick:
  two.steps: 1
  two.pace.every: 5
  three: null
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BURNISH_STORE", raising=False)
    (tmp_path / "demo.yaml").write_text(TEXT)
    return Path("demo.yaml")


def settings_of(recipe: Recipe) -> dict[str, dict]:
    return {step.name: dict(step.identity.settings) for step in recipe.steps}


def mistakes_of(path: Path, old: str, new: str, *, quick: bool) -> tuple[str, ...]:
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        read_recipe(path, quick=quick)
    return caught.value.mistakes


def test_the_quick_form_has_its_numbers_and_not_what_it_leaves_out(path: Path):
    recipe = read_recipe(path, quick=True)
    found = settings_of(recipe)
    assert list(found) == ["one", "two", "joined"]  # four needs three, and goes with it
    assert (found["two"]["steps"], found["two"]["pace"]["every"]) == (1, 5)
    assert set(found["joined"]["parts"]) == {"one", "two"}
    assert set(recipe.publish) == {"model"}
    assert (recipe.name, recipe.out) == ("demo-quick", Path("runs/demo-quick"))


def test_without_the_word_nothing_of_it_holds(path: Path):
    recipe = read_recipe(path)
    found = settings_of(recipe)
    assert list(found) == ["one", "two", "three", "four", "joined"]
    assert (found["two"]["steps"], found["two"]["pace"]["every"]) == (9, 2)
    assert (recipe.name, recipe.out) == ("demo", Path("runs/demo"))


def test_both_forms_publish_into_folders_of_their_own_and_share_what_they_have_in_common(path: Path):
    run_recipe(read_recipe(path, quick=True), say=lambda line: None)
    assert (Path("runs/demo-quick/model/joined.txt")).is_file()
    whole = read_recipe(path)
    assert {step.name for step in whole.steps if state_of(step) == "cached"} == {"one"}
    run_recipe(whole, say=lambda line: None)
    assert Path("runs/demo/four.txt").is_file()
    assert not Path("runs/demo-quick/four.txt").exists()


def test_a_folder_that_the_recipe_names_gets_the_ending_too(path: Path):
    path.write_text(TEXT + "out: results/mine\n")
    assert read_recipe(path, quick=True).out == Path("results/mine-quick")


def test_changes_from_the_command_line_are_laid_over_the_quick_form(path: Path):
    recipe = read_recipe(path, [{"stages": {"two": {"steps": 4}}}], quick=True)
    assert settings_of(recipe)["two"]["steps"] == 4


def test_a_recipe_without_the_section_says_so(path: Path):
    (mistake,) = mistakes_of(path, TEXT[TEXT.index("quick:") :], "", quick=True)
    assert mistake.startswith("demo.yaml has no quick form; leave --quick out, or add a section")


@pytest.mark.parametrize("quick", [True, False])
def test_the_section_is_checked_whether_it_is_used_or_not(path: Path, quick: bool):
    found = mistakes_of(path, "  three: null\n", "  thre.steps: 1\n  four: 5\n", quick=quick)
    assert found == (
        "quick.thre.steps: the recipe has no stage 'thre'; did you mean 'three'?",
        "quick.four: found 5; 'four.SETTING: VALUE' changes a setting, 'four: null' leaves the stage out",
    )


def test_a_setting_that_does_not_exist_is_found_when_the_form_is_read(path: Path):
    (mistake,) = mistakes_of(path, "two.steps: 1", "two.stpes: 1", quick=True)
    assert mistake == "stages.two: unknown setting 'stpes' (value 1); did you mean 'steps'?"


def test_the_command_line_runs_it_and_gc_keeps_what_it_made(path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["run", "demo.yaml", "--quick"]) == 0
    assert "finished: runs/demo-quick" in capsys.readouterr().out
    assert main(["gc", "demo.yaml"]) == 0
    assert "0 folders" in capsys.readouterr().out
    path.write_text(TEXT[: TEXT.index("quick:")])
    assert main(["gc", "demo.yaml"]) == 0
    assert "2 folders" in capsys.readouterr().out
    assert main(["run", "demo.yaml", "--quick"]) == 2
    assert "no quick form" in capsys.readouterr().err
