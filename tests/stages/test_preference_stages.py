"""The preference verbs: where the reference comes from and who computes it, and that each verb trains and resumes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from burnish.config import load, merged, sources
from burnish.errors import ConfigError, DataError, ModelError
from burnish.example import Completion, Example, assistant, user, write_jsonl
from burnish.models.lora import Lora
from burnish.stages import reference
from burnish.stages.preference import DPOStage, KTOStage
from burnish.stages.registry import stage_class
from burnish.stages.run import stage_identity
from burnish.stages.stage import Stage, Work
from burnish.stages.start import started
from tests.stages.changes import ALONE, changed_values
from tests.stages.runs import FAST, digest, lines, run, run_killed
from tests.stages.tiny_chat import GEMS, TEMPLATE, write_labelled, write_model, write_pairs, write_rankings

VERBS = ("dpo", "ipo", "kto", "orpo", "simpo", "plackett-luce")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("world")
    return {
        "model": str(write_model(folder / "model")),
        "other": str(write_model(folder / "other", seed=1)),
        "pairs": str(write_pairs(folder / "pairs.jsonl")),
        "labelled": str(write_labelled(folder / "labelled.jsonl")),
        "rankings": str(write_rankings(folder / "rankings.jsonl")),
    }


def made(verb: str, world: Mapping[str, str], **changes: Any) -> Stage:
    data = {"kto": "labelled", "plackett-luce": "rankings"}.get(verb, "pairs")
    base = {"model": world["model"], "data": world[data], "steps": 3, "train": FAST}
    return load(stage_class(verb), merged(base, changes))


def graded_pair(gem: str, *, graded: bool) -> Example:
    completions = tuple(
        Completion(messages=(assistant(text),), rank=rank, score=1.0 - rank if graded else None)
        for rank, text in enumerate((f"{gem} is a gem.", f"{gem} no"))
    )
    return Example(id=gem, prompt=(user(f"What is {gem}?"),), completions=completions)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of examples of each reference pass."""
    seen: list[int] = []
    real = reference.completion_logps

    def counted(module: Any, trees: Any, **named: Any) -> Any:
        seen.append(len(trees))
        return real(module, trees, **named)

    monkeypatch.setattr(reference, "completion_logps", counted)
    return seen


def test_the_second_run_of_a_sweep_does_no_reference_pass(world, tmp_path: Path, passes: list[int]):
    said: list[str] = []
    run(made("dpo", world, held_out=2), tmp_path / "first", said)
    assert passes == [12]
    assert any(line.startswith("reference log-probs of 12 examples computed in ") for line in said)
    said.clear()
    second = run(made("dpo", world, held_out=2, objective={"beta": 0.5}), tmp_path / "second", said)
    assert passes == [12]
    assert any(line.startswith("reference log-probs of 12 examples read from the cache (") for line in said)
    alone = run(made("dpo", world, held_out=2, objective={"beta": 0.5}), tmp_path / "elsewhere" / "alone")
    assert passes == [12, 12]
    assert digest(second) == digest(alone), "what is read is what would have been computed"
    run(made("ipo", world, held_out=2), tmp_path / "ipo")
    assert passes == [12, 12], "the objective is not part of the question"


def test_another_question_is_computed_anew(world, tmp_path: Path, passes: list[int]):
    shutil.copytree(world["model"], tmp_path / "same")
    questions: list[dict[str, Any]] = [
        {},
        {"reference": world["other"]},
        {"train": {"precision": "bf16"}},
        {"train": {"token_budget": 100}},
        {"train": {"layout": "padded"}},
        {"data": world["pairs"], "held_out": 1},
    ]
    for number, changes in enumerate(questions):
        run(made("dpo", world, steps=1, **changes), tmp_path / str(number))
        assert len(passes) == number + 1, changes
    run(made("dpo", world, steps=1, model=str(tmp_path / "same")), tmp_path / "moved")
    run(made("dpo", world, steps=1, adapter={"rank": 2}), tmp_path / "adapter")
    run(made("dpo", world, steps=1, reference=str(tmp_path / "same")), tmp_path / "named")
    assert len(passes) == len(questions), "where the model lies and what is trained does not matter"


def test_another_model_as_the_reference(world, tmp_path: Path):
    """With the reference as its own policy the first margin is 0; measured from another model it is not."""
    own = lines(run(made("dpo", world, reference=world["model"]), tmp_path / "own"))
    start = lines(run(made("dpo", world), tmp_path / "elsewhere" / "start"))
    other = run(made("dpo", world, reference=world["other"]), tmp_path / "other")
    assert own == start
    assert own[0]["margin"] == pytest.approx(0.0, abs=1e-4)
    assert abs(lines(other)[0]["margin"]) > 0.01
    assert lines(other)[0]["logp_chosen"] == pytest.approx(own[0]["logp_chosen"])
    record = json.loads((other / "run.json").read_text())
    assert record["reference"]["model"] == world["other"]
    assert record["inputs"]["reference"]["path"] == world["other"]


def test_the_reference_of_an_adapter_is_the_model_with_the_adapter_off(world, tmp_path: Path):
    """A fresh adapter changes nothing, so only one that has learned shows it."""
    stage = load(DPOStage, {"model": world["model"], "data": world["pairs"], "train": FAST})
    trees = stage.prepared(lambda line: None).trees
    start = started(world["model"], stage.module, adapter=Lora(rank=2), seed=0)

    def logps(name: str) -> object:
        work = Work(out=tmp_path / name / "run", say=lambda line: None, record=lambda facts: None)
        return reference.reference_logps(trees, start, None, stage.train, template_hash="", work=work)

    before = logps("before")
    for name, weight in start.module.named_parameters():
        if "lora_B" in name:
            weight.data.fill_(0.5)
    assert logps("after") == before
    cost = {"budget": 4096, "cost": start.cost, "device": next(start.module.parameters()).device}
    assert reference.completion_logps(start.module, trees, **cost) != before


def test_start_is_no_input_and_another_model_is_one(world):
    assert "reference" not in sources(made("dpo", world))
    assert "reference" not in sources(made("simpo", world, reference=None))
    named = made("dpo", world, reference=world["other"])
    assert stage_identity(named).inputs["reference"].startswith("sha256:")
    assert stage_identity(named).key != stage_identity(made("dpo", world)).key


def test_a_reference_with_other_tokens_is_refused_before_any_work(world, tmp_path: Path):
    other = Path(shutil.copytree(world["other"], tmp_path / "other"))
    (other / "chat_template.jinja").write_text(TEMPLATE.replace("assistant{{", "helper{{"))
    stage = made("dpo", world, reference=str(other))
    with pytest.raises(ModelError, match="have different tokenizers or chat templates"):
        stage.plan()
    with pytest.raises(ModelError, match="have different tokenizers or chat templates"):
        run(stage, tmp_path / "out")


@pytest.mark.parametrize(
    ("verb", "changes", "message"),
    [
        ("dpo", {"reference": None}, "DPO with these settings measures from a reference, and reference is none"),
        ("kto", {"reference": None}, "type --reference start or name a model"),
        ("simpo", {"reference": "x"}, "reference is 'x', and SimPO with these settings reads none"),
        ("dpo", {"reference": "x", "objective": {"reference_free": True}}, "leave --reference out"),
        ("dpo", {"adapter_only": True}, "adapter_only needs an adapter"),
    ],
)
def test_a_reference_that_does_not_fit_the_objective_is_refused(verb, changes, message, world):
    with pytest.raises(ConfigError, match=message):
        made(verb, world, **changes)


def test_no_reference_does_no_pass(world, tmp_path: Path, passes: list[int]):
    run(made("dpo", world, reference=None, objective={"reference_free": True}), tmp_path / "free")
    run(made("orpo", world), tmp_path / "orpo")
    run(made("simpo", world, reference=None), tmp_path / "simpo")
    assert passes == []
    assert not (tmp_path / ".columns").exists()


def test_a_run_whose_cache_was_removed_goes_on_with_the_same_bytes(world, tmp_path: Path):
    changes = {"steps": 4, "train": {"checkpoint_every": 2}}
    whole = run(made("dpo", world, **changes), tmp_path / "elsewhere" / "whole")
    run_killed(made("dpo", world, **changes), tmp_path / "cut", after=3)
    shutil.rmtree(tmp_path / ".columns")
    assert digest(run(made("dpo", world, **changes), tmp_path / "cut")) == digest(whole)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_widens_the_margin_and_resumes_with_the_same_bytes(verb: str, world, tmp_path: Path):
    train = {"checkpoint_every": 2, "optimizer": {"learning_rate": 3e-3}}
    changes = {"steps": 8, "train": train, "adapter": {"rank": 4}, "held_out": 3}
    whole = run(made(verb, world, **changes), tmp_path / "whole")
    rows = lines(whole)
    assert rows[-1]["margin"] > rows[0]["margin"]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert "held_out_margin" in rows[-1]
    run_killed(made(verb, world, **changes), tmp_path / "cut", after=5)
    assert digest(run(made(verb, world, **changes), tmp_path / "cut")) == digest(whole)


def test_kto_mismatches_before_the_reference_pass(world, tmp_path: Path):
    """Every answer has its reference log-prob, the mismatched ones too: the KL term of the first update is 0."""
    stage = made("kto", world, objective={"pool": 8})
    assert isinstance(stage, KTOStage)
    trees = stage.prepared(lambda line: None).trees
    marks = [[branch.columns["mismatched"] for branch in tree.branches] for tree in trees]
    assert marks == [[0.0, 1.0, 1.0]] * 12
    assert trees == stage.prepared(lambda line: None).trees
    assert trees != made("kto", world, objective={"pool": 8}, seed=1).prepared(lambda line: None).trees
    row = lines(run(stage, tmp_path / "out"))[0]
    assert row["kl"] == pytest.approx(0.0, abs=1e-4)
    assert row["pool"] == 8
    with pytest.raises(DataError, match=r"objective.pool is 16 and train.batch_size is 5"):
        made("kto", world, train={"batch_size": 5}).plan()


def test_scores_on_some_rows_alone_are_no_hindrance_where_nothing_reads_them(world, tmp_path: Path):
    """Pairs of several origins: only some were graded, and a batch holds both."""
    mixed = tmp_path / "mixed.jsonl"
    write_jsonl(mixed, (graded_pair(gem, graded=index % 2 == 0) for index, gem in enumerate(GEMS)))
    for verb in ("dpo", "sft", "reward"):
        stage = load(stage_class(verb), {"model": world["model"], "data": str(mixed), "steps": 2, "train": FAST})
        assert len(lines(run(stage, tmp_path / verb))) == 2
    needs = {"data": str(mixed), "objective": {"score_margin": 1.0}, "model": world["model"], "steps": 1}
    with pytest.raises(DataError, match="needs the column 'score' on every completion"):
        run(load(stage_class("reward"), needs), tmp_path / "margin")


def test_kto_takes_pairs_too(world, tmp_path: Path):
    rows = lines(run(made("kto", world, data=world["pairs"], steps=6), tmp_path / "out"))
    assert rows[-1]["margin"] > rows[0]["margin"]


ALSO = {"loss_kind": "hinge", "pool": 8, "columns": {"prompt": "question"}, "date": "2020-02-20"}


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "dpo"])
def test_every_setting_of_an_objective_changes_the_run_or_is_refused(verb: str, world, tmp_path: Path):
    base: dict[str, Any] = {"model": world["model"], "steps": 4, "train": FAST, "adapter": {"kind": "lora", "rank": 2}}
    base["data"] = made(verb, world).data  # type: ignore[attr-defined]
    cls = stage_class(verb)

    def outcome(changes: Mapping[str, Any], name: str) -> object:
        try:
            return lines(run(load(cls, merged(base, changes)), tmp_path / name))
        except (ConfigError, DataError) as error:
            return str(error)

    before = outcome({}, "base")
    changes = changed_values(cls, base, ALSO, ALONE)
    own = {name: change for name, change in changes.items() if name.startswith("objective.")}
    assert own
    assert [name for name, change in own.items() if outcome(change, name) == before] == []
