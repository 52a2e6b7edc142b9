"""Static files: our own scripts, styles and the icon, and nothing else of the disk.

Their address holds the version of all of them (`pages_frame.version`), so a browser keeps them for good; under an
older version the newest is given, to be asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Path, Response

from burnish.studio.caller import From
from burnish.studio.pages_frame import STATIC, version
from burnish.studio.refusals import Unknown

router = APIRouter(tags=["static"], include_in_schema=False)

TYPES: Mapping[str, str] = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_KEPT, _ASKED = "public, max-age=31536000, immutable", "no-cache"


@router.get("/static/{given}/{file}")
def static(
    given: Annotated[str, Path(max_length=40)],
    file: Annotated[str, Path(pattern=r"^[a-z-]{1,40}\.[a-z]{2,3}$")],
    caller: From,
) -> Response:
    """One file."""
    path = STATIC / file
    if path.suffix not in TYPES or not path.is_file():
        raise Unknown("static", f"there is no file '{file}'")
    headers = {"Cache-Control": _KEPT if given == version() else _ASKED}
    return Response(path.read_bytes(), media_type=TYPES[path.suffix], headers=headers)
