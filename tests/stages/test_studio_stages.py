"""`studio-export` and `studio-priorities`: from votes to data, and from an ensemble to what is asked next."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from burnish.config import load
from burnish.data.read import DataSettings, read
from burnish.errors import BurnishError, ConfigError, DataError
from burnish.example import read_jsonl
from burnish.stages.evaluate_reward import MEMBER_SCORES
from burnish.stages.graph import run_recipe
from burnish.stages.recipe import read_recipe
from burnish.stages.run import make_artefact, run_stage, stage_identity
from burnish.stages.studio_export import StudioExportStage
from burnish.stages.studio_priorities import StudioPrioritiesStage, disagreement
from burnish.studio.assignment import next_task
from burnish.studio.database import Database
from burnish.studio.judgements import Submission, submit
from burnish.studio.migrate import migrate
from burnish.studio.place import address_of
from burnish.studio.projects import project_named
from burnish.studio.refusals import StudioError
from burnish.studio.tables import Item
from tests.stages.test_evaluate_reward import write_reward_model
from tests.stages.tiny_chat import GEMS, write_model
from tests.studio.studio_people import SECRET, compare, people


def item(project, number: int, *, more: str = "") -> Item:
    gem = GEMS[number]
    said = (f"{gem} is a gem.{more}", f"{gem} no" + " no" * number)
    return Item(
        project_id=project.id,
        key=gem,
        language="en",
        prompt=[{"role": "user", "content": f"What is {gem}?"}],
        answers=[{"messages": [{"role": "assistant", "content": text}], "model": None} for text in said],
        priority=0.0,
        state="open",
        judged=0,
        origin={},
        created_at=0,
    )


@pytest.fixture
def place(tmp_path):
    """The folder of a studio with one project of six open pairs, and its database."""
    folder = tmp_path / "studio"
    database = Database(f"sqlite:///{folder / 'studio.db'}")
    migrate(database, lambda: tmp_path)
    with database.write() as session:
        people(session, 3)
        project = compare(session, overlap=1)
        session.add_all([item(project, number) for number in range(6)])
    yield folder, database
    database.close()


def judge(database: Database, count: int, *, person_id: int = 1) -> None:
    """Let one person find the first answers better, as the item has them."""
    from burnish.studio.tables import Person

    with database.write() as session:
        project, person = project_named(session, "gems"), session.get_one(Person, person_id)
        for _ in range(count):
            handed = next_task(session, SECRET, project, person, now=1000)
            content = {"better": list(handed.lease.shown_order).index(0), "strength": 1}
            name = f"client-{handed.item.id}-{person_id}"
            submit(session, person, Submission(client_id=name, item_id=handed.item.id, content=content), 2000)


def export(folder: Path, **fields) -> StudioExportStage:
    return load(StudioExportStage, {"studio": str(folder), "project": "gems", **fields})


def key(stage) -> str:
    return stage_identity(stage).key


def test_what_people_agreed_on_becomes_data_that_the_trainers_read(place, tmp_path):
    folder, database = place
    judge(database, 4)
    said: list[str] = []
    run_stage(export(folder), tmp_path / "votes", say=said.append)
    examples = read(DataSettings(path=str(tmp_path / "votes" / "examples.jsonl"))).examples
    assert [example.id for example in examples] == list(GEMS[:4])
    assert [[one.rank for one in example.completions] for example in examples] == [[0, 1]] * 4
    (vote,) = examples[0].columns["studio"]["votes"]
    assert vote["pseudonym"] == "p-an0"
    assert "annotator 0" not in (tmp_path / "votes" / "examples.jsonl").read_text()
    record = json.loads((tmp_path / "votes" / "run.json").read_text())
    assert record["studio"] == {"examples": 4, "votes": 4, "people": 1}
    assert record["inputs"]["studio"]["key"].startswith("studio:")
    assert "4 examples from 4 judgements by 1 people" in said


def test_new_votes_make_a_new_artefact_and_anything_else_does_not(place, tmp_path):
    folder, database = place
    judge(database, 2)
    before = key(export(folder))
    with database.write() as session:
        people(session, 1, role="reviewer")
        handed = next_task(session, SECRET, project_named(session, "gems"), people(session, 1, role="x")[0], now=5)
        assert handed.item is not None
    assert key(export(folder)) == before
    moved = tmp_path / "moved"
    folder.rename(moved)
    assert key(export(moved)) == before, "where it lies does not matter"
    moved.rename(folder)
    assert key(export(folder, shape="rankings")) != before
    judge(database, 1, person_id=2)
    assert key(export(folder)) != before


def test_what_is_written_is_what_the_key_was_made_of(place, tmp_path):
    folder, database = place
    judge(database, 2)
    stage = export(folder)
    made_of = stage_identity(stage)
    judge(database, 1, person_id=2)
    out = make_artefact(stage, made_of, tmp_path / "store", name="votes", say=lambda line: None)
    assert len(list(read_jsonl(out / "examples.jsonl"))) == 2


def test_the_weight_of_agreement_is_a_bound(place):
    folder, database = place
    with database.write() as session:
        project = compare(session, slug="thrice", overlap=3)
        session.add(item(project, 7))
        from burnish.studio.tables import Person

        for person_id, better in ((1, 0), (2, 0), (3, 1)):
            person = session.get_one(Person, person_id)
            handed = next_task(session, SECRET, project, person, now=1)
            content = {"better": list(handed.lease.shown_order).index(better), "strength": 1}
            submit(
                session, person, Submission(client_id=f"c-{person_id}-xxxx", item_id=handed.item.id, content=content), 2
            )
    assert export(folder, project="thrice", agreement=0.6).plan().facts == {"examples": 1}
    with pytest.raises(DataError, match=r"below 0\.7"):
        export(folder, project="thrice", agreement=0.7).plan()


def test_what_is_not_there_or_must_not_be_recorded_is_refused(place, tmp_path, monkeypatch):
    folder, database = place
    for stage, error, words in (
        (export(folder), DataError, "no judgements to take yet"),
        (export(folder, project="none"), BurnishError, "no project 'none'"),
        (export(folder, shape="unpaired"), BurnishError, "makes no unpaired"),
        (export(tmp_path / "none"), StudioError, "found no studio"),
        (export("postgresql://me:hidden@host/name"), StudioError, "name a variable"),
        (export("env:NO_SUCH_VARIABLE"), StudioError, "holds no address"),
    ):
        with pytest.raises(error, match=words) as caught:
            stage.plan()
        assert "hidden" not in str(caught.value)
    monkeypatch.setenv("GEMS_DATABASE", "postgresql://me:hidden@host/name")
    assert address_of("env:GEMS_DATABASE") == "postgresql+pg8000://me:hidden@host/name"
    with database.write() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = 'older'")
    with pytest.raises(StudioError, match="has schema older"):
        export(folder).plan()


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([[1.0, 5.0], [0.0, 4.0]], 0.0),  # another origin is no disagreement
        ([[50.0, -50.0], [0.0, 0.0]], 0.5),
        ([[0.0, math.log(3)], [0.0, 0.0]], 0.125),  # 1/2 and 3/4
        ([[0.0, math.log(3)], [0.0, 0.0], [0.0, 0.0]], 0.25 / 3),
        ([[-1e6, 1e6], [0.0, 0.0]], 0.5),
    ],
)
def test_disagreement_is_the_spread_of_the_predicted_preference(scores, expected):
    assert disagreement(scores) == pytest.approx(expected, abs=1e-12)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    root = tmp_path_factory.mktemp("ensemble")
    base = write_model(root / "base")
    return write_reward_model(root / "heads" / "model", base, seed=3, heads=3).parent


def priorities(folder: Path, model: Path | list[str], **fields) -> StudioPrioritiesStage:
    names = [str(model)] if isinstance(model, Path) else model
    data = {"studio": str(folder), "project": "gems", "model": names, "precision": "fp32", **fields}
    return load(StudioPrioritiesStage, data)


def test_the_queue_shows_first_what_the_ensemble_disagrees_on(place, ensemble, tmp_path):
    folder, database = place
    judge(database, 1)
    with database.write() as session:
        session.add(item(project_named(session, "gems"), 8, more=" It is old." * 60))
    run_stage(priorities(folder, ensemble, longest=200), tmp_path / "next", say=lambda line: None)
    scores = json.loads((tmp_path / "next" / "scores.json").read_text())
    assert (scores["members"], scores["left_alone"]) == (3, 1)
    assert set(scores["priorities"]) == set(GEMS[1:6])
    looked = {one.id: one.columns[MEMBER_SCORES] for one in read_jsonl(tmp_path / "next" / "examples.jsonl")}
    assert all(disagreement(looked[name]) == value > 0 for name, value in scores["priorities"].items())
    first = max(scores["priorities"], key=scores["priorities"].get)
    with database.write() as session:
        from burnish.studio.tables import Person

        project = project_named(session, "gems")
        handed = next_task(session, SECRET, project, session.get_one(Person, 2), now=3000)
        assert (handed.item.key, handed.item.priority) == (first, scores["priorities"][first])
        others = {one.key: one.priority for one in session.query(Item).filter_by(project_id=project.id)}
    assert others[GEMS[0]] == others[GEMS[8]] == 0.0


def test_priorities_are_only_written_down_where_that_is_wanted_and_setting_them_changes_no_key(
    place, ensemble, tmp_path
):
    folder, database = place
    stage = priorities(folder, ensemble, apply=False)
    run_stage(stage, tmp_path / "next", say=lambda line: None)
    with database.read() as session:
        assert {one.priority for one in session.query(Item)} == {0.0}
    before = key(priorities(folder, ensemble))
    run_stage(priorities(folder, ensemble), tmp_path / "set", say=lambda line: None)
    assert key(priorities(folder, ensemble)) == before
    judge(database, 1)
    assert key(priorities(folder, ensemble)) != before


def test_one_reward_model_cannot_disagree(place, ensemble):
    folder, _ = place
    with pytest.raises(ConfigError, match="cannot disagree with itself"):
        priorities(folder, [str(ensemble / "model" / "head-0")]).plan()


def test_votes_to_reward_models_to_the_next_questions_is_one_recipe(place, tmp_path, monkeypatch):
    """That of the docs, with a tiny model; again without new votes, nothing is made anew."""
    folder, database = place
    judge(database, 4)
    monkeypatch.setenv("BURNISH_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "studio.md").read_text(encoding="utf-8")
    (block,) = [text.partition("```")[0] for text in page.split("```yaml\n")[1:] if "studio-priorities" in text]
    (tmp_path / "loop.yaml").write_text(block, encoding="utf-8")
    tiny = {"start": {"model": str(write_model(tmp_path / "base"))}, "reward": {"steps": 1, "held_out": 0}}
    at = {name: {"studio": str(folder), "project": "gems"} for name in ("votes", "next")}

    def made() -> list[str]:
        recipe = read_recipe(tmp_path / "loop.yaml", [{"stages": {**tiny, **at}}])
        run_recipe(recipe, say=lambda line: None)
        return [step.identity.key for step in recipe.steps]

    first = made()
    with database.read() as session:
        assert len({one.priority for one in session.query(Item).filter_by(state="open")} - {0.0}) == 2
    assert made() == first
    judge(database, 1)
    assert made() != first
