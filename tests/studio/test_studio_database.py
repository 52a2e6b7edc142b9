"""The database: transactions, migrations after a backup, backups that come back."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import alembic.autogenerate
import pytest
import sqlalchemy
from alembic.migration import MigrationContext
from sqlalchemy import select

from burnish.studio.backup import backup, restore
from burnish.studio.database import Database
from burnish.studio.migrate import migrate, version
from burnish.studio.refusals import StudioError
from burnish.studio.tables import Base, Item, Person, Project
from tests.studio.studio_schemas import later_schema

PRAGMAS = {"journal_mode": "wal", "busy_timeout": 30_000, "foreign_keys": 1, "synchronous": 2}


def nothing() -> Path:
    raise AssertionError("no backup is asked for")


def project(**changes) -> Project:
    fields = {"slug": "gems", "title": "Gems", "kind": "compare", "languages": ["en"], "overlap": 2, "gold_rate": 0.0}
    rest = {"lease_seconds": 60, "options": {}, "feeds_id": None, "is_open": True, "created_at": 1}
    return Project(**{**fields, **rest, **changes})


def item(project_id: int, key: str, **changes) -> Item:
    fields = {"project_id": project_id, "key": key, "language": "en", "prompt": [], "answers": [], "gold": None}
    rest = {"priority": 0.0, "state": "open", "judged": 0, "origin": {}, "created_at": 1}
    return Item(**{**fields, **rest, **changes})


def filled(database: Database) -> None:
    with database.write() as session:
        session.add(Person(name="Ada", name_key="ada", pseudonym="p-1", role="admin", languages=["is"], created_at=5))
        session.add_all([project(), project(slug="next", title="Þorn 🙂")])
        session.flush()
        session.get_one(Project, 1).feeds_id = 2
        session.add_all([item(1, "a", gold={"better": 1}), item(1, "b")])
        session.flush()
        session.get_one(Item, 1).parent_id = 2


def rows(database: Database) -> dict[str, list[tuple[object, ...]]]:
    queries = {table.name: select(table).order_by(*table.primary_key) for table in Base.metadata.sorted_tables}
    with database.read() as session:
        return {name: [tuple(row) for row in session.execute(query)] for name, query in queries.items()}


def test_the_migrations_make_the_schema_of_the_models(database):
    with database.engine.connect() as connection:
        compared = {"include_object": lambda thing, name, *more: name != "ix_items_queue"}
        context = MigrationContext.configure(connection, opts={"compare_type": False, **compared})
        assert alembic.autogenerate.compare_metadata(context, Base.metadata) == []
        assert "ix_items_queue" in {index["name"] for index in sqlalchemy.inspect(connection).get_indexes("items")}


def test_a_transaction_that_fails_leaves_nothing(database):
    def add_and_fail():
        with database.write() as session:
            session.add(project())
            session.flush()
            raise KeyError("on the way")

    with pytest.raises(KeyError):
        add_and_fail()
    assert rows(database)["projects"] == []


def test_foreign_keys_hold(database):
    with pytest.raises(sqlalchemy.exc.DBAPIError), database.write() as session:
        session.add(item(77, "a"))


def test_readers_see_one_state_and_cannot_write(database):
    with database.read() as reader:
        assert reader.scalars(select(Project)).all() == []
        filled(database)
        assert reader.scalars(select(Project)).all() == []
    with database.read() as reader:
        assert len(reader.scalars(select(Project)).all()) == 2
        reader.add(project(slug="stray"))
    assert len(rows(database)["projects"]) == 2


def test_writers_wait_for_each_other_and_lose_nothing(sqlite):
    filled(sqlite)
    other = Database(str(sqlite.url))  # as another process has it: without our queue

    def add_ten(database: Database) -> None:
        for _ in range(10):
            with database.write() as session:
                session.get_one(Item, 1).judged += 1

    threads = [threading.Thread(target=add_ten, args=(one,)) for one in (sqlite, sqlite, other, other)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    other.close()
    with sqlite.read() as session:
        assert session.get_one(Item, 1).judged == 40


def test_an_older_database_is_backed_up_and_migrated(database, tmp_path):
    filled(database)
    before = rows(database)
    scripts = later_schema(tmp_path, "op.execute('ALTER TABLE items ADD COLUMN topic TEXT')")
    saved = tmp_path / ("before.db" if database.is_sqlite else "before.jsonl")
    assert migrate(database, lambda: backup(database, saved), scripts=scripts) == "9999"
    assert rows(database) == before
    old = Database(f"sqlite:///{tmp_path / 'old' / 'studio.db'}")
    restore(old, saved)
    assert version(old) == "0001"
    assert rows(old) == before
    old.close()
    with pytest.raises(StudioError, match="has schema 9999, this Burnish knows up to 0001"):
        migrate(database, nothing)


def test_a_database_of_another_schema_is_saved_as_it_is(database, tmp_path):
    """Before a migration the database has not all that the models have."""
    filled(database)
    with database.connection() as connection:
        connection.exec_driver_sql("ALTER TABLE items DROP COLUMN origin")
    lines = backup(database, tmp_path / "saved.jsonl").read_text(encoding="utf-8").splitlines()
    head, *saved = [json.loads(line) for line in lines]
    assert head == {"burnish studio": "0001"}
    found = [one["row"] for one in saved if one["table"] == "items"]
    assert [(row["key"], row["gold"], "origin" in row) for row in found] == [
        ("a", {"better": 1}, False),
        ("b", None, False),
    ]
    assert {one["table"] for one in saved} == {"people", "projects", "items"}


def test_a_migration_that_fails_changes_nothing(database, tmp_path):
    filled(database)
    before = rows(database)
    body = "op.execute('ALTER TABLE items ADD COLUMN topic TEXT'); op.execute('DELETE FROM items'); 1 / 0"
    saved = tmp_path / "before.jsonl"
    with pytest.raises(StudioError, match=r"failed: division by zero; it is as it was, and saved in .*before\.jsonl"):
        migrate(database, lambda: backup(database, saved), scripts=later_schema(tmp_path, body))
    assert version(database) == "0001"
    assert rows(database) == before
    with database.engine.connect() as connection:
        assert "topic" not in {c["name"] for c in sqlalchemy.inspect(connection).get_columns("items")}


@pytest.mark.parametrize("name", ["saved.db", "saved.jsonl"])
def test_a_backup_comes_back_the_same(sqlite, tmp_path, name):
    filled(sqlite)
    saved = backup(sqlite, tmp_path / name)
    copy = Database(f"sqlite:///{tmp_path / 'copy' / 'studio.db'}")
    restore(copy, saved)
    assert migrate(copy, nothing) == "0001"
    assert rows(copy) == rows(sqlite)
    with pytest.raises(StudioError, match="holds a studio already"):
        restore(copy, saved)
    with pytest.raises(StudioError, match="exists already"):
        backup(copy, saved)
    copy.close()


def test_a_backup_moves_between_the_engines_and_goes_on_counting(sqlite, new_postgres, tmp_path):
    filled(sqlite)
    postgres = Database(new_postgres)
    restore(postgres, backup(sqlite, tmp_path / "saved.jsonl"))
    assert rows(postgres) == rows(sqlite)
    with postgres.write() as session:
        session.add(item(1, "c"))
        session.flush()
        assert session.scalars(select(Item.id).where(Item.key == "c")).one() == 3
    again = backup(postgres, tmp_path / "again.jsonl")
    assert len(again.read_text().splitlines()) == len((tmp_path / "saved.jsonl").read_text().splitlines()) + 1
    with pytest.raises(StudioError, match="as the database is PostgreSQL"):
        backup(postgres, tmp_path / "again.db")
    postgres.close()


def test_a_backup_while_people_write_is_whole(database, tmp_path):
    filled(database)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with database.write() as session:  # both or none
                session.add_all([item(1, f"left {number}"), item(2, f"right {number}")])

    writer = threading.Thread(target=write)
    writer.start()
    names = ("a.db", "b.jsonl", "c.db") if database.is_sqlite else ("a.jsonl", "b.jsonl")
    saved = [backup(database, tmp_path / name) for name in names]
    stop.set()
    writer.join()
    for number, path in enumerate(saved):
        copy = Database(f"sqlite:///{tmp_path / f'copy{number}.db'}")
        restore(copy, path)
        with copy.read() as session:
            keys = session.scalars(select(Item.key)).all()
        assert sum(key.startswith("left") for key in keys) == sum(key.startswith("right") for key in keys)
        copy.close()


def test_what_is_no_backup_is_refused(tmp_path):
    fresh = Database(f"sqlite:///{tmp_path / 'studio.db'}")
    for name, text, message in (
        ("a.txt", "", "must end in .db or .jsonl"),
        ("a.db", "hello", "is not an SQLite database"),
        ("a.jsonl", '{"a": 1}\n', "line 1: not a backup"),
        ("b.jsonl", '{"burnish studio": "0001"}\n{"table": "items", "row": {"id', "line 2: not JSON"),
        ("c.jsonl", '{"burnish studio": "0001"}\n{"table": "gems", "row": {}}', "line 2: no table 'gems'"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(StudioError, match=message):
            restore(fresh, tmp_path / name)
    assert version(fresh) is None
    fresh.close()


def test_sqlite_writes_ahead_waits_for_others_and_takes_its_turn_before_it_reads(sqlite):
    with sqlite.engine.connect() as connection:
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in PRAGMAS}
    assert found == PRAGMAS
    with closing(sqlite3.connect(sqlite.file, timeout=0)) as other:
        with sqlite.write() as writer:
            assert writer.scalars(select(Project)).all() == []
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")  # it has only read, and has its turn already
        with sqlite.read() as reader:
            assert reader.scalars(select(Project)).all() == []
            other.execute("BEGIN IMMEDIATE")  # who reads keeps nobody from writing


def test_writers_on_postgres_hold_rows_and_not_the_table(postgres):
    filled(postgres)
    with postgres.write() as one, postgres.write() as other:
        other.execute(sqlalchemy.text("SET LOCAL lock_timeout = '2s'"))
        one.get_one(Item, 1, with_for_update=True)
        free = select(Item.id).order_by(Item.id).with_for_update(skip_locked=True)
        assert other.scalars(free).all() == [2]
