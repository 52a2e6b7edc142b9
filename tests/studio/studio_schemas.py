"""Databases of every released schema with data in them, as SQL of each engine, in `schemas/`; and schemas yet to come.

They were written by the version that they are of, not by today's migrations, so that a migration that was changed
after its release is found too. After a new migration, before its release, type

    python -m tests.studio.studio_schemas

with PostgreSQL's programs (initdb, postgres, pg_dump) on the PATH, and commit the two new files.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.orm import Session

from benchmarks.studio import engines
from burnish.example import Completion, Example, assistant, user
from burnish.studio import arena
from burnish.studio.adjudication import adjudicate, disputes, resolve
from burnish.studio.assignment import flag, next_task, skip
from burnish.studio.attempts import note_failure
from burnish.studio.backup import backup, restore
from burnish.studio.database import Database
from burnish.studio.importing import Shape, import_examples
from burnish.studio.invitations import invite, join
from burnish.studio.judgements import Submission, submit
from burnish.studio.migrate import migrate, newest
from burnish.studio.people import delete_person, new_person
from burnish.studio.projects import publish
from burnish.studio.sessions import begin_session
from burnish.studio.tables import Judgement, Person, Project
from tests.studio.studio_people import SECRET, compare

FOLDER = Path(__file__).parent / "schemas"
SCRIPTS = Path(str(resources.files("burnish.studio"))) / "migrations"
ENGINES = ("sqlite", "postgres")
NOW = 1_800_000_000_000
PASSWORD = "correct horse battery"
NAME = "Ada Þorn"
LANGUAGES = ("en", "ar")
GEMS = ("opal", "العقيق", "欧泊", "ruby", "topaz", "jade")
_NOT_DATA = re.compile(r"--|SET |SELECT pg_catalog\.set_config|\\(un)?restrict ")


def versions() -> list[str]:
    """Of all schemas there are, the oldest first."""
    return sorted(path.name[1:5] for path in (SCRIPTS / "versions").glob("v*_*.py"))


def stored(version: str, engine: str) -> Path:
    """The file of a stored database."""
    return FOLDER / f"{version}-{engine}.sql"


def load(database: Database, version: str) -> None:
    """Fill a database without tables with what is stored."""
    text = stored(version, "sqlite" if database.is_sqlite else "postgres").read_text(encoding="utf-8")
    if database.is_sqlite:
        with closing(sqlite3.connect(database.file)) as connection:
            connection.executescript(text)
    else:
        with database.connection() as connection:
            connection.exec_driver_sql(text)


def later_schema(tmp_path: Path, body: str) -> str:
    """The migrations with one more, as a later version has them; what the migration does is one line."""
    scripts = tmp_path / "migrations"
    shutil.copytree(SCRIPTS, scripts)
    text = f"from alembic import op\nrevision = '9999'\ndown_revision = '{newest()}'\ndef upgrade():\n    {body}\n"
    (scripts / "versions" / "v9999_more.py").write_text(text, encoding="utf-8")
    return str(scripts)


def lived_in(session: Session) -> None:
    """Something in every table: three scripts, a correction, a decision, a prompt that went on, somebody who left."""
    eva, ada, bo = (
        new_person(session, name=name, password=PASSWORD, role=role, languages=LANGUAGES, now=NOW)
        for name, role in (("Eva", "admin"), (NAME, "annotator"), ("أمل", "reviewer"))
    )
    begin_session(session, SECRET, ada, days=14, now=NOW)
    note_failure(session, name_key="ada", address="127.0.0.1", now=NOW)
    token = invite(session, SECRET, role="annotator", languages=["en"], days=7, now=NOW, invited_by=eva.id)
    cy = join(session, SECRET, token, name="Cy", password=PASSWORD, languages=[], now=NOW)
    _pairs(session, eva, ada, bo, cy)
    _prompts(session, ada, bo)
    _arena(session, ada)
    delete_person(session, cy.id, NOW)


def _pairs(session: Session, eva: Person, ada: Person, bo: Person, cy: Person) -> None:
    """Ada and Bo disagree on everything, and Bo decides one of it."""
    gems = compare(session, overlap=2, languages=LANGUAGES, gold_rate=0.3, quotas={"en": 9, "ar": 3})
    publish(session, gems, "Read all.", author_id=eva.id, now=NOW)
    publish(session, gems, "Read all.\n\n- Then judge 🙂.", author_id=eva.id, now=NOW + 1)
    for gem in GEMS:
        gold = gem == "jade"
        said = (assistant(f"{gem}!"), assistant(f"{gem} is a 'gem', \"they\" say."))
        answers = tuple(
            Completion(messages=(one,), rank=place if gold else None, policy_version=f"m{place}")
            for place, one in enumerate(said)
        )
        columns = {"language": "ar" if gem == "العقيق" else "en", "source": {"page": 7}, "priority": 0.25}
        example = Example(id=gem, prompt=(user(f"What is {gem}?"),), completions=answers, columns=columns)
        shape = Shape(project=gems, file="gems.jsonl", language="en", gold=gold, now=NOW)
        import_examples(session, shape, [example])
    for person, better in ((ada, 0), (bo, 1)):
        made = [_compared(session, gems, person, better) for _ in range(3)]
    _compared(session, gems, bo, 0, supersedes=made[0])
    content = {"better": 1, "strength": 2}
    adjudicate(session, disputes(session, gems)[0]["item"], bo, content=content, reason="It says more.", now=NOW)
    for reason in ("unclear", "harmful"):
        found = flag(session, made[0].item_id, bo, reason=reason, comment="<b>See</b>", now=NOW)
    resolve(session, found.id, bo, resolution="dismissed", now=NOW)
    handed = next_task(session, SECRET, gems, cy, now=NOW)
    assert handed.item is not None
    skip(session, handed.item.id, cy, reason="unclear", now=NOW)


def _compared(
    session: Session, project: Project, person: Person, better: int, *, supersedes: Judgement | None = None
) -> Judgement:
    if supersedes is None:
        handed = next_task(session, SECRET, project, person, now=NOW)
        assert handed.item is not None
        assert handed.lease is not None
        item_id, order = handed.item.id, handed.lease.shown_order
    else:
        item_id, order = supersedes.item_id, supersedes.shown_order
    submission = Submission(
        client_id=f"pair-{item_id}-{person.id}-{'again' if supersedes else 'first'}",
        item_id=item_id,
        content={"better": order.index(better), "strength": 3, "comment": "Þetta er betra."},
        guideline_version=2,
        seconds=4.5,
        supersedes=supersedes.id if supersedes else None,
    )
    return submit(session, person, submission, NOW + 2).judgement


def _prompts(session: Session, ada: Person, bo: Person) -> None:
    """Ada writes a prompt, and Bo accepts it with an edit; nobody has answered it yet."""
    compare(session, slug="answer", kind="demonstrate", overlap=1, languages=LANGUAGES)
    review = compare(session, slug="review", kind="evaluate", overlap=1, languages=LANGUAGES, feeds="answer")
    write = compare(session, slug="write", kind="create", overlap=1, languages=LANGUAGES, feeds="review")
    edited = {"verdict": "edit", "text": "What is onyx?", "reasons": ["unclear"]}
    for project, person, content in ((write, ada, {"text": "What is onix?"}), (review, bo, edited)):
        handed = next_task(session, SECRET, project, person, now=NOW)
        assert handed.item is not None
        name = f"prompt-{project.slug}"
        submit(session, person, Submission(client_id=name, item_id=handed.item.id, content=content), NOW + 3)


def _arena(session: Session, ada: Person) -> None:
    """A turn with a vote, and one that is not answered."""
    options = {"models": ["amber", "beryl"]}
    ring = compare(session, slug="ring", kind="arena", overlap=1, languages=LANGUAGES, options=options)
    talk = arena.start(session, SECRET, ring, ada, language="en", now=NOW)
    turn = arena.say(session, talk, "What is opal?", NOW)
    for side in arena.SIDES:
        arena.answer(session, turn.id, side, f"A gem, says the {side}.")
    arena.vote(session, ada, arena.Ballot(client_id="arena-vote", turn_id=turn.id, better="left"), NOW)
    arena.say(session, talk, "And onyx?", NOW)


def store() -> list[Path]:
    """Store a database of the newest schema for each engine; those that are stored already are left as they are."""
    files = [stored(newest(), engine) for engine in ENGINES]
    with TemporaryDirectory() as folder, engines.postgres(is_safe=False) as server:
        made = Database(f"sqlite:///{Path(folder) / 'studio.db'}")
        migrate(made, lambda: Path(folder))
        with made.write() as session:
            lived_in(session)
        with closing(sqlite3.connect(made.file)) as connection:
            texts = ["\n".join(connection.iterdump()) + "\n"]
        with engines.new_database(server, "stored") as address:
            copy = Database(address)
            restore(copy, backup(made, Path(folder) / "saved.jsonl"))
            copy.close()
            texts.append(_dumped(address))
        made.close()
    written = [(file, text) for file, text in zip(files, texts, strict=True) if not file.exists()]
    for file, text in written:
        file.write_text(text, encoding="utf-8")
    return [file for file, _ in written]


def _dumped(address: str) -> str:
    """A PostgreSQL database as SQL, without what depends on the version of the program that writes it."""
    words = ["pg_dump", "--inserts", "--no-owner", "--no-privileges", address.replace("+pg8000", "")]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in text.splitlines() if not _NOT_DATA.match(line)) + "\n"


if __name__ == "__main__":
    for path in store():
        print(f"wrote {path}")
