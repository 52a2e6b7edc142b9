"""Where a studio's data is, as a recipe or a script names it, opened to be read or given priorities.

    runs/studio                       the folder of a studio
    backups/saved.db                  its SQLite file, or a copy of one
    postgresql://USER@HOST/NAME       a PostgreSQL database that asks for no password
    env:STUDIO_DATABASE               the variable that holds such an address, password included: records name it alone

Opening changes nothing: a database of another version's schema is refused, and its studio brings it up to date.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.exc import DBAPIError

from burnish.studio.database import Database
from burnish.studio.migrate import newest, version
from burnish.studio.refusals import StudioError
from burnish.studio.settings import DATABASE_FILE

_SCHEMES = ("postgresql://", "postgresql+pg8000://")


@contextmanager
def studio_at(place: str) -> Iterator[Database]:
    """The database of a studio, closed at the end.

    Args:
        place: a folder, a file, an address or `env:VARIABLE`, see above.

    Raises:
        StudioError: there is none, it cannot be reached, or it has another version's schema.
    """
    database = Database(address_of(place))
    try:
        _check(database, place)
        yield database
    finally:
        database.close()


def address_of(place: str) -> str:
    """The address of the database, as SQLAlchemy has it.

    Raises:
        StudioError: there is none, or the place holds a password that would be recorded.
    """
    if place.startswith("env:"):
        return _of_variable(place.removeprefix("env:"))
    if place.startswith(_SCHEMES):
        if urlsplit(place).password is not None:
            raise StudioError(
                "the studio's address holds a password, which would be recorded; name a variable: env:NAME"
            )
        return _with_driver(place)
    path = Path(place).expanduser()
    file = path / DATABASE_FILE if path.is_dir() else path
    if not file.is_file():
        raise StudioError(f"found no studio at {place} (no file {file}); type: burnish studio --folder {place}")
    return f"sqlite:///{file.absolute()}"


def _of_variable(name: str) -> str:
    held = os.environ.get(name, "").strip()
    if not held.startswith(_SCHEMES):
        raise StudioError(
            f"the variable {name} holds no address; type: export {name}=postgresql://USER:PASSWORD@HOST/NAME"
        )
    return _with_driver(held)


def _with_driver(address: str) -> str:
    return address.replace("postgresql://", "postgresql+pg8000://", 1)


def _check(database: Database, place: str) -> None:
    try:
        found = version(database)
    except DBAPIError as error:
        raise StudioError(f"the studio at {place} cannot be reached: {type(error.orig).__name__}") from error
    if found != newest():
        raise StudioError(
            f"the studio at {place} has schema {found}, and this Burnish reads {newest()}; "
            "start `burnish studio` there once, which brings it up to date after a backup"
        )
