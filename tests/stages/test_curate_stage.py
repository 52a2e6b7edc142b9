"""The stage `curate`, its verbs, and the demo on Python's own documentation."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from burnish.cli import main
from burnish.config import dump, leaves, load, sources
from burnish.data.curate.python_docs import TOPICS, python_docs
from burnish.data.curate.registry import STEPS, step_class, step_names, steps_from
from burnish.data.read import DataSettings, read
from burnish.errors import ConfigError, DataError
from burnish.stages.curate import CurateStage
from burnish.stages.python_docs import PythonDocsStage
from burnish.stages.recipe import read_recipe
from burnish.stages.run import run_stage, stage_identity

ROOT = Path(__file__).parents[2]
STEPS_GIVEN = [{"kind": "gopher-quality", "min_words": 3, "min_stop_words": 0}, {"kind": "exact-dedup"}]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BURNISH_WORKERS", "1")
    monkeypatch.delenv("BURNISH_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"n{n}", "text": f"some words of number {n // 2}" if n else "short"} for n in range(12)]
    path = tmp_path / "web.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def stage(data: Path, **settings) -> CurateStage:
    return load(CurateStage, {"data": str(data), "steps": STEPS_GIVEN, **settings})


def test_a_run_leaves_documents_ledger_and_report(data, tmp_path):
    said: list[str] = []
    out = run_stage(stage(data), tmp_path / "out", say=said.append)
    assert {path.name for path in out.iterdir()} == {
        "documents",
        "ledger",
        "places",
        "incidents.parquet",
        "summary.json",
        "waterfall.csv",
        "report.html",
        "run.json",
    }
    record = json.loads((out / "run.json").read_text())
    assert record["state"] == "finished"
    assert record["curation"]["kept"]["documents"] == 6
    assert record["curation"]["dropped"] == {"read": 0, "gopher-quality": 1, "exact-dedup": 5}
    assert "exact-dedup: 6 of 11 documents go on, 5 dropped" in said
    kept = pq.read_table(out / "documents").to_pylist()
    assert {row["source"] for row in kept} == {"web"}
    texts = read(DataSettings(path=str(out / "documents"))).examples
    assert [example.completions[0].text for example in texts] == [row["text"] for row in kept]


def test_steps_are_settings_that_can_be_written_and_read_back(data):
    made = stage(data)
    assert load(CurateStage, json.loads(json.dumps(dump(made)))) == made
    assert made.steps[0] == step_class("gopher-quality")(min_words=3, min_stop_words=0)
    assert sources(made) == {"data.web": str(data)}


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "at least 1 item"),
        ([{"kind": "gopher-qualty"}], "no step 'gopher-qualty'; did you mean 'gopher-quality'"),
        ([{"kind": "exact-dedup", "ignore_cas": True}], "unknown setting 'ignore_cas'.*did you mean 'ignore_case'"),
        ([{"kind": "sample", "share": 2}], "'share' is 2"),
        (["exact-dedup"], "expected a step such as"),
        ([{"kind": "burnish.data.curate.pool:Task"}], "is no step; mark the class @settings"),
    ],
)
def test_mistakes_in_steps_are_told_before_any_work(data, steps, message):
    with pytest.raises(ConfigError, match=message):
        load(CurateStage, {"data": str(data), "steps": steps})


def test_the_key_follows_data_steps_and_their_order(data, tmp_path):
    other = tmp_path / "other.jsonl"
    shutil.copy(data, other)
    key = stage_identity(stage(data)).key
    assert stage_identity(load(CurateStage, {"data": {"web": str(other)}, "steps": STEPS_GIVEN})).key == key
    assert stage_identity(stage(data, steps=STEPS_GIVEN[::-1])).key != key
    other.write_text(data.read_text() + '{"text": "more"}\n')
    assert stage_identity(load(CurateStage, {"data": {"web": str(other)}, "steps": STEPS_GIVEN})).key != key


def test_the_source_of_steps_and_engine_is_in_the_key(data):
    code = stage_identity(stage(data)).code
    files = {name.partition(":")[0] for name in code}
    assert {"gopher_quality.py", "exact.py", "words.py", "lines.py", "canonical.py", "reading.py", "engine.py"} <= files
    assert "fineweb.py" not in files


def test_who_works_is_no_part_of_the_key_and_changes_nothing(data, tmp_path, monkeypatch):
    one = run_stage(stage(data, shard_bytes=60), tmp_path / "one", say=lambda line: None)
    monkeypatch.setenv("BURNISH_WORKERS", "2")
    two = run_stage(stage(data, shard_bytes=60), tmp_path / "two", say=lambda line: None)
    files = [path.relative_to(one) for path in one.rglob("*.parquet")]
    assert len(files) > 10
    assert all((one / path).read_bytes() == (two / path).read_bytes() for path in files)
    keys = [json.loads((out / "run.json").read_text())["key"] for out in (one, two)]
    assert keys[0] == keys[1]
    monkeypatch.setenv("BURNISH_WORKERS", "none")
    with pytest.raises(ConfigError, match="BURNISH_WORKERS is 'none'; expected a whole number"):
        stage(data).plan()


@pytest.mark.parametrize("words", ["a.jsonl,b=a.jsonl", "x=", "a.jsonl,a.txt"])
def test_data_by_source(words):
    given = words.split(",")
    if words == "a.jsonl,b=a.jsonl":
        assert load(CurateStage, {"data": given, "steps": STEPS_GIVEN}).data == {"a": "a.jsonl", "b": "a.jsonl"}
        return
    with pytest.raises(ConfigError, match="expected SOURCE=PATH or PATH, every source once"):
        load(CurateStage, {"data": given, "steps": STEPS_GIVEN})


def test_the_plan_looks_at_files_and_steps(data):
    assert stage(data).plan().facts == {"files": 1, "steps": ["gopher-quality", "exact-dedup"]}
    with pytest.raises(ConfigError, match=r"data.none: no such file"):
        load(CurateStage, {"data": {"none": "none.jsonl"}, "steps": STEPS_GIVEN}).plan()


def test_names_of_steps():
    steps = steps_from([{"kind": "sample", "share": 0.5}, {"kind": "exact-dedup"}, {"kind": "sample", "share": 0.2}])
    assert step_names(steps) == ("sample", "exact-dedup", "sample-2")


@pytest.mark.parametrize("kind", STEPS)
def test_every_registered_step_carries_its_kind(kind):
    assert next(leaf for leaf in leaves(step_class(kind)) if leaf.name == "kind").default == kind


def test_the_verbs(data, tmp_path, capsys):
    out = str(tmp_path / "runs" / "trial")
    steps = json.dumps(STEPS_GIVEN)
    assert main(["curate", "--data", str(data), "--steps", steps, "--out", out, "--workers", "1"]) == 0
    capsys.readouterr()
    assert main(["curate", "explain", "n0"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"of {Path('runs/trial')}\nn0: dropped by 'gopher-quality' for 'few-words'")
    words = ["curate", "what-if", "--run", out, "--step", "gopher-quality", "--rule", "few-words"]
    assert main([*words, "--threshold", "1", "--samples", "1"]) == 0
    assert "would pass: 1 documents (5 bytes, 1 words)" in capsys.readouterr().out
    assert main([*words, "--threshold", "x"]) == 2
    assert "--threshold is 'x'; expected a number" in capsys.readouterr().err
    assert main(["curate", "what-if", "--run", out]) == 2
    assert "--step is required" in capsys.readouterr().err
    assert main(["curate", "explain", "--run", out]) == 2
    assert main(["curate", "explain", "zzz", "--run", out]) == 1
    assert main(["curate", "--help"]) == 0
    assert "--intake.max_bytes" in capsys.readouterr().out


def test_without_a_curation_the_folder_has_to_be_named(data, capsys):
    assert main(["curate", "explain", "n0"]) == 1
    assert "name its folder with --run DIR" in capsys.readouterr().err


def test_the_demo_runs_end_to_end(tmp_path, monkeypatch, capsys):
    """With a small library in place of the installed one, so that it takes seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BURNISH_STORE", str(tmp_path / "store"))
    library = small_library(tmp_path)
    recipe = yaml.safe_load((ROOT / "recipes" / "curate-demo.yaml").read_text())
    recipe["stages"]["docs"]["topics"] = str(library / "pydoc_data" / "topics.py")
    Path("demo.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    assert main(["curate", "demo.yaml", "--workers", "1"]) == 0
    assert "finished: runs/curate-demo" in capsys.readouterr().out
    assert {path.name for path in Path("runs/curate-demo").iterdir()} >= {"documents", "report.html", "summary.json"}
    assert main(["curate", "explain", "topic:loops"]) == 0
    assert "topic:loops: kept" in capsys.readouterr().out
    assert main(["curate", "explain", "topic:empty", "--run", "runs/curate-demo"]) == 0
    assert "topic:empty: dropped by 'gopher-quality'" in capsys.readouterr().out
    assert main(["curate", "explain", "topic:empty", "--run", "runs"]) == 1
    assert "runs holds no finished curation" in capsys.readouterr().err
    assert main(["curate", "demo.yaml"]) == 0
    assert "done before" in capsys.readouterr().out


def small_library(folder: Path) -> Path:
    library = folder / "lib"
    (library / "pydoc_data").mkdir(parents=True)
    prose = "The loop runs over the items of a list and stops at the end of it, or where it is told to. "
    prose += "What follows the colon is done for every one of them, in the order in which they stand."
    (library / "pydoc_data" / "topics.py").write_text(f"topics = {{'loops': {prose!r}, 'empty': 'x'}}\n")
    (library / "shapes.py").write_text(
        '"""Shapes."""\nclass Square:\n    """A square.\n\n    It has sides."""\n'
        '    def area(self):\n        """The area."""\n\nasync def draw():\n    """Draw."""\n'
    )
    (library / "broken.py").write_text("def (:\n")
    (library / "test").mkdir()
    (library / "test" / "left_out.py").write_text('"""Not this."""\n')
    return library


def test_documentation_is_parsed_and_never_imported(tmp_path):
    library = small_library(tmp_path)
    rows = list(python_docs(library / "pydoc_data" / "topics.py"))
    assert [row["id"] for row in rows] == [
        "topic:empty",
        "topic:loops",
        "shapes",
        "shapes.Square",
        "shapes.Square.area",
        "shapes.draw",
    ]
    assert rows[3] == {"id": "shapes.Square", "text": "A square.\n\nIt has sides.", "source": "modules"}
    with pytest.raises(DataError, match="has no topics"):
        list(python_docs(library / "shapes.py"))
    with pytest.raises(DataError, match="cannot be read as pydoc's topics"):
        list(python_docs(tmp_path / "none.py"))


def test_one_source_alone_is_a_domain_of_its_own(tmp_path):
    topics = str(small_library(tmp_path) / "pydoc_data" / "topics.py")
    found = {}
    for only in ("topics", "modules"):
        made = load(PythonDocsStage, {"topics": topics, "only": only})
        out = run_stage(made, tmp_path / only, say=lambda line: None)
        found[only] = [json.loads(line)["id"] for line in (out / "documents.jsonl").read_text().splitlines()]
    assert found == {
        "topics": ["topic:empty", "topic:loops"],
        "modules": ["shapes", "shapes.Square", "shapes.Square.area", "shapes.draw"],
    }


def test_what_the_topics_hold_is_in_the_key(tmp_path):
    library = small_library(tmp_path)
    topics = str(library / "pydoc_data" / "topics.py")
    running = load(PythonDocsStage, {})
    assert sources(running) == {"topics": str(TOPICS)}
    assert load(PythonDocsStage, {"topics": "running"}) == running
    assert stage_identity(running).key != stage_identity(load(PythonDocsStage, {"topics": topics})).key
    assert running.plan().facts["topics"] > 50


def test_the_running_python_carries_documentation():
    rows = list(itertools.islice(python_docs(TOPICS), 200))
    assert len({row["id"] for row in rows}) == 200
    assert {row["source"] for row in rows} == {"topics", "modules"}
    assert any(row["id"] == "topic:with" for row in rows)


def test_the_shipped_demo_is_a_recipe(monkeypatch, tmp_path):
    monkeypatch.setenv("BURNISH_STORE", str(tmp_path))
    recipe = read_recipe(ROOT / "recipes" / "curate-demo.yaml")
    assert [step.name for step in recipe.steps] == ["docs", "curated"]
