"""Files in: every format of rows and kind of file that the library reads, gold, and the way back to the origin."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import argon2
import pyarrow
import pyarrow.parquet
import pytest
from sqlalchemy import select

from burnish.data.formats import FORMATS
from burnish.data.read import DataSettings, read
from burnish.studio import passwords
from burnish.studio.assignment import next_task
from burnish.studio.exporting import export
from burnish.studio.importing import import_file
from burnish.studio.judgements import Submission, submit
from burnish.studio.refusals import Invalid
from burnish.studio.tables import Item
from tests.studio.studio_browser import Browser, studio
from tests.studio.studio_people import SECRET, compare, people

KIND_OF_COUNT = {1: "thumbs", 2: "compare", 3: "rank"}
WITH_PROMPTS = [form for form in FORMATS if form.name != "text"]
ROWS = [{"prompt": f"Þú {number}?", "chosen": f"já {number}", "rejected": f"نعم {number}"} for number in range(3)]


def written(tmp_path: Path, *rows: dict[str, object]) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def brought_in(session, project, path: Path, *, gold: bool = False) -> list[Item]:
    import_file(session, project, path, name=path.name, language="en", gold=gold, now=0)
    return list(session.scalars(select(Item).where(Item.project_id == project.id).order_by(Item.id)))


def texts(messages) -> list[tuple[str, str]]:
    return [(one["role"], one["content"]) for one in messages]


@pytest.mark.parametrize("form", WITH_PROMPTS, ids=lambda form: form.name)
def test_a_row_of_each_format_becomes_an_item_with_its_prompt_and_answers(sqlite, tmp_path, form):
    path = written(tmp_path, form.worked)
    examples = read(DataSettings(path=str(path))).examples
    with sqlite.write() as session:
        asked = brought_in(session, compare(session, slug="asked", kind="evaluate", overlap=1), path)
        count = len(examples[0].completions)
        judged = []
        if count:
            judged = brought_in(session, compare(session, slug="judged", kind=KIND_OF_COUNT[count], overlap=1), path)
        found = [(texts(item.prompt), [texts(one["messages"]) for one in item.answers]) for item in (*asked, *judged)]
    prompts = [[(one.role, one.content) for one in example.prompt] for example in examples]
    answers = [[[(m.role, m.content) for m in one.messages] for one in e.completions] for e in examples]
    assert prompts[0] != []
    wanted = [(prompt, []) for prompt in prompts]
    wanted += list(zip(prompts, answers, strict=True)) if count else []
    assert found == wanted


def test_plain_text_has_no_prompt_to_ask(sqlite, tmp_path):
    with sqlite.write() as session, pytest.raises(Invalid, match="'prompt': found nothing"):
        brought_in(session, compare(session, kind="evaluate", overlap=1), written(tmp_path, {"text": "Opal."}))


def table(delimiter: str) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ROWS[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode()


def parquet() -> bytes:
    data = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), data)
    return data.getvalue()


LINES = "".join(f"{json.dumps(row)}\n" for row in ROWS).encode()
FILES = {
    "rows.jsonl": LINES,
    "rows.ndjson": LINES,
    "ROWS.JSON": json.dumps(ROWS).encode(),
    "rows.csv": table(","),
    "rows.tsv": table("\t"),
    "rows.parquet": parquet(),
}


@pytest.fixture
def admin(sqlite, tmp_path, monkeypatch):
    monkeypatch.setattr(passwords, "_HASHER", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    with sqlite.write() as session:
        compare(session, overlap=1)
    return Browser(studio(sqlite, tmp_path, lambda: 1_800_000_000_000)).join("Eva", "admin")


def upload(admin: Browser, name: str, data: bytes, **fields: str):
    return admin.client.post(
        "/api/projects/gems/import",
        data={"language": "en", **fields},
        files={"file": (name, data)},
        headers=admin.headers(),
    )


@pytest.mark.parametrize("name", FILES)
def test_each_kind_of_file_brings_the_same_items(sqlite, admin, name):
    assert upload(admin, name, FILES[name]).json() == {"items": 3, "known": 0}
    with sqlite.read() as session:
        found = session.scalars(select(Item).order_by(Item.id)).all()
    said = [[item.prompt[0]["content"], *(one["messages"][0]["content"] for one in item.answers)] for item in found]
    assert said == [list(row.values()) for row in ROWS]


@pytest.mark.parametrize("name", ["rows.txt", "rows.jsonl.gz", "rows.json.zst", "rows.pdf", "rows"])
def test_what_has_no_rows_or_could_unpack_to_any_size_is_refused(admin, name):
    answer = upload(admin, name, LINES)
    assert answer.status_code == 422
    assert f"found the file '{name}'; expected one that ends in .jsonl" in answer.json()["message"]


RANKED = {"prompt": "Name a gem.", "completions": ["Mud.", "Ruby.", "Opal."], "ranks": [5, 2, 2]}
LABELLED = {"prompt": "Name a gem.", "completion": "Mud.", "label": False}


@pytest.mark.parametrize(
    ("kind", "row", "gold"),
    [
        ("compare", ROWS[0], {"better": 0}),
        ("compare", {**RANKED, "completions": ["Mud.", "Opal."], "ranks": [1, 0]}, {"better": 1}),
        ("compare", {**RANKED, "completions": ["Ruby.", "Opal."], "ranks": [0, 0]}, {"better": None}),
        ("rank", RANKED, {"ranks": [1, 0, 0]}),
        ("thumbs", LABELLED, {"good": False}),
    ],
)
def test_a_gold_row_says_what_is_right(sqlite, tmp_path, kind, row, gold):
    with sqlite.write() as session:
        (item,) = brought_in(session, compare(session, kind=kind, overlap=1), written(tmp_path, row), gold=True)
        assert item.gold == gold


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("rate", ROWS[0], "rows cannot say what is right for the kind 'rate'"),
        ("thumbs", {"prompt": "Name a gem.", "completion": "Mud."}, "'label': found nothing"),
        ("create", {"prompt": "Name a gem."}, "people make them"),
    ],
)
def test_gold_that_says_nothing_is_refused(sqlite, tmp_path, kind, row, message):
    with sqlite.write() as session, pytest.raises(Invalid, match=message):
        brought_in(session, compare(session, kind=kind, overlap=1), written(tmp_path, row), gold=True)


def test_gold_that_an_admin_uploads_comes_to_people_among_the_rest(sqlite, admin):
    assert upload(admin, "gold.jsonl", LINES, gold="true").json() == {"items": 3, "known": 0}
    changed = admin.post("/api/projects/gems/settings", {"gold_rate": 1.0})
    assert changed.status_code == 200, changed.text
    task = admin.post("/api/projects/gems/next").json()["task"]
    assert "gold" not in json.dumps({**task, "guideline": None})
    better = [messages[0]["content"] for messages in task["answers"]].index(ROWS[0]["chosen"])
    sent = {"client_id": "gold-judged", "item": task["item"], "content": {"better": better, "strength": 1}}
    assert admin.post("/api/judgements", sent).status_code == 200
    (line,) = admin.get("/api/projects/gems/leaderboard").json()["people"]
    assert (line["gold"], line["gold_right"], line["judged"]) == (1, 1, 0)


def test_a_reformulated_prompt_leads_back_to_the_row_that_it_was_made_of(database, tmp_path):
    """From a file over reformulating and two reviews to an answer: each export names where its prompt began."""
    row = {"id": "row-7", "prompt": "What is opl?", "source": "a survey"}
    with database.write() as session:
        writer, *reviewers = people(session, 3)
        answer = compare(session, slug="answer", kind="demonstrate", overlap=1)
        review = compare(session, slug="review", kind="evaluate", overlap=2, feeds="answer")
        again = compare(session, slug="again", kind="reformulate", overlap=1, feeds="review")
        brought_in(session, again, written(tmp_path, row))

        def do(project, person, content) -> None:
            handed = next_task(session, SECRET, project, person, now=1)
            assert handed.item is not None, handed.why
            sent = Submission(
                client_id=f"{project.slug}-{person.pseudonym}", item_id=handed.item.id, content=content, seconds=3.0
            )
            submit(session, person, sent, 2)

        do(again, writer, {"text": "What is opal?"})
        for person in reviewers:
            do(review, person, {"verdict": "accept"})
        do(answer, writer, {"text": "A gem."})
        shapes = ((again, "prompts"), (review, "prompts"), (answer, "demonstrations"))
        made = [json.loads(next(iter(export(session, project, shape, "jsonl")))) for project, shape in shapes]
    first, second, third = (one["columns"]["studio"] for one in made)
    assert [one["prompt"][-1]["content"] for one in made] == ["What is opal?"] * 3
    assert (first["item"], first["lineage"]) == ("row-7", [])
    assert made[0]["columns"]["source"] == "a survey"
    assert second["lineage"] == [{"project": "again", "item": "row-7"}]
    assert third["lineage"] == [{"project": "review", "item": second["item"]}, *second["lineage"]]
