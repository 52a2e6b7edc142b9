"""Every released schema with data in it, on both engines: it starts, it goes on to a later one after a backup, and
where that fails the studio refuses to start and nothing was changed.
"""

from __future__ import annotations

from pathlib import Path

import alembic.autogenerate
import pytest
import sqlalchemy
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, select

from burnish.cli import main
from burnish.studio import migrate as migrations
from burnish.studio import serve
from burnish.studio.app import open_studio
from burnish.studio.backup import restore
from burnish.studio.database import Database
from burnish.studio.exporting import export
from burnish.studio.migrate import newest, version
from burnish.studio.projects import project_named
from burnish.studio.sessions import log_in
from burnish.studio.settings import StudioSettings
from burnish.studio.tables import Base
from tests.studio.studio_schemas import ENGINES, NAME, NOW, PASSWORD, later_schema, load, stored, versions

CASES = [pytest.param(one, engine, id=f"{one}-{engine}") for one in versions() for engine in ENGINES]
EXPORTS = {"gems": ("preferences", "rankings", "judgements"), "review": ("prompts",), "ring": ("preferences",)}

Rows = dict[str, list[dict[str, object]]]


@pytest.fixture
def opened(tmp_path):
    """Opens databases, which are closed at the end."""
    made: list[Database] = []

    def open_one(address: str) -> Database:
        made.append(Database(address))
        return made[-1]

    yield open_one
    for database in made:
        database.close()


@pytest.fixture
def old(request, tmp_path, opened):
    """Settings of a studio whose database is a stored one; opens it."""

    def made(of: str, engine: str) -> tuple[StudioSettings, Database]:
        address = "" if engine == "sqlite" else request.getfixturevalue("new_postgres")
        settings = StudioSettings(folder=str(tmp_path / "studio"), database=address)
        database = opened(settings.database_url)
        load(database, of)
        return settings, database

    return made


def found(database: Database) -> Rows:
    """All rows, of the tables and columns that the database has."""
    schema = MetaData()
    with database.engine.connect() as connection:
        schema.reflect(connection)
        tables = [table for table in schema.sorted_tables if table.name != "alembic_version"]
        queries = {table.name: select(table).order_by(*table.primary_key.columns) for table in tables}
        return {name: [dict(row) for row in connection.execute(query).mappings()] for name, query in queries.items()}


def kept(before: Rows, after: Rows) -> bool:
    """Whether all that was there is there still; there may be more tables and columns."""
    return all(
        [{name: now[name] for name in then} for then, now in zip(rows, after[table], strict=True)] == rows
        for table, rows in before.items()
    )


def exports(database: Database) -> str:
    with database.read() as session:
        lines = [
            line
            for slug, shapes in EXPORTS.items()
            for shape in shapes
            for line in export(session, project_named(session, slug), shape, "jsonl")
        ]
    return "".join(lines)


def test_each_schema_is_stored_for_each_engine():
    missing = [
        path.name for path in (stored(one, engine) for one in versions() for engine in ENGINES) if not path.exists()
    ]
    assert missing == [], "type python -m tests.studio.studio_schemas"


@pytest.mark.parametrize(("of", "engine"), CASES)
def test_a_stored_database_starts_with_all_that_it_holds(of, engine, old):
    settings, database = old(of, engine)
    before = found(database)
    assert version(database) == of
    assert [table for table, rows in before.items() if not rows] == []
    studio = open_studio(settings)
    assert version(database) == newest()
    assert kept(before, found(database))
    with database.engine.connect() as connection:
        compared = {"include_object": lambda thing, name, *more: name != "ix_items_queue"}
        context = MigrationContext.configure(connection, opts={"compare_type": False, **compared})
        assert alembic.autogenerate.compare_metadata(context, Base.metadata) == []
    assert log_in(studio.database, name=NAME, password=PASSWORD, address="127.0.0.1", now=NOW).name == NAME
    text = exports(database)
    assert '"decided_by": "reviewer"' in text
    assert "What is onyx?" in text
    assert "العقيق" in text
    studio.database.close()


@pytest.mark.parametrize("of", versions())
def test_the_stored_database_of_postgres_exports_the_same_bytes_as_that_of_sqlite(of, old, opened, tmp_path):
    other = opened(f"sqlite:///{tmp_path / 'other.db'}")
    load(other, of)
    _, database = old(of, "postgres")
    assert exports(database) == exports(other)


@pytest.fixture
def later(tmp_path, monkeypatch):
    """Lets the studio know one more migration, of one line."""
    real = migrations._config

    def known(body: str) -> None:
        scripts = later_schema(tmp_path, body)
        monkeypatch.setattr(migrations, "_config", lambda given: real(given or scripts))

    return known


def backups(settings: StudioSettings) -> list[Path]:
    return sorted((settings.path / "backups").glob("*"))


@pytest.mark.parametrize(("of", "engine"), CASES)
def test_it_goes_on_to_a_later_schema_after_a_backup_of_the_old_one(of, engine, old, later, opened, tmp_path):
    settings, database = old(of, engine)
    before = found(database)
    later("op.execute('ALTER TABLE items ADD COLUMN topic TEXT')")
    open_studio(settings).database.close()
    assert version(database) == "9999"
    after = found(database)
    assert kept(before, after)
    assert after["items"][0]["topic"] is None
    (saved,) = backups(settings)
    copy = opened(f"sqlite:///{tmp_path / 'copy.db'}")
    restore(copy, saved)
    assert version(copy) == of
    assert found(copy) == before


@pytest.mark.parametrize(("of", "engine"), CASES)
def test_a_migration_that_fails_is_told_and_the_studio_does_not_start(of, engine, old, later, monkeypatch, capsys):
    settings, database = old(of, engine)
    before = found(database)
    later("op.execute('ALTER TABLE items ADD COLUMN topic TEXT'); op.execute('DELETE FROM arena_votes'); 1 / 0")
    monkeypatch.setattr(serve, "_server", lambda studio: pytest.fail("it serves"))
    words = [
        "--folder",
        settings.folder,
        "--port",
        "0",
        *(["--database", settings.database] if settings.database else []),
    ]
    assert main(["studio", *words]) == 1
    told = capsys.readouterr()
    (saved,) = backups(settings)
    said = "".join(told.err.split())
    wanted = f"the migration of the database from {of} to 9999 failed: division by zero; it is as it was, and saved in"
    assert "".join(wanted.split()) in said
    assert saved.name in said
    assert told.out == ""
    assert version(database) == of
    assert found(database) == before
    with database.engine.connect() as connection:
        assert "topic" not in {column["name"] for column in sqlalchemy.inspect(connection).get_columns("items")}
