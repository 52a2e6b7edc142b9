"""Files in and out.

An uploaded file is kept under a name of our own in a folder that is thrown away; of the browser's name only the ending
is used, and only if it is one that the library reads. An export is made whole before it is sent, in one transaction.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Form, Response, UploadFile
from fastapi import Path as InPath
from pydantic import Field

from burnish.studio import importing
from burnish.studio.caller import AtStudio, From
from burnish.studio.contents import legible
from burnish.studio.exporting import FILES, export
from burnish.studio.projects import project_named
from burnish.studio.refusals import Invalid
from burnish.studio.routes.shapes import Body, Slug

router = APIRouter(prefix="/api/projects/{slug}", tags=["files"])

_ENDINGS = (".jsonl", ".json", ".ndjson", ".csv", ".tsv", ".parquet")
"""Those of the library for rows. A plain text has no prompt; and what is compressed could unpack to any size."""
_TYPES = {"jsonl": "application/jsonl; charset=utf-8", "csv": "text/csv; charset=utf-8"}


class Priorities(Body):
    """Which items come first, by key."""

    priorities: dict[str, float] = Field(max_length=1_000_000)


@router.post("/import")
def import_file(
    slug: Slug,
    studio: AtStudio,
    caller: From,
    file: UploadFile,
    language: Annotated[str, Form(max_length=40)],
    gold: Annotated[bool, Form()] = False,
) -> dict[str, Any]:
    """Import a file as items."""
    name, ending = _name(file.filename or "")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"upload{ending}"
        with path.open("wb") as kept:
            shutil.copyfileobj(file.file, kept)
        with studio.database.write() as session:
            project = project_named(session, slug)
            done = importing.import_file(
                session, project, path, name=name, language=language, gold=gold, now=caller.now
            )
    return {"items": done.items, "known": done.known}


@router.post("/priorities")
def set_priorities(slug: Slug, body: Priorities, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Say which items come first."""
    with studio.database.write() as session:
        return {"items": importing.set_priorities(session, project_named(session, slug), body.priorities)}


@router.get(
    "/export/{file}",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in _TYPES.values()}, "description": "the file"}},
)
def export_file(
    slug: Slug, file: Annotated[str, InPath(pattern=r"^[a-z]{1,30}\.[a-z]{1,10}$")], studio: AtStudio, caller: From
) -> Response:
    """A project's work in one shape, as `SHAPE.jsonl` or `SHAPE.csv`."""
    shape, _, kind = file.partition(".")
    with studio.database.read() as session:
        body = "".join(export(session, project_named(session, slug), shape, kind))
    disposition = f'attachment; filename="{slug}-{file}"'
    return Response(body.encode(), media_type=_TYPES[kind], headers={"Content-Disposition": disposition})


def _name(given: str) -> tuple[str, str]:
    """The last part of a browser's name for a file, for messages, and its ending."""
    name = PurePosixPath(given.replace("\\", "/")).name[:100] or "file"
    try:
        legible(name)
    except ValueError as error:
        raise Invalid("file", str(error)) from error
    ending = next((ending for ending in _ENDINGS if name.lower().endswith(ending)), None)
    if ending is None:
        raise Invalid("file", f"found the file '{name}'; expected one that ends in {', '.join(_ENDINGS)}")
    return name, ending


assert set(_TYPES) == set(FILES)
