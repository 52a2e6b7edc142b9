"""Bring a database to the schema of this version of Burnish: at every start, after a backup.

A new database is made from nothing. An older one is backed up first, then all missing migrations run in one
transaction; if one fails, nothing is changed and the studio does not start. A newer one is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import alembic.command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from burnish.studio.database import Database
from burnish.studio.refusals import StudioError


def migrate(database: Database, back_up: Callable[[], Path], *, scripts: str | None = None) -> str:
    """Bring the schema up to date, and return its version.

    Args:
        database: new, older or up to date.
        back_up: saves the database before a change, and says where.
        scripts: folder of the migrations; those of the package if None.

    Raises:
        StudioError: the database is of a later version, or a migration failed; it is as it was.
    """
    config = _config(scripts)
    script = ScriptDirectory.from_config(config)
    wanted, now = str(script.get_current_head()), version(database)
    if now == wanted:
        return wanted
    if now is not None and now not in {revision.revision for revision in script.walk_revisions()}:
        raise StudioError(
            f"the database has schema {now}, this Burnish knows up to {wanted}; install the Burnish that last ran it"
        )
    saved = f"; it is as it was, and saved in {back_up()}" if now is not None else ""
    try:
        with database.connection() as connection:
            upgrade(connection, "head", scripts=scripts)
    except Exception as error:
        raise StudioError(f"the migration of the database from {now} to {wanted} failed: {error}{saved}") from error
    return wanted


def upgrade(connection: Connection, revision: str, *, scripts: str | None = None) -> None:
    """Run the migrations up to a version, in the connection's transaction."""
    config = _config(scripts)
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, revision)


def version(database: Database) -> str | None:
    """The version of a database's schema; None for one without."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """The version that this Burnish brings databases to."""
    return str(ScriptDirectory.from_config(_config(None)).get_current_head())


def _config(scripts: str | None) -> Config:
    config = Config()
    config.set_main_option("script_location", scripts or str(resources.files("burnish.studio") / "migrations"))
    config.set_main_option("path_separator", "os")
    return config
