"""Numbers for reviewers: agreement, biases, ratings of models."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from burnish.studio.caller import AtStudio, From
from burnish.studio.projects import project_named
from burnish.studio.routes.shapes import Slug
from burnish.studio.views.agreement import agreement
from burnish.studio.views.bias import bias
from burnish.studio.views.ratings import ratings

router = APIRouter(prefix="/api/projects/{slug}", tags=["numbers"])


@router.get("/agreement")
def agreement_of(slug: Slug, studio: AtStudio, caller: From) -> dict[str, Any]:
    """How well people agree."""
    with studio.database.read() as session:
        return {"measures": agreement(session, project_named(session, slug))}


@router.get("/bias")
def bias_of(slug: Slug, studio: AtStudio, caller: From) -> dict[str, Any]:
    """What sways people besides the answers."""
    with studio.database.read() as session:
        return bias(session, project_named(session, slug))


@router.get("/ratings")
def ratings_of(slug: Slug, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Which model answers best."""
    with studio.database.read() as session:
        return {"models": ratings(session, project_named(session, slug))}
