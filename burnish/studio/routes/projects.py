"""Projects: which there are, made and changed, their guidelines and views."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from burnish.studio import projects
from burnish.studio.caller import AtStudio, From
from burnish.studio.contents import Text
from burnish.studio.routes.shapes import Body, Languages, Short, Slug
from burnish.studio.views.leaderboard import leaderboard
from burnish.studio.views.progress import progress

router = APIRouter(prefix="/api/projects", tags=["projects"])


class Changes(Body):
    """Settings of a project; those that are left out stay."""

    title: Short | None = None
    languages: Languages | None = None
    overlap: int | None = None
    gold_rate: float | None = None
    lease_seconds: int | None = None
    options: dict[str, Any] | None = None
    feeds: Short | None = None
    is_open: bool | None = None
    quotas: dict[str, int] | None = None

    def given(self) -> dict[str, Any]:
        """What is said; `feeds` may be said to be nothing."""
        said = self.model_dump(include=self.model_fields_set - {"slug", "kind"})
        return {name: value for name, value in said.items() if value is not None or name == "feeds"}


class NewProject(Changes):
    """A project to make."""

    slug: Short
    kind: Short


class NewGuideline(Body):
    """The next version of the guidelines."""

    text: Text = Field(max_length=200_000)


@router.get("")
def all_projects(studio: AtStudio, caller: From) -> dict[str, Any]:
    """All projects."""
    with studio.database.read() as session:
        return {"projects": [projects.shown(session, project) for project in projects.all_projects(session)]}


@router.post("")
def make(body: NewProject, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Make a project."""
    settings = {"title": body.slug, "languages": [], **body.given()}
    with studio.database.write() as session:
        made = projects.new_project(session, slug=body.slug, kind=body.kind, now=caller.now, **settings)
        return projects.shown(session, made)


@router.get("/{slug}")
def one(slug: Slug, studio: AtStudio, caller: From) -> dict[str, Any]:
    """A project with its guidelines."""
    with studio.database.read() as session:
        project = projects.project_named(session, slug)
        return {**projects.shown(session, project), "guideline": projects.guideline(session, project)}


@router.post("/{slug}/settings")
def change(slug: Slug, body: Changes, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Change a project's settings."""
    with studio.database.write() as session:
        project = projects.project_named(session, slug)
        projects.change_project(session, project, body.given())
        return projects.shown(session, project)


@router.post("/{slug}/guidelines")
def publish(slug: Slug, body: NewGuideline, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Publish the next version of the guidelines."""
    with studio.database.write() as session:
        project = projects.project_named(session, slug)
        made = projects.publish(session, project, body.text, author_id=caller.person.id, now=caller.now)
        return {"version": made.version}


@router.get("/{slug}/progress")
def progress_of(slug: Slug, studio: AtStudio, caller: From) -> dict[str, Any]:
    """How far each language is, and whether the queue is well."""
    with studio.database.read() as session:
        return progress(session, projects.project_named(session, slug), caller.now)


@router.get("/{slug}/leaderboard")
def leaderboard_of(slug: Slug, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Who did how much agreed work, by language."""
    with studio.database.read() as session:
        return {"people": leaderboard(session, projects.project_named(session, slug))}
