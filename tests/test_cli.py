"""The command line: options from settings, precedence, mistakes, help as a snapshot, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from burnish.cli import COMMANDS, main
from burnish.cli.options import change_from
from burnish.cli.stage import parse
from burnish.cli.words import Option
from burnish.errors import ConfigError
from burnish.stages.registry import STAGES
from tests.stages.counting import CountStage, Even, Growing, OwnOptionStage, Pace

HERE = Path(__file__).parent
COUNTING = HERE / "stages" / "counting.py"
STAGE = f"{COUNTING}:CountStage"
SNAPSHOT = HERE / "snapshots" / "help_of_count.txt"


def parsed(*words: str) -> CountStage:
    stage = parse("count", CountStage, ["--out", "x", *words]).stage
    assert isinstance(stage, CountStage)
    return stage


def mistakes_of(*words: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse("count", CountStage, words)
    return caught.value.mistakes


def test_every_setting_is_an_option_read_by_its_type():
    stage = parsed(
        *("--steps", "7", "--label", "12", "--loud", "--pace.every=2", "--fail-at", "-1"),
        *("--pace.pause.kind", "growing", "--pace.pause.factor", "1.5", "--more", "a", "b"),
    )
    pace = Pace(every=2, pause=Growing(factor=1.5))
    assert stage == CountStage(steps=7, label="12", loud=True, pace=pace, fail_at=-1, more=("a", "b"))
    assert parsed("--loud", "true", "--label", "none") == CountStage(loud=True)
    assert parsed("--loud", "false") == CountStage()
    assert parsed("--label=--x", "--more", "[a, b]") == CountStage(label="--x", more=("a", "b"))


def test_the_last_part_of_a_name_is_enough_where_it_is_the_only_one():
    assert parsed("--every", "2", "--factor", "3", "--set", "pace.pause.kind=growing").pace == Pace(
        every=2, pause=Growing(factor=3.0)
    )
    mistakes: list[str] = []
    change_from(Option("x", ("1",)), {"a.x": int, "b.x": int}, "count", mistakes)
    assert mistakes == ["--x may be --a.x or --b.x; type one of them"]
    assert change_from(Option("x", ("1",)), {"a.x": int, "x": int}, "count", mistakes) == [{"x": 1}]


def test_a_mapping_is_opened_by_its_names():
    hints = {"objective": dict[str, Any] | None}
    mistakes: list[str] = []
    changes = change_from(Option("objective.use", ("my_loss.py:MyLoss",)), hints, "sft", mistakes)
    changes += change_from(Option("objective.beta", ("0.5",)), hints, "sft", mistakes)
    assert changes == [{"objective": {"use": "my_loss.py:MyLoss"}}, {"objective": {"beta": 0.5}}]
    assert change_from(Option("objective", ("{use: a.py:B}",)), hints, "sft", mistakes) == [
        {"objective": {"use": "a.py:B"}}
    ]
    assert mistakes == []


def test_defaults_then_config_then_options_in_their_order(tmp_path: Path):
    config = tmp_path / "config.yaml"
    config.write_text("steps: 10\nseed: 10\nlabel: ten\npace: {every: 10, pause: {seconds: 0.1}}\n")
    stage = parsed("--set", "seed=11", "--steps", "11", "--config", str(config), "--steps", "12", "--set", "steps=13")
    pace = Pace(every=10, pause=Even(seconds=0.1))
    assert stage == CountStage(steps=13, seed=11, label="ten", pace=pace)
    assert parsed("--config", str(config), "--set", "pace.every=2", "--pace.every", "3").pace.every == 3
    assert parsed("--set", "label=2024").label == "2024"


def test_every_mistake_is_listed_words_and_settings_together():
    found = mistakes_of(
        *("word", "--stesp", "3", "--steps", "0", "--seed", "1", "2", "--label", "--set", "x", "--set", "pace.evry=2"),
        *("--dry-runs", "--overwrite", "yes", "--pace.pause.kind", "odd"),
    )
    assert sorted(found) == sorted(
        [
            "unexpected word 'word'; settings are given as --NAME VALUE",
            "unknown option --stesp; did you mean '--steps'?",
            "--seed takes one value; unexpected: 2",
            "--label needs a value: --label VALUE",
            "--set takes NAME=VALUE; found 'x'",
            "unknown option --dry_runs; did you mean '--dry_run'?",
            "--overwrite takes no value; unexpected: yes",
            "--out is required: the folder of the result; type --out DIR",
            "burnish count: 'steps' is 0; it must be greater than or equal to 1",
            "burnish count: unknown setting 'pace.evry' (value 2); did you mean 'every'?",
            "burnish count: 'pace.pause.kind' is 'odd'; expected one of even, growing",
        ]
    )


def test_a_config_file_that_is_missing_is_one_of_the_mistakes():
    assert mistakes_of("--config", "absent.yaml", "--out", "x", "--steps", "0") == (
        "no such file: absent.yaml",
        "burnish count: 'steps' is 0; it must be greater than or equal to 1",
    )


def test_a_stage_may_not_take_the_options_of_every_run():
    with pytest.raises(TypeError, match="OwnOptionStage has settings named like options of every run: out"):
        parse("own", OwnOptionStage, [])


def test_the_help_of_a_stage_is_frozen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(HERE.parent)
    assert main(["tests/stages/counting.py:CountStage", "--help"]) == 0
    text = capsys.readouterr().out
    if os.environ.get("BURNISH_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8"), (
        "to accept: BURNISH_UPDATE_SNAPSHOTS=1 pytest tests/test_cli.py"
    )


def test_the_overview_names_every_verb(capsys: pytest.CaptureFixture[str]):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in (*STAGES, *COMMANDS):
        assert f"burnish {verb} " in text
    assert main([]) == 2


def test_help_loads_neither_torch_nor_transformers():
    code = (
        "import sys; from burnish.cli import main; main(['--help']); "
        "print({'torch', 'transformers', 'numpy', 'datasets'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("set()")


def test_a_run_says_where_the_result_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    assert main([STAGE, "--steps", "2", "--loud", "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == ["1", "2", f"finished: {out}"]
    assert json.loads((out / "run.json").read_text())["state"] == "finished"


def test_a_dry_run_shows_the_plan_and_the_settings_and_touches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    assert main([STAGE, "--steps", "2", "--dry-run", "--out", str(out), "--data", str(COUNTING)]) == 0
    text = capsys.readouterr().out
    assert f"starts in {out}\n2 numbers\ninput data: sha256:" in text
    assert "\nsteps: 2\nseed: 0\nlabel: null\n" in text
    assert list(tmp_path.iterdir()) == []
    assert main([STAGE, "--dry-run"]) == 0
    assert main([STAGE, "--dry-run", "--data", "absent.txt"]) == 2
    assert main([STAGE, "--out", str(out)]) == 0
    capsys.readouterr()
    assert main([STAGE, "--dry-run", "--out", str(out)]) == 1
    assert "holds a finished run" in capsys.readouterr().err


def test_exit_codes_and_errors_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = str(tmp_path / "out")
    assert main([STAGE, "--stpes", "2", "--out", out]) == 2
    assert "unknown option --stpes; did you mean '--steps'?" in capsys.readouterr().err
    assert main([STAGE, "--fail_at", "2", "--out", out]) == 1
    error = capsys.readouterr().err
    assert error == "burnish: step 2 fails\n"
    with pytest.raises(Exception, match="step 2 fails"):
        main([STAGE, "--fail_at", "2", "--out", out, "--debug"])
    assert main(["stf"]) == 2
    assert "there is no command 'stf'; did you mean 'sft'?" in capsys.readouterr().err
    assert main(["no/such.py:Stage"]) == 2
    assert main(["burnish.config:Leaf"]) == 2
    assert "is no stage; mark the class @settings" in capsys.readouterr().err


def test_ctrl_c_ends_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    assert main([STAGE, "--out", str(tmp_path / "out")]) == 130
    assert "the same command goes on where it was" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "run.json").read_text())["state"] == "running"


def test_version(capsys: pytest.CaptureFixture[str]):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("burnish ")


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BURNISH_STORE", raising=False)
    (tmp_path / "demo.yaml").write_text(
        f'name: demo\nstages:\n  one: {{use: "{STAGE}", steps: 2}}\n'
        f'  two: {{use: "{STAGE}", data: "@one/numbers.txt"}}\n'
    )
    return "demo.yaml"


def test_a_recipe_is_planned_run_explained_and_collected(recipe: str, capsys: pytest.CaptureFixture[str]):
    assert main(["run", recipe, "--dry-run"]) == 0
    plan = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in plan] == [["one", "would", "run"], ["2", "numbers"], ["two", "would", "run"]]
    assert not Path("runs").exists()
    assert main(["run", recipe, "--until", "one"]) == 0
    assert main(["run", recipe, "--set", "stages.two.steps=1"]) == 0
    assert main(["run", recipe]) == 0
    capsys.readouterr()
    assert main(["run", recipe, "--dry-run"]) == 0
    assert capsys.readouterr().out.count("is there") == 2
    three, one = sorted(
        (path for path in Path("runs/store").iterdir()), key=lambda path: -len((path / "numbers.txt").read_text())
    )[::2]
    assert main(["explain", three.name, str(one)]) == 0
    assert "setting steps: 3 | 1" in capsys.readouterr().out
    assert main(["gc", recipe]) == 0
    assert "1 folders, 0.0 MB would go; type --delete to remove them" in capsys.readouterr().out
    assert main(["gc", recipe, "--delete"]) == 0
    assert not one.exists()
    assert three.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run"], "burnish run takes one recipe; found 0"),
        (["run", "demo.yaml", "--untill", "x"], "unknown option --untill; did you mean 'until'?"),
        (["run", "demo.yaml", "--set", "x"], "--set takes NAME=VALUE"),
        (["run", "absent.yaml"], "no such file: absent.yaml"),
        (["gc"], "name the recipes whose artefacts stay"),
        (["explain"], "burnish explain takes one or two keys"),
        (["data", "inspect"], "type: burnish data inspect PATH"),
        (["data", "inspect", "x.jsonl", "--on_bad_row", "stpo"], "'on_bad_row' is 'stpo'"),
        (["chat"], "burnish chat takes one model"),
        (["chat", "m", "--temperature", "-1", "--seed", "x"], "--seed is 'x'; expected a whole number"),
    ],
)
def test_words_that_are_wrong(words: list[str], message: str, recipe: str, capsys: pytest.CaptureFixture[str]):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_data_inspect_shows_the_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "Name a gem.", "completion": "An opal."}\n{"prompt": 3, "completion": "x"}\n')
    assert main(["data", "inspect", str(path)]) == 0
    text = capsys.readouterr().out
    assert "prompt-completion" in text
    assert "1 bad" in text
    assert main(["data", "inspect", str(path), "--on-bad-row", "stop"]) == 1
    assert main(["data", "inspect", str(path), "--on-bad-row", "skip", "--index", "1"]) == 2


def test_doctor_says_what_the_machine_can_do(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert {"burnish", "processor", "memory", "device", "precision", "torch", "transformers", "hub"} <= set(lines)
    assert "cores for this process" in lines["processor"]
    assert "GFLOP/s" in lines["products"]
