"""What reviewers do: disputes and flags."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from burnish.studio import adjudication
from burnish.studio.caller import AtStudio, From
from burnish.studio.projects import project_named
from burnish.studio.routes.shapes import Body, Long, Number, Short, Slug

router = APIRouter(prefix="/api", tags=["review"])


class Decision(Body):
    """What a reviewer decides, in the item's own order of answers."""

    content: dict[str, Any]
    reason: Long = ""


class Resolution(Body):
    """What becomes of a flagged item."""

    resolution: Short


@router.get("/projects/{slug}/disputes")
def disputes(slug: Slug, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Items on which people disagree."""
    with studio.database.read() as session:
        return {"disputes": adjudication.disputes(session, project_named(session, slug))}


@router.post("/items/{item_id}/adjudicate")
def adjudicate(item_id: Number, body: Decision, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Decide on an item."""
    with studio.database.write() as session:
        made = adjudication.adjudicate(
            session, item_id, caller.person, content=body.content, reason=body.reason, now=caller.now
        )
        return {"adjudication": made.id}


@router.get("/projects/{slug}/flags")
def flags(slug: Slug, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Flags that nobody has resolved."""
    with studio.database.read() as session:
        return {"flags": adjudication.flags(session, project_named(session, slug))}


@router.post("/flags/{flag_id}/resolve")
def resolve(flag_id: Number, body: Resolution, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Resolve a flag."""
    with studio.database.write() as session:
        adjudication.resolve(session, flag_id, caller.person, resolution=body.resolution, now=caller.now)
    return {}
