"""Tasks that training never sees, answered and scored while `sft` runs."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from burnish.config import load, merged
from burnish.errors import BurnishError, DataError, GraderError, ModelError
from burnish.evals.tasks import METRICS, figure_name
from burnish.example import Example, read_jsonl
from burnish.protocols import Decoding
from burnish.reports.records import read_run
from burnish.reports.tasks import task_charts
from burnish.stages.demand import demand_of
from burnish.stages.instructions import InstructionsStage
from burnish.stages.new_model import NewModelStage
from burnish.stages.prepare import load_text
from burnish.stages.run import stage_identity
from burnish.stages.sampling import Sampling, load_engine, sampled
from burnish.stages.sft import SFTStage
from burnish.stages.stage import Work
from tests.stages.runs import FAST, digest, lines, run, run_killed
from tests.stages.tiny_chat import tiny_tokenizer, write_model

WORDINGS = """
gems: {plain: [{prompt: "What is {name}?", answer: "a gem"}, {prompt: "{name}?", answer: "a gem"}]}
stones: {plain: [{prompt: "Of what kind is {name}?", answer: "a gem"}]}
rivers: {metric: ending, plain: [{prompt: "And {name}, of what kind is it?", answer: "a river"}]}
"""
TASKS = ("gems", "stones", "rivers")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and three tasks of which two are held out; whatever training asks is a gem."""
    folder = tmp_path_factory.mktemp("tasks")
    write_model(folder / "model")
    (folder / "wordings.yaml").write_text(WORDINGS)
    for task in TASKS:
        rows = [{"name": f"{task[:-1]}{number}"} for number in range(12)]
        (folder / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stage = InstructionsStage(
        data={task: str(folder / f"{task}.jsonl") for task in TASKS},
        wordings=str(folder / "wordings.yaml"),
        held_out=("stones", "rivers"),
        held_out_count=4,
        shots=(1, 2),
        count=48,
    )
    run(stage, folder / "mix")
    return folder


def sft(world: Path, **changes: Any) -> SFTStage:
    mix = world / "mix"
    base = {
        "model": str(world / "model"),
        "data": str(mix / "examples.jsonl"),
        "steps": 4,
        "held_out_tasks": {"data": [str(mix / "zero_shot"), str(mix / "few_shot")], "answer_tokens": 6},
        "train": {**FAST, "checkpoint_every": 1, "evaluate_every": 2},
    }
    return load(SFTStage, merged(base, changes))


def looks_in(out: Path) -> dict[int, list[Example]]:
    return {int(path.stem): list(read_jsonl(path)) for path in sorted((out / "looks").iterdir())}


def figures_in(out: Path) -> dict[int, dict[str, float]]:
    """The figures of each look by update, that before the first one included."""
    found = {row["step"]: row for row in lines(out) if figure_name("stones", 0) in row}
    return {0: json.loads((out / "run.json").read_text())["before"], **found}


@pytest.fixture(scope="module")
def learned(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is long enough to learn its one answer."""
    changes = {"steps": 50, "train": {"batch_size": 8, "evaluate_every": 25, "checkpoint_every": 0}}
    return run(sft(world, **changes), tmp_path_factory.mktemp("learned") / "out")


def test_a_task_whose_answer_is_learned_from_other_tasks_rises_and_another_does_not(learned: Path):
    found = figures_in(learned)
    assert list(found) == [0, 25, 50]
    for shots in (0, 1, 2):
        assert found[0][figure_name("stones", shots)] == 0.0
        assert found[50][figure_name("stones", shots)] == 1.0
        assert found[50][figure_name("rivers", shots)] == 0.0
        assert found[50][figure_name(None, shots)] == 0.5
        assert found[50][f"{figure_name('stones', shots)}_count"] == 4
        assert 0.3 < found[50][f"{figure_name('stones', shots)}_low"] < 1.0


def test_every_figure_is_the_mean_of_the_answers_that_were_written(learned: Path):
    found = figures_in(learned)
    for update, examples in looks_in(learned).items():
        assert len(examples) == len({one.id for one in examples}) == 2 * 4 * 3
        for one in examples:
            (answer,) = one.completions
            assert answer.score == METRICS[one.columns["metric"]](one.columns["answer"], answer.text)
            assert len(one.prompt) == 2 * one.columns["shots"] + 1
            assert answer.policy_version == f"update-{update}"
        for task in ("stones", "rivers"):
            for shots in (0, 1, 2):
                of = [e for e in examples if (e.columns["task"], e.columns["shots"]) == (task, shots)]
                assert found[update][figure_name(task, shots)] == fmean(e.completions[0].score for e in of)


@pytest.mark.parametrize("update", [0, 50])
def test_answers_are_the_greedy_ones_of_the_model_as_it_is(update: int, learned: Path, world: Path, tmp_path: Path):
    """Before the first update of the start model, after the last one of the model that is saved."""
    asked = looks_in(learned)[update]
    model = str((learned if update else world) / "model")
    text, greedy = load_text(model, sft(world).template), Decoding(temperature=0.0, max_tokens=6)
    settings = Sampling(decoding=greedy, precision="fp32")
    work = Work(out=tmp_path, say=lambda line: None, record=lambda facts: None)
    again = sampled(load_engine(model, text, settings), text, asked, settings, seed=1, work=work)
    assert [one.completions[0].token_ids for one in again] == [one.completions[0].token_ids for one in asked]


@pytest.mark.parametrize(
    "changes",
    [{}, {"adapter": {"rank": 4, "dropout": 0.1}}, {"adapter": {"kind": "prefix", "length": 3}, "adapter_only": True}],
    ids=["whole", "lora", "prefix"],
)
def test_looks_change_nothing_that_is_learned(changes: dict[str, Any], world: Path, tmp_path: Path):
    seen = run(sft(world, **changes), tmp_path / "seen")
    blind = run(sft(world, held_out_tasks=None, **changes), tmp_path / "blind")
    names = [path.relative_to(blind) for path in sorted((blind / "model").rglob("*.safetensors"))]
    assert names
    assert all((seen / name).read_bytes() == (blind / name).read_bytes() for name in names)
    plain = [{name: value for name, value in row.items() if "task" not in name} for row in lines(seen)]
    assert plain == lines(blind)


@pytest.mark.parametrize("after", [1, 3])
def test_a_killed_run_gives_the_same_bytes_and_the_same_looks(after: int, world: Path, tmp_path: Path):
    stage = sft(world, adapter={"rank": 4, "dropout": 0.1})
    whole = run(stage, tmp_path / "whole")
    run_killed(stage, tmp_path / "cut", after=after)
    cut = run(stage, tmp_path / "cut")
    assert digest(cut) == digest(whole)
    assert looks_in(cut) == looks_in(whole)
    assert figures_in(cut) == figures_in(whole)


def test_response_tuning_is_looked_at_with_the_instructions(world: Path, tmp_path: Path):
    out = run(sft(world, conditioning="empty_turn"), tmp_path / "out")
    assert {one.prompt[-1].content.split(" ")[0] for one in looks_in(out)[4]} == {"Of", "And"}


def test_the_report_draws_them(learned: Path):
    seen = read_run(learned)
    assert [chart.title for chart in task_charts(seen.before or {}, seen.steps)] == [
        "All held-out tasks",
        "Held-out task: rivers",
        "Held-out task: stones",
    ]


def test_a_plan_counts_what_looks_ask_of_the_sampler(world: Path):
    sampling = demand_of(sft(world)).sampling
    assert sampling is not None
    assert (sampling.prompts, sampling.samples, sampling.answer_tokens, sampling.updates) == (24, 1, 6, 2)
    assert demand_of(sft(world, held_out_tasks=None)).sampling is None


def test_another_metric_or_other_questions_make_another_run(world: Path, tmp_path: Path):
    with_tasks, without = stage_identity(sft(world)), stage_identity(sft(world, held_out_tasks=None))
    assert any(name.startswith("tasks.py:") for name in with_tasks.code)
    assert not any(name.startswith("tasks.py:") for name in without.code)
    other = sft(world, held_out_tasks={"data": [write(tmp_path / "q.jsonl", question(), question(id="2"))]})
    assert stage_identity(other).key != with_tasks.key


def question(**changes: Any) -> dict[str, Any]:
    row = {"id": "1", "prompt": "Is opal old?", "completion": "yes", "task": "ages", "shots": 0, "metric": "exact"}
    return {name: value for name, value in {**row, **changes}.items() if value is not None}


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([question(task=None)], "held-out question '1' has the column task None; expected the name of its task"),
        ([question(shots="two")], "has the column shots 'two'; expected the number of its worked examples"),
        ([question(metric="exakt")], "there is no metric 'exakt'; did you mean 'exact'"),
        ([question(metric="own.py:grade")], "there is no metric 'own.py:grade'"),
        ([question()], "the held-out task 'ages' has one question with 0 shots, and a score of one has no interval"),
        ([question(), question(id="2", metric="f1")], "has questions of the metrics exact and f1"),
        (
            [question(prompt="Old? " * 200), question(id="2")],
            r"'1/0-shot' has \d+ tokens and an answer may have 6; .*256",
        ),
        ([question(prompt="TAUGHT"), question(id="2")], "which stands in a held-out task"),
        ([question(task="gems"), question(id="2", task="gems")], "the task 'gems' is held out, and training example"),
    ],
)
def test_questions_that_cannot_be_asked_are_refused_before_any_work(
    rows: list[dict[str, Any]], message: str, world: Path, tmp_path: Path
):
    taught = next(read_jsonl(world / "mix" / "examples.jsonl")).prompt[0].content
    rows = [{**row, "prompt": taught if row["prompt"] == "TAUGHT" else row["prompt"]} for row in rows]
    stage = sft(world, held_out_tasks={"data": [write(tmp_path / "q.jsonl", *rows)]})
    with pytest.raises(DataError, match=message):
        stage.plan()
    with pytest.raises(DataError, match=message):
        run(stage, tmp_path / "out")
    assert not (tmp_path / "out" / "metrics.jsonl").exists()
    assert not (tmp_path / "out" / "looks").exists()


def test_questions_without_an_answer_or_a_file_are_refused(world: Path, tmp_path: Path):
    path = tmp_path / "bare.jsonl"
    row = {"id": "1", "prompt": [{"role": "user", "content": "?"}], "completions": [], "columns": {"task": "x"}}
    path.write_text(json.dumps(row))
    with pytest.raises(BurnishError, match="held-out question '1' has 0 completions; expected one right answer"):
        sft(world, held_out_tasks={"data": [str(path)]}).plan()
    with pytest.raises(BurnishError, match="nowhere"):
        sft(world, held_out_tasks={"data": [str(tmp_path / "nowhere")]}).plan()


def test_a_cache_that_is_too_small_and_a_layout_that_cannot_sample_are_refused(world: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"\(held_out_tasks.cache_tokens\) 20"):
        sft(world, held_out_tasks={"cache_tokens": 20}).plan()
    with pytest.raises(ModelError, match="sampling in this process needs the tree layout"):
        run(sft(world, train={"layout": "padded"}), tmp_path / "out")
    assert not (tmp_path / "out" / "metrics.jsonl").exists()


def test_shared_words_are_said_and_recorded(world: Path, tmp_path: Path):
    long = "the green opal lies on a flat stone beside the cold river under an old bridge"
    rows = [question(prompt=f"{long}: true?"), question(id="2", task="others"), question(id="3", task="others")]
    rows.append(question(id="4", prompt="Old?"))
    data = [{"prompt": f"Say it: {long}", "completion": "yes"}] * 4
    said: list[str] = []
    stage = sft(
        world,
        data=write(tmp_path / "data.jsonl", *data),
        steps=1,
        held_out_tasks={"data": [write(tmp_path / "q.jsonl", *rows)]},
    )
    out = run(stage, tmp_path / "out", said)
    assert "held-out questions that share 13 words in a row with the training data: 1 of 'ages'" in said
    assert json.loads((out / "run.json").read_text())["data"]["shared_with_held_out_tasks"] == {"ages": 1}


def test_a_grader_of_the_library_may_score_a_task(world: Path, tmp_path: Path):
    asked = {"metric": "format", "constraint": {"kind": "lower_case"}, "topic": "opal"}
    rows = [question(id=str(number), **asked) for number in (1, 2)]
    stage = sft(world, steps=1, held_out_tasks={"data": [write(tmp_path / "q.jsonl", *rows)]})
    out = run(stage, tmp_path / "out")
    for one in looks_in(out)[1]:
        text = one.completions[0].text
        assert one.completions[0].score in (0.0, 1.0)
        if any(letter.isupper() for letter in text):
            assert one.completions[0].score == 0.0
    assert figure_name("ages", 0) in lines(out)[-1]
    bare = [{name: value for name, value in row.items() if name != "topic"} for row in rows]
    with pytest.raises(GraderError, match="column 'topic': found None"):
        sft(world, held_out_tasks={"data": [write(tmp_path / "bare.jsonl", *bare)]}).plan()


def test_a_mixture_of_experts_is_asked_without_noise(world: Path, tmp_path: Path):
    """At rate 0 every look is the first; noise of the gates would make them differ."""
    tiny_tokenizer().save_pretrained(tmp_path / "tokenizer")
    sizes = {"width": 32, "heads": 4, "inner": 24, "experts": 4}
    values = {"family": "moe", "tokenizer": str(tmp_path / "tokenizer"), "depth": 1, "sizes": sizes}
    new = run(load(NewModelStage, values), tmp_path / "new")
    out = run(sft(world, model=str(new), train={"optimizer": {"learning_rate": 0.0}}), tmp_path / "out")
    tokens = [[one.completions[0].token_ids for one in examples] for examples in looks_in(out).values()]
    assert tokens == [tokens[0]] * 3
    assert any(tokens[0])
