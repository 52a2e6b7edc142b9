"""Recipes: checked before any work, cached by content, killed and gone on, published."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from burnish.errors import Busy, ConfigError, DataError, StoreError
from burnish.stages.graph import check_plans, run_recipe, state_of
from burnish.stages.recipe import Recipe, read_recipe
from burnish.store import explain, garbage, locked, read_record

COUNTING = Path(__file__).with_name("counting.py").resolve()

TEXT = f"""
name: demo
seed: 5
stages:
  joined: {{use: "{COUNTING}:JoinStage", parts: {{one: "@one", file: "@two/numbers.txt"}}, note: end}}
  one: {{use: "{COUNTING}:CountStage", steps: 2}}
  two: {{use: "{COUNTING}:CountStage", seed: 1, data: "@one/numbers.txt"}}
publish:
  model: "@joined/model"
  first.txt: "@one/numbers.txt"
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BURNISH_STORE", raising=False)

    def written(text: str) -> Path:
        path = tmp_path / "demo.yaml"
        path.write_text(text)
        return path

    return written


def states(recipe: Recipe) -> dict[str, str]:
    return {step.name: state_of(step) for step in recipe.steps}


def quietly(line: str) -> None:
    """Say nothing."""


def mistakes_of(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read_recipe(path)
    return caught.value.mistakes


def test_a_recipe_runs_in_the_order_of_its_references_and_publishes(write: Write):
    recipe = read_recipe(write(TEXT))
    assert [step.name for step in recipe.steps] == ["one", "two", "joined"]
    out = run_recipe(recipe, say=quietly)
    assert out == Path("runs/demo")
    assert (out / "model" / "joined.txt").read_text() == "6\n7\n5\n6\n7\nend"
    first = out / "first.txt"
    assert first.samefile(recipe.steps[0].folder / "numbers.txt")
    record = read_record(out)
    assert record is not None
    assert (record["state"], record["recipe"], record["published"]) == ("finished", "demo", ["model", "first.txt"])
    assert list(record["stages"]) == ["one", "two", "joined"]
    assert record["stages"]["joined"]["needs"] == ["one", "two"]
    assert record["stages"]["one"]["key"] == recipe.steps[0].identity.key
    assert record["seconds"] == pytest.approx(sum(item["seconds"] for item in record["stages"].values()), abs=1e-3)
    assert record["peak_memory_bytes"] > 1_000_000
    assert list(Path().glob("**/.*.lock")) == []


def test_the_seed_of_the_recipe_is_a_default(write: Write):
    steps = {step.name: step for step in read_recipe(write(TEXT)).steps}
    assert steps["one"].identity.settings["seed"] == 5
    assert steps["two"].identity.settings["seed"] == 1
    assert "seed" not in steps["joined"].identity.settings


def test_what_exists_is_not_run_again(write: Write):
    recipe = read_recipe(write(TEXT))
    run_recipe(recipe, say=quietly)
    said: list[str] = []
    run_recipe(read_recipe(write(TEXT)), say=said.append)
    assert said[:3] == [f"{step.name}: done before ({step.folder})" for step in recipe.steps]


def test_a_change_runs_again_what_depends_on_it_and_nothing_else(write: Write):
    run_recipe(read_recipe(write(TEXT)), say=quietly)
    changed = read_recipe(write(TEXT), [{"stages": {"two": {"steps": 4}}}])
    assert states(changed) == {"one": "cached", "two": "new", "joined": "new"}
    run_recipe(changed, say=quietly)
    assert Path("runs/demo/model/joined.txt").read_text() == "6\n7\n5\n6\n7\n8\nend"
    assert states(read_recipe(write(TEXT.replace("note: end", "note: over")))) == {
        "one": "cached",
        "two": "cached",
        "joined": "new",
    }


def test_keys_are_known_before_the_work_and_equal_those_after_it(write: Write):
    before = [step.identity for step in read_recipe(write(TEXT)).steps]
    run_recipe(read_recipe(write(TEXT)), say=quietly)
    after = [read_record(step.folder) for step in read_recipe(write(TEXT)).steps]
    assert [what.key for what in before] == [record["key"] for record in after if record is not None]
    from burnish.stages.run import stage_identity

    for step in read_recipe(write(TEXT)).steps:  # the artefact on disk is recognised as what it was planned to be
        assert stage_identity(step.stage).key == step.identity.key


def test_the_content_of_an_outside_file_is_part_of_the_key(write: Write, tmp_path: Path):
    (tmp_path / "data.txt").write_text("1234")
    text = TEXT.replace("steps: 2", "steps: 2, data: data.txt")
    one = read_recipe(write(text)).steps[0].identity.key
    (tmp_path / "data.txt").write_text("12345")
    assert read_recipe(write(text)).steps[0].identity.key != one


def test_every_mistake_of_every_stage_is_listed_before_any_work(write: Write):
    path = write(f"""
name: demo
stages:
  one: {{use: "{COUNTING}:CountStage", stpes: 2, pace: {{pause: {{kind: odd}}}}}}
  two: {{use: cuont, data: "@one"}}
  three: {{use: sfft}}
  four: {{data: "@five"}}
  five: {{use: "{COUNTING}:CountStage", data: "@onee/x", label: "@one"}}
  six: {{use: "{COUNTING}:CountStage", data: "@six"}}
publish: {{"../x": "@one/x", y: "one", z: "@seven"}}
""")
    found = mistakes_of(path)
    expected = [
        "stages.one: unknown setting 'stpes' (value 2); did you mean 'steps'?",
        "stages.one: 'pace.pause.kind' is 'odd'; expected one of even, growing",
        "stages.two: there is no stage 'cuont'; known here: ",
        "stages.three: there is no stage 'sfft'; did you mean 'sft'?",
        "stages.four: 'use' is required: the verb of the stage",
        "stages.five: '@onee/x' refers to no stage; did you mean 'one'?",
        "stages.five: '@one' stands in a setting that names no input",
        "stages.six: '@six' refers to the stage itself",
        "publish: '../x' is no name of a file within `out`, or is taken",
        "publish.y: found 'one'; expected @STAGE/FILE",
        "publish.z: '@seven' refers to no stage; known here: one, two, three, four, five, six",
    ]
    assert len(found) == len(expected)
    for mistake in expected:
        assert any(line.startswith(mistake) for line in found), (mistake, found)
    assert not Path("runs").exists()


def test_a_cycle_is_drawn(write: Write):
    text = TEXT.replace("steps: 2}", 'steps: 2, data: "@two"}')
    assert mistakes_of(write(text)) == ("the stages need each other: one -> two -> one",)


def test_every_missing_input_is_listed_with_its_stage(write: Write):
    text = TEXT.replace("steps: 2}", "steps: 2, data: no.txt, more: [also.txt]}")
    found = mistakes_of(write(text))
    assert [mistake.partition(" (")[0] for mistake in found] == [
        "stages.one: 'data': no such file or folder: no.txt",
        "stages.one: 'more[0]': no such file or folder: also.txt",
    ]


def test_unknown_names_of_the_recipe_itself(write: Write):
    assert mistakes_of(write(TEXT + "\nstorre: x\n")) == (
        "demo.yaml: unknown setting 'storre' (value 'x'); did you mean 'store'?",
    )
    assert mistakes_of(write("name: demo\n")) == (
        "demo.yaml: 'stages' is required: name -> `use: VERB` and its settings",
    )


def test_a_plan_that_fails_stops_the_recipe_before_any_work(write: Write):
    last = f'last: {{use: "{COUNTING}:CountStage", label: impossible}}'
    text = TEXT.replace("note: end}", f"note: end}}\n  {last}")
    with pytest.raises(DataError, match="label is impossible"):
        run_recipe(read_recipe(write(text)), say=quietly)
    assert not Path("runs/store").exists()


def test_only_stages_whose_inputs_exist_are_planned(write: Write):
    recipe = read_recipe(write(TEXT))
    assert check_plans(recipe.steps) == {"one": ("2 numbers",)}
    run_recipe(recipe, until="one", say=quietly)
    assert check_plans(recipe.steps) == {"two": ("3 numbers",)}


def test_until_runs_what_is_needed_and_publishes_what_is_there(write: Write):
    recipe = read_recipe(write(TEXT))
    run_recipe(recipe, until="two", say=quietly)
    assert states(recipe) == {"one": "cached", "two": "cached", "joined": "new"}
    assert Path("runs/demo/first.txt").exists()
    assert not Path("runs/demo/model").exists()
    with pytest.raises(ConfigError, match="it has: one, two, joined"):
        run_recipe(recipe, until="tow", say=quietly)


def test_a_killed_recipe_goes_on_and_ends_with_the_same_bytes(write: Write):
    text = TEXT.replace("seed: 1,", "seed: 1, kill_at: 3,")
    path = write(text)
    command = [sys.executable, "-m", "burnish", "run", str(path)]
    killed = subprocess.run(command, capture_output=True, text=True, env=with_path())
    assert killed.returncode == -signal.SIGKILL
    assert states(read_recipe(path)) == {"one": "cached", "two": "unfinished", "joined": "new"}
    again = subprocess.run(command, capture_output=True, text=True, env=with_path())
    assert again.returncode == 0, again.stderr
    assert "two: goes on" in again.stdout
    assert Path("runs/demo/model/joined.txt").read_text() == "6\n7\n5\n6\n7\nend"


def with_path() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(COUNTING.parents[2])}


def test_two_runs_of_one_recipe_exclude_each_other(write: Write):
    recipe = read_recipe(write(TEXT))
    with locked(recipe.out), pytest.raises(Busy):
        run_recipe(recipe, say=quietly)


def test_a_folder_of_something_else_is_refused(write: Write):
    recipe = read_recipe(write(TEXT))
    recipe.out.mkdir(parents=True)
    (recipe.out / "letter.txt").write_text("dear")
    with pytest.raises(StoreError, match="type --set out=FOLDER"):
        run_recipe(recipe, say=quietly)
    (recipe.out / "letter.txt").unlink()
    run_recipe(recipe, say=quietly)
    other = read_recipe(write(TEXT.replace("name: demo", "name: other\nout: runs/demo")))
    with pytest.raises(StoreError, match="holds another run"):
        run_recipe(other, say=quietly)


def test_publishing_something_that_was_not_made_names_what_was(write: Write):
    recipe = read_recipe(write(TEXT.replace("@joined/model", "@joined/modle")))
    with pytest.raises(StoreError, match=r"'joined' made no 'modle'; it made: model, run\.json"):
        run_recipe(recipe, say=quietly)


def test_the_store_is_shared_and_can_be_moved_by_a_variable(write: Write, monkeypatch: pytest.MonkeyPatch):
    run_recipe(read_recipe(write(TEXT)), say=quietly)
    second = read_recipe(write(TEXT.replace("name: demo", "name: second")))
    assert set(states(second).values()) == {"cached"}
    monkeypatch.setenv("BURNISH_STORE", "elsewhere")
    assert set(states(read_recipe(write(TEXT))).values()) == {"new"}


def test_gc_and_explain_speak_of_recipes(write: Write):
    recipe = read_recipe(write(TEXT))
    run_recipe(recipe, say=quietly)
    changed = read_recipe(write(TEXT), [{"stages": {"two": {"steps": 4}}}])
    run_recipe(changed, say=quietly)
    gone = garbage(recipe.store, {step.folder.name for step in changed.steps})
    assert {item.folder for item in gone} == {step.folder for step in recipe.steps[1:]}
    assert explain(recipe.out)[0] == f"one: count {recipe.steps[0].identity.key} ({recipe.steps[0].folder})"
    lines = explain(recipe.steps[1].folder, changed.steps[1].folder)
    assert lines[1:] == ["setting steps: 3 | 4"]
    why = explain(recipe.steps[2].folder, changed.steps[2].folder)[1:]
    assert len(why) == 1
    assert why[0].startswith("input parts.file: artefact:")
