"""`burnish scaling`: losses from files and runs, the ladder as one recipe, what is printed, drawn and refused."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest

from burnish.cli import main
from burnish.config import load
from burnish.errors import ConfigError, DataError, StoreError
from burnish.evals.scaling_law import ScalingLaw
from burnish.reports.scaling import read_scaling
from burnish.stages.ladder import HEADER, Ladder, write_ladder
from burnish.stages.pretrain import PretrainStage
from burnish.stages.recipe import read_recipe
from burnish.stages.report import ReportStage
from burnish.stages.run import make_artefact, run_stage
from burnish.stages.scaling import ScalingStage, trained_run
from burnish.stages.tokenise import TokeniseStage
from tests.stages.tiny_chat import GEMS, write_model

LAW = ScalingLaw(size_factor=406.4, size_exponent=0.34, token_factor=410.7, token_exponent=0.28, limit=1.69)
CHINCHILLA = list(itertools.product((1e8, 1e9, 1e10), (1e9, 1e10, 1e11)))
SMALL = {
    "depths": [1, 2, 3],
    "tokens": [32, 64, 96],
    "max_tokens": 9,
    "sizes": {"width": 16, "heads": 2},
    "train": {"batch_size": 4, "precision": "fp32"},
}


def quiet(line: str) -> None:
    """Hears nothing."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_model(folder / "model")
    rows = [{"id": str(n), "text": f"{gem} is a gem, and it is old."} for n, gem in enumerate(GEMS)]
    (folder / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_WORKERS", "1")
        given = {"model": str(folder / "model"), "data": {"text": str(folder / "text.jsonl")}}
        run_stage(load(TokeniseStage, given), folder / "tokens", say=quiet)
    return folder


def ladder(world: Path, **changes) -> Ladder:
    given = {"tokenizer": world / "model", "data": world / "tokens", "held_out_data": world / "text.jsonl"}
    return load(Ladder, {**{name: str(path) for name, path in given.items()}, **SMALL, **changes})


def losses(folder: Path, rows=CHINCHILLA, *, suffix: str = "csv") -> Path:
    found = [{"parameters": n, "tokens": d, "loss": LAW.loss(n, d)} for n, d in rows]
    path = folder / f"losses.{suffix}"
    lines = [",".join(found[0]), *(",".join(str(v) for v in row.values()) for row in found)]
    path.write_text("\n".join(lines if suffix == "csv" else map(json.dumps, found)) + "\n")
    return path


def fitted(folder: Path, file: Path) -> Path:
    given = {"losses": str(file), "budgets": [5.76e23], "resamples": 20}
    return run_stage(load(ScalingStage, given), folder / "law", say=quiet)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_losses_in_a_file_give_constants_and_a_plan(tmp_path, suffix):
    scores = json.loads((fitted(tmp_path, losses(tmp_path, suffix=suffix)) / "scores.json").read_text())
    assert scores["constants"]["alpha"]["estimate"] == pytest.approx(0.34, rel=1e-4)
    (plan,) = scores["plans"]
    assert plan["parameters"]["estimate"] == pytest.approx(LAW.best(5.76e23).parameters, rel=1e-3)
    assert plan["tokens_per_parameter"]["estimate"] == pytest.approx(92.65, rel=1e-3)
    assert [run["loss"] for run in scores["runs"]] == pytest.approx([r["foretold"]["estimate"] for r in scores["runs"]])


def test_the_command_line_fits_a_file_and_prints(tmp_path, capsys):
    file = str(losses(tmp_path))
    assert main(["scaling", "fit", file, "--budgets", "1e21", "--resamples", "20"]) == 0
    said = capsys.readouterr().out
    assert "alpha 0.34 (" in said
    assert "warning" not in said
    assert "not determined" not in said
    assert main(["scaling", "fit", file, "--budgets", "1e21", "2e21", "--resamples", "20", "--json"]) == 0
    assert [plan["flops"] for plan in json.loads(capsys.readouterr().out)["plans"]] == [1e21, 2e21]
    assert main(["scaling", "fit", file, "--budgts", "1e21"]) == 2
    assert "did you mean '--budgets'" in capsys.readouterr().err
    assert main(["scaling", "fit"]) == 2


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("parameters,tokens\n1,2\n", "row 1: found .*; expected numbers parameters, tokens, loss"),
        ("parameters,tokens,loss\n1,2,many\n", "row 1"),
        ("parameters,tokens,loss\n" + "1e8,1e9,nan\n" * 9, "'row 1': loss is nan"),
        ("parameters,tokens,loss\n" + "1e8,1e9,2\n" * 4, "4 runs"),
    ],
)
def test_bad_losses_are_refused_before_any_work(tmp_path, text, what):
    (tmp_path / "losses.csv").write_text(text)
    with pytest.raises(DataError, match=what):
        load(ScalingStage, {"losses": str(tmp_path / "losses.csv")}).plan()
    with pytest.raises(ConfigError, match="either runs"):
        load(ScalingStage, {}).plan()


def test_the_report_draws_the_law(tmp_path):
    law = fitted(tmp_path, losses(tmp_path))
    panel = read_scaling("law", law)
    assert dict(panel.constants)["beta"].estimate == pytest.approx(0.28, rel=1e-4)
    assert "extrapolation" in panel.findings[-1]
    assert [len(chart.spots) for chart in panel.charts] == [9, 9]
    run_stage(load(ReportStage, {"runs": {"law": str(law)}}), tmp_path / "report", say=quiet)
    page = (tmp_path / "report" / "report.html").read_text()
    assert 'id="scaling"' in page
    assert "32.2B" in page  # the planned size
    assert "constants" in json.loads((tmp_path / "report" / "metrics.json").read_text())["law"]
    (law / "scores.json").write_text("{}")
    with pytest.raises(StoreError, match="lacks a figure of a scaling law"):
        read_scaling("law", law)


def test_a_ladder_is_one_recipe_with_a_run_for_every_pair(world, tmp_path):
    path = write_ladder(ladder(world, budgets=[1e15]), tmp_path / "rungs")
    assert path == tmp_path / "rungs.yaml"
    steps = {step.name: step for step in read_recipe(path).steps}
    assert [step.stage.verb for step in steps.values()].count("pretrain") == 9
    run = steps["d2-64"]
    assert run.needs == ("d2",)
    assert (run.stage.steps, run.stage.train.evaluate_every, run.stage.text.max_tokens) == (2, 2, 9)
    assert steps["law"].stage.budgets == (1e15,)
    assert set(steps["law"].needs) == {name for name in steps if "-" in name}
    wider = read_recipe(write_ladder(ladder(world, depths=[1, 2, 3, 4]), tmp_path / "rungs")).steps
    keys = {step.identity.key for step in steps.values() if step.stage.verb == "pretrain"}
    assert keys < {step.identity.key for step in wider}  # a rung that is added costs that rung alone


def test_a_run_of_the_ladder_is_read_as_size_tokens_and_loss(world, tmp_path):
    recipe = read_recipe(write_ladder(ladder(world), tmp_path / "rungs"))
    steps = {step.name: step for step in recipe.steps}
    store = tmp_path / "store"
    base = make_artefact(steps["d1"].stage, steps["d1"].identity, store, name="d1", say=quiet)
    given = {"model": str(base), "data": str(world / "tokens"), "steps": 2, "text": {"max_tokens": 9}}
    train = {**SMALL["train"], "evaluate_every": 2}
    looked = {**given, "held_out_data": str(world / "text.jsonl"), "train": train}
    out = run_stage(load(PretrainStage, looked), tmp_path / "looked", say=quiet)
    found = trained_run("d1", out)
    shape = json.loads((base / "run.json").read_text())["parameters"]
    assert found.parameters == sum(shape.values())
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert (found.tokens, found.loss) == (sum(row["tokens"] for row in rows), rows[-1]["held_out_loss"])
    blind = run_stage(load(PretrainStage, {**given, "train": train}), tmp_path / "blind", say=quiet)
    with pytest.raises(StoreError, match="no held-out loss at its end"):
        trained_run("d1", blind)
    with pytest.raises(StoreError, match="finished run of 'new-model'"):
        trained_run("d1", base)


def test_a_ladder_that_cannot_work_is_refused(world, tmp_path):
    for changes, what in (
        ({"depths": [1, 2]}, "depths are 1, 2; give 3 or more"),
        ({"tokens": [32, 33, 64]}, "come to 1 updates of 32 tokens"),
        ({"train": {"epochs": 1}}, "train.epochs is given"),
    ):
        with pytest.raises(ConfigError, match=what):
            ladder(world, **changes)
    with pytest.raises(DataError, match="fresh tokens"):
        write_ladder(ladder(world, tokens=[32, 64, 1e9]), tmp_path / "rungs")
    with pytest.raises(DataError, match="make some with burnish tokenise"):
        write_ladder(ladder(world, data=str(tmp_path)), tmp_path / "rungs")
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    with pytest.raises(StoreError, match="no recipe of a ladder"):
        write_ladder(ladder(world), tmp_path / "mine")
    assert HEADER.startswith("#")


def test_a_ladder_that_does_not_determine_an_exponent_is_told_and_plans_nothing(tmp_path, capsys):
    rows = [(n, d, 1.8 + 0.3 * (n == 1e8) + 400 * d**-0.3) for n, d in CHINCHILLA]
    file = tmp_path / "losses.csv"
    file.write_text("\n".join(["parameters,tokens,loss", *(",".join(map(str, row)) for row in rows)]) + "\n")
    assert main(["scaling", "fit", str(file), "--budgets", "1e21", "--resamples", "20"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^alpha 5 \(.*\), not determined$", said, re.MULTILINE)
    assert re.findall(r"^(\w+) .* not determined$", said, re.MULTILINE) == ["A", "alpha", "a"]
    assert "warning: alpha is 5, at the bound of the search (5): the ladder does not determine it." in said
    assert "1e+21 operations: no plan, for the best size rests on alpha, which the ladder does not determine" in said
    assert "tokens per parameter" not in said
    law = fitted(tmp_path, file)
    scores = json.loads((law / "scores.json").read_text())
    (found,) = scores["at_bounds"]
    assert found == {"constant": "alpha", "value": pytest.approx(5.0), "bound": 5.0}
    assert scores["plans"] == []
    assert scores["no_plan"].startswith("the best size rests on alpha")
    assert any(sentence.startswith("alpha is 5") for sentence in scores["warnings"])
    panel = read_scaling("law", law)
    assert panel.plans == ()
    assert "does not determine it" in panel.findings[0]
    assert not any("grows as the budget" in sentence for sentence in panel.findings)
    run_stage(load(ReportStage, {"runs": {"law": str(law)}}), tmp_path / "report", say=quiet)
    page = (tmp_path / "report" / "report.html").read_text()
    assert "No budget is planned for: the best size rests on alpha" in page
    assert "power of the budget that the best size grows with" not in page
