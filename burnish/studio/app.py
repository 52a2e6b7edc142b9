"""The web app: `create_app(settings)` brings the database up to date and gives the FastAPI app.

The one place that turns refusals into HTTP. Documentation pages of FastAPI are off: they load scripts from elsewhere;
`/openapi.json` is not served either, tests ask the app for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import IntegrityError
from starlette.exceptions import HTTPException

from burnish.studio import pages, pages_static
from burnish.studio.arena_answers import Arena
from burnish.studio.arena_models import speakers
from burnish.studio.backup import backup
from burnish.studio.caller import Studio, studio_of
from burnish.studio.clock import Clock, iso, wall_clock
from burnish.studio.database import Database
from burnish.studio.guard import Guard
from burnish.studio.migrate import migrate
from burnish.studio.pages_frame import is_page, refusal
from burnish.studio.refusals import Refused, TooMany
from burnish.studio.routes import accounts, arena, files, numbers, projects, review, work
from burnish.studio.routes.shapes import Refusal
from burnish.studio.secret import Secret, studio_secret
from burnish.studio.settings import StudioSettings

ROUTERS = (
    accounts.router,
    projects.router,
    work.router,
    review.router,
    files.router,
    numbers.router,
    arena.router,
    pages.router,
    pages_static.router,
)
"""All routes there are; the test of `burnish.studio.access` goes through them."""


REFUSALS: dict[int | str, dict[str, Any]] = {"4XX": {"model": Refusal, "description": "why not"}}


def open_studio(settings: StudioSettings, *, secret: Secret | None = None, clock: Clock = wall_clock) -> Studio:
    """The studio of these settings: its secret made if it is the first start, its database brought up to date.

    Raises:
        StudioError: no secret was set, or the database cannot be brought up to date.
    """
    known = secret or studio_secret(settings)
    database = Database(settings.database_url)
    migrate(database, lambda: backup(database, backup_path(settings, database, clock())))
    return Studio(settings=settings, database=database, secret=known, clock=clock)


def backup_path(settings: StudioSettings, database: Database, now: int) -> Path:
    """Where a backup goes that nobody named a file for."""
    stamp = iso(now).replace(":", "").replace(".", "")
    return settings.path / "backups" / f"{stamp}{'.db' if database.is_sqlite else '.jsonl'}"


def create_app(settings: StudioSettings, *, secret: Secret | None = None, clock: Clock = wall_clock) -> FastAPI:
    """The app.

    Args:
        settings: where data is, and how browsers reach it.
        secret: that of the folder or the environment if None.
        clock: tells the time.

    Raises:
        StudioError: as `open_studio`.
    """
    return app_of(open_studio(settings, secret=secret, clock=clock))


def app_of(studio: Studio) -> FastAPI:
    """The app of an open studio."""
    app = FastAPI(title="Burnish studio", docs_url=None, redoc_url=None, openapi_url=None, responses=REFUSALS)
    app.state.studio = studio
    app.state.arena = Arena(speakers(studio.settings.models))
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(IntegrityError, _at_once)
    app.add_exception_handler(HTTPException, _http)
    settings = studio.settings
    app.add_middleware(
        Guard,
        origin=settings.origin,
        is_secure=settings.is_secure,
        most_bytes=settings.max_upload_mb * 1_000_000,
    )
    return app


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    headers = {"Retry-After": str(error.retry_seconds)} if isinstance(error, TooMany) else None
    return _said(request, error.status, error.code, str(error), headers)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = [(".".join(str(part) for part in one["loc"]), one["msg"]) for one in error.errors()]
    return _said(request, 422, "invalid", "; ".join(f"{place}: {message}" for place, message in places))


def _at_once(request: Request, error: Exception) -> Response:
    return _said(request, 409, "at-once", "somebody did the same at the same moment; try again")


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _said(request, error.status_code, "http", str(error.detail), error.headers)


def _said(request: Request, status: int, code: str, message: str, headers: Mapping[str, Any] | None = None) -> Response:
    legible = message.encode("utf-8", "replace").decode()
    if is_page(request):
        return refusal(studio_of(request), status, legible)
    return JSONResponse({"code": code, "message": legible}, status_code=status, headers=headers)
