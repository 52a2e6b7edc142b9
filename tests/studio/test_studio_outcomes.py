"""What judgements hold and come to, where prompts go next, and that every export reads back."""

from __future__ import annotations

import json
import unicodedata

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from burnish.cli import main
from burnish.data.read import DataSettings, read
from burnish.example import example_dict, example_from
from burnish.studio import passwords
from burnish.studio.adjudication import adjudicate, disputes
from burnish.studio.agreed import outcome, outcomes, together
from burnish.studio.assignment import next_task
from burnish.studio.backup import backup, restore
from burnish.studio.contents import Comparison, Marks, Ranking, Rating, Review, Work, shown, stored
from burnish.studio.database import Database
from burnish.studio.demo import fill
from burnish.studio.exporting import export, safe_cell
from burnish.studio.judgements import Submission, submit
from burnish.studio.options import Options
from burnish.studio.projects import project_named
from burnish.studio.refusals import Invalid
from burnish.studio.shapes import SHAPES
from burnish.studio.tables import Item, Judgement, Person, Project
from tests.studio.studio_people import SECRET, compare, items, people

ORDERS = st.integers(2, 6).flatmap(lambda count: st.permutations(range(count)))


def work(count: int) -> Work:
    return Work(lengths=(9,) * count, limits=Options(scales=("helpful",)))


@given(order=ORDERS, data=st.data())
def test_contents_are_kept_by_answer_and_shown_by_place(order, data):
    count = len(order)
    ranks = data.draw(st.permutations(range(count)))
    kept = stored(Ranking, {"ranks": list(ranks)}, order, work(count))
    assert all(kept["ranks"][answer] == ranks[place] for place, answer in enumerate(order))
    assert shown(Ranking, kept, order)["ranks"] == list(ranks)
    scores = [{"helpful": 1 + rank % 5} for rank in ranks]
    kept = stored(Rating, {"scores": scores}, order, work(count))
    assert shown(Rating, kept, order)["scores"] == scores
    span = {"answer": data.draw(st.integers(0, count - 1)), "start": 2, "end": 9, "label": "good"}
    kept = stored(Marks, {"spans": [span]}, order, work(count))
    assert kept["spans"][0]["answer"] == order[span["answer"]]
    assert shown(Marks, kept, order)["spans"] == [span]


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        (Comparison, {"better": 0}, "expected 1 to 3"),
        (Comparison, {"better": None, "strength": 1}, "a tie has none"),
        (Comparison, {"better": True, "strength": 1}, "better"),
        (Comparison, {}, "better"),
        (Ranking, {"ranks": [0, 2]}, "every rank from 0"),
        (Ranking, {"ranks": [0]}, "found 1 for 2"),
        (Rating, {"scores": [{"helpful": 6}, {"helpful": 1}]}, "from 1 to 5"),
        (Rating, {"scores": [{"honest": 1}, {"helpful": 1}]}, "expected helpful"),
        (Marks, {"spans": [{"answer": 2, "start": 0, "end": 1, "label": "good"}]}, "found answer 2"),
        (Marks, {"spans": [{"answer": 1, "start": 0, "end": 10, "label": "good"}]}, "9 characters"),
        (Marks, {"spans": [{"answer": 1, "start": 0, "end": 1, "label": "bad"}]}, "expected one of good"),
        (Review, {"verdict": "edit"}, "with a text"),
        (Review, {"verdict": "accept", "text": "x"}, "without a text"),
        (Review, {"verdict": "edit", "text": "\ud800"}, "surrogate"),
    ],
)
def test_contents_that_are_wrong_are_named(kind, content, message):
    with pytest.raises(Invalid, match=message):
        stored(kind, content, [1, 0], work(2))


def accept(text=None, verdict="accept"):
    return {"verdict": verdict, **({"text": text} if text else {})}


@pytest.mark.parametrize(
    ("kind", "contents", "agreed", "weight"),
    [
        ("compare", [{"better": 0}, {"better": 0}, {"better": 1}], {"better": 0}, 2 / 3),
        ("compare", [{"better": 0}, {"better": 1}], None, 0.5),
        ("compare", [{"better": None}, {"better": None}, {"better": 1}], {"better": None}, 2 / 3),
        ("thumbs", [{"good": True}, {"good": True}], {"good": True}, 1.0),
        ("evaluate", [accept(), accept(), accept(verdict="reject")], {"verdict": "accept"}, 2 / 3),
        (
            "evaluate",
            [accept("A b", "edit"), accept("A  b", "edit"), accept()],
            {"verdict": "edit", "text": "A b"},
            2 / 3,
        ),
        ("evaluate", [accept("A", "edit"), accept("B", "edit"), accept()], None, 2 / 3),
        ("evaluate", [accept(verdict="reject"), accept()], None, 0.5),
        ("rank", [{"ranks": [0, 1, 2]}, {"ranks": [0, 2, 1]}, {"ranks": [0, 1, 2]}], {"ranks": [0, 1, 2]}, 8 / 9),
        ("rank", [{"ranks": [0, 1]}, {"ranks": [1, 0]}], None, 0.0),
        ("rate", [{"scores": [{"helpful": 5}]}, {"scores": [{"helpful": 3}]}], {"scores": [{"helpful": 4.0}]}, 0.75),
    ],
)
def test_what_several_people_come_to(kind, contents, agreed, weight):
    project = Project(kind=kind, options={"scales": ["helpful"]})
    came_to = together(project, contents)
    assert (came_to.content, came_to.disputed) == (agreed, agreed is None)
    assert came_to.weight == pytest.approx(weight)


def test_a_prompt_goes_from_writing_over_review_to_an_answer(database):
    with database.write() as session:
        writer, one, two = people(session, 3)
        answer = compare(session, slug="answer", kind="demonstrate", overlap=1)
        review = compare(session, slug="review", kind="evaluate", overlap=2, feeds="answer")
        write = compare(session, slug="write", kind="create", overlap=1, feeds="review", quotas={"en": 1, "is": 0})

        def do(project, person, content, client_id, **more):
            handed = next_task(session, SECRET, project, person, now=1)
            assert handed.item is not None, handed.why
            sent = Submission(client_id=client_id, item_id=handed.item.id, content=content, **more)
            return submit(session, person, sent, 2).judgement

        first = do(write, writer, {"text": "What is opl?"}, "write-first")
        assert next_task(session, SECRET, write, writer, now=1).why == "quota"
        better = {"text": "What is opal?"}
        sent = Submission(client_id="write-again", item_id=first.item_id, content=better, supersedes=first.id)
        submit(session, writer, sent, 3)
        waiting = select(Item.prompt).where(Item.project_id == review.id, Item.state == "open")
        assert session.scalars(waiting).all() == [[{"role": "user", "content": "What is opal?"}]]
        assert next_task(session, SECRET, review, writer, now=1).why == "done"
        proposed = {"verdict": "edit", "text": "What is an opal?"}
        do(review, one, proposed, "review-one")
        assert next_task(session, SECRET, answer, one, now=1).item is None
        do(review, two, proposed, "review-two")
        do(answer, one, {"text": "A gem."}, "answer-one")
        (line,) = export(session, answer, "demonstrations", "jsonl")
        (prompt,) = export(session, review, "prompts", "jsonl")
    assert '"content": "What is an opal?"' in line
    assert '"content": "What is an opal?"' in prompt
    steps = [[step["project"] for step in json.loads(text)["columns"]["studio"]["lineage"]] for text in (line, prompt)]
    assert steps == [["review", "write"], ["write"]]


@pytest.fixture
def demo(sqlite, monkeypatch):
    monkeypatch.setattr(passwords, "_HASHER", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    with sqlite.write() as session:
        fill(session, SECRET, 1_800_000_000_000)
    return sqlite


def test_what_all_items_came_to_is_what_each_came_to(demo):
    with demo.write() as session:
        (reviewer,) = people(session, 1, role="reviewer")
        project = project_named(session, "demo-compare")
        item = disputes(session, project)[0]["item"]
        for better in (0, 1):
            content = {"better": better, "strength": 1}
            adjudicate(session, item, reviewer, content=content, reason="", now=1)
        assert outcomes(session, project)[item].content["better"] == 1
        for project in session.scalars(select(Project).where(Project.kind != "arena")).all():
            items = session.scalars(select(Item).where(Item.project_id == project.id)).all()
            one_by_one = {item.id: outcome(session, project, item) for item in items}
            assert outcomes(session, project) == {key: one for key, one in one_by_one.items() if one is not None}
        assert len(disputes(session, project_named(session, "demo-rank"), limit=1)) == 1


def exports(database) -> dict[str, str]:
    with database.read() as session:
        wanted = [
            (f"demo-{kind}", shape, file)
            for shape, (kinds, _) in SHAPES.items()
            for kind in kinds
            if kind != "arena"
            for file in ("jsonl", "csv")
        ]
        wanted += [("demo-spans", "judgements", "jsonl"), ("demo-rank", "judgements", "csv")]
        return {
            f"{slug}-{shape}.{file}": "".join(export(session, project_named(session, slug), shape, file))
            for slug, shape, file in wanted
        }


def test_every_export_of_the_sample_reads_back_into_the_same_examples(demo, tmp_path):
    made = exports(demo)
    for name, text in made.items():
        assert text.count("\n") > 2, name
        if name.endswith("judgements.jsonl") or not name.endswith(".jsonl"):
            continue
        (tmp_path / name).write_text(text, encoding="utf-8")
        back = read(DataSettings(path=str(tmp_path / name))).examples
        again = [example_from(example_dict(example), file="", line=0) for example in back]
        assert again == list(back)
        assert [example.columns["studio"]["project"] in name for example in back] == [True] * text.count("\n")
    pairs = read(DataSettings(path=str(tmp_path / "demo-compare-preferences.jsonl"))).examples
    assert {tuple(one.rank for one in example.completions) for example in pairs} == {(0, 1)}


def test_a_restored_copy_exports_the_same_bytes(demo, tmp_path):
    before = exports(demo)
    for name in ("saved.db", "saved.jsonl"):
        copy = Database(f"sqlite:///{tmp_path / f'of-{name}.db'}")
        restore(copy, backup(demo, tmp_path / name))
        assert exports(copy) == before
        copy.close()


def test_a_copy_in_postgres_exports_the_same_bytes(demo, new_postgres, tmp_path):
    copy = Database(new_postgres)
    restore(copy, backup(demo, tmp_path / "saved.jsonl"))
    assert exports(copy) == exports(demo)
    copy.close()


def test_only_the_newest_of_a_chain_of_corrections_is_exported(database):
    with database.write() as session:
        (ada,) = people(session, 1)
        project = compare(session, kind="thumbs", overlap=1)
        items(session, project, 1, num_answers=1)
        item = next_task(session, SECRET, project, ada, now=1).item
        before = None
        for number, good in enumerate((True, True, False)):
            sent = Submission(
                client_id=f"correction-{number}", item_id=item.id, content={"good": good}, supersedes=before
            )
            before = submit(session, ada, sent, 2 + number).judgement.id
        (line,) = export(session, project, "unpaired", "jsonl")
    (vote,) = json.loads(line)["columns"]["studio"]["votes"]
    assert (vote["judgement"], vote["content"]) == (before, {"good": False})
    assert json.loads(line)["completions"][0]["label"] is False


def test_the_sample_leaves_something_to_do_everywhere(demo):
    with demo.write() as session:
        (newcomer,) = people(session, 1)
        for project in session.scalars(select(Project).where(Project.kind != "arena")).all():
            assert next_task(session, SECRET, project, newcomer, now=1_800_000_000_000).item is not None, project.slug
        assert session.scalar(select(func.count()).select_from(Judgement)) > 50


@pytest.mark.parametrize(("tag", "script", "bidirectional"), [("he", "HEBREW", "R"), ("hi", "DEVANAGARI", "L")])
def test_the_sample_has_work_in_other_scripts_and_people_who_did_some(demo, tag, script, bidirectional):
    with demo.write() as session:
        (newcomer,) = people(session, 1)
        newcomer.languages = [tag]
        for project in session.scalars(select(Project).where(Project.kind.not_in(("arena", "create")))).all():
            item = next_task(session, SECRET, project, newcomer, now=1_800_000_000_000).item
            texts = [item.prompt[-1]["content"], *(answer["messages"][-1]["content"] for answer in item.answers)]
            for text in texts:
                assert unicodedata.name(text[0]).startswith(script), (project.slug, text)
                assert unicodedata.bidirectional(text[0]) == bidirectional
        judged = select(Judgement.content).join(Item, Item.id == Judgement.item_id).join(Project)
        rewritten = session.scalars(judged.where(Item.language == "ar", Project.kind == "reformulate")).one()
        answered = session.scalars(judged.where(Item.language == "zh", Project.kind == "demonstrate")).one()
    assert {unicodedata.bidirectional(letter) for letter in rewritten["text"] if letter.isalpha()} == {"AL"}
    assert answered["text"].startswith("欧泊")


CELLS = {"=1": "'=1", "＝1": "'＝1", "\t=1": "'\t=1", "-x": "'-x", -1.5: "-1.5", None: "", True: "True"}


@pytest.mark.parametrize(("value", "cell"), CELLS.items())
def test_cells_that_a_spreadsheet_would_run_are_quoted(value, cell):
    assert safe_cell(value) == cell


def test_the_command_line_saves_restores_and_invites(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["studio", "invite", "--role", "admin", "--languages", "en", "is", "--folder", "here"]) == 0
    assert "/join#" in capsys.readouterr().out
    assert main(["studio", "backup", "saved.jsonl", "--folder", "here"]) == 0
    assert main(["studio", "restore", "saved.jsonl", "--folder", "there"]) == 0
    assert main(["studio", "restore", "saved.jsonl", "--folder", "there"]) == 1
    assert main(["studio", "serve", "more", "--role", "admin", "--port", "x"]) == 2
    told = capsys.readouterr().err
    assert "holds a studio already" in told
    assert "--role does not go with burnish studio serve" in told
    assert "unexpected word 'more'" in told
    assert main(["studio", "bakcup"]) == 2
    assert main(["studio", "--help"]) == 0
    assert "--max_upload_mb" in capsys.readouterr().out.replace("-", "_").replace("__max", "--max")
    assert main(["studio", "--host", "0.0.0.0", "--port", "0", "--folder", "nowhere"]) == 1
    assert "BURNISH_STUDIO_SECRET" in capsys.readouterr().err


def test_every_export_names_pseudonyms_and_nobody(demo):
    with demo.read() as session:
        everybody = session.scalars(select(Person)).all()
        ring = project_named(session, "demo-arena")
        made = {**exports(demo), "arena": "".join(export(session, ring, "preferences", "jsonl"))}
    names = [person.name for person in everybody if person.name != "demo"]  # that is what the projects are called too
    assert len(names) == 4
    for file, text in made.items():
        assert [name for name in names if name in text] == [], file
        assert any(person.pseudonym in text for person in everybody), file
