"""What every page of the studio has: its templates, who looks at it, the static files and their version.

Texts that people wrote reach a page only through autoescape, and stand in elements with `dir="auto"`, which keep
characters that turn the direction of writing from reaching what stands beside them. A title cannot hold elements, so
`unbent` takes these characters out of it. There is no inline script and no inline style: the policy of `guard.py`
allows neither.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse

from burnish.studio.access import allowed
from burnish.studio.caller import Caller, Studio
from burnish.studio.pages_words import said
from burnish.studio.people import shown

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"

_TURNS = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])


def unbent(text: str) -> str:
    """The text without characters that turn the direction of writing."""
    return text.translate(_TURNS)


def day(moment: int) -> str:
    """A time as people read it, in UTC."""
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M")


@functools.cache
def version() -> str:
    """Of the static files: changes when one of them does, so that browsers may keep them for good."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


@functools.cache
def environment() -> jinja2.Environment:
    """The templates."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"unbent": unbent, "day": day, "said": said}
    return made


def page(
    name: str, studio: Studio, caller: Caller | None, *, title: str, status: int = 200, **values: Any
) -> HTMLResponse:
    """A page.

    Args:
        name: of the template.
        studio: the studio.
        caller: who looks at it; None if nobody is known.
        title: of the page.
        status: of the answer.
        values: what the template shows.
    """
    person = caller.signed_in if caller else None
    frame: Mapping[str, Any] = {
        "title": title,
        "static": f"/static/{version()}",
        "person": None if person is None else shown(person),
        "token": studio.secret.request_token(caller.token or "") if caller and person else "",
        "reviews": allowed("reviewer", person.role if person else None),
        "most_mb": studio.settings.max_upload_mb,
        "administers": allowed("admin", person.role if person else None),
    }
    return HTMLResponse(environment().get_template(name).render({**frame, **values}), status_code=status)


def is_page(request: Request) -> bool:
    """Whether a request asks for something that people look at, not for JSON."""
    return not request.url.path.startswith("/api/")


def refusal(studio: Studio, status: int, message: str) -> HTMLResponse:
    """What a page says that is not shown: the form to sign in, or why."""
    if status == 401:
        return page("login.html", studio, None, title="Sign in", status=401)
    return page("refused.html", studio, None, title="This page is not shown", status=status, message=message)
