"""The studio's pages: read what a page shows in one transaction, fill its template.

Everything that a page changes goes through the JSON routes, with the token that the page carries. Whoever asks for a
page without having signed in gets the form to sign in, under the same address.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from burnish.studio import adjudication, people, projects, record
from burnish.studio.arena_mine import my_votes
from burnish.studio.caller import AtStudio, Caller, From
from burnish.studio.exporting import FILES
from burnish.studio.kinds import KINDS
from burnish.studio.pages_frame import page
from burnish.studio.pages_home import entries
from burnish.studio.pages_shortcuts import shortcuts
from burnish.studio.refusals import Unknown
from burnish.studio.routes.shapes import Slug
from burnish.studio.shapes import SHAPES
from burnish.studio.tables import Project
from burnish.studio.views import agreement, bias, ratings
from burnish.studio.views.leaderboard import leaderboard
from burnish.studio.views.progress import progress

router = APIRouter(tags=["pages"], default_response_class=HTMLResponse, include_in_schema=False)
_OF = "/projects/{slug}"


@router.get("/")
def home(studio: AtStudio, caller: From) -> HTMLResponse:
    """The projects, and what waits in each."""
    with studio.database.read() as session:
        found = entries(session, caller.person, caller.now)
    return page("home.html", studio, caller, title="Projects", entries=found)


@router.get("/login")
def log_in(studio: AtStudio, caller: From) -> HTMLResponse:
    """The form to sign in."""
    return page("login.html", studio, caller, title="Sign in")


@router.get("/join")
def join(studio: AtStudio, caller: From) -> HTMLResponse:
    """The form of an invitation; its secret is behind the address's #, which browsers keep to themselves."""
    return page("join.html", studio, caller, title="Join")


@router.get("/account")
def account(studio: AtStudio, caller: From) -> HTMLResponse:
    """One's own password and languages."""
    return page("account.html", studio, caller, title="Your account")


@router.get(f"{_OF}/work")
def work(
    slug: Slug, studio: AtStudio, caller: From, correct: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None
) -> HTMLResponse:
    """Where people work; `correct` is a judgement of one's own to correct."""
    with studio.database.read() as session:
        project = projects.project_named(session, slug)
        values = {
            **_of(session, project),
            "shortcuts": shortcuts(project.kind),
            "guideline": projects.guideline(session, project),
            "shared": [tag for tag in project.languages if tag in caller.person.languages],
            "task": None if correct is None else _correction(session, project, caller, correct),
        }
    return page("work.html", studio, caller, title=values["project"]["title"], **values)


@router.get(f"{_OF}/guidelines")
def guidelines(slug: Slug, studio: AtStudio, caller: From) -> HTMLResponse:
    """The guidelines as they are now."""
    with studio.database.read() as session:
        project = projects.project_named(session, slug)
        values = {**_of(session, project), "guideline": projects.guideline(session, project)}
    return page("guidelines.html", studio, caller, title="Guidelines", **values)


@router.get(f"{_OF}/mine")
def mine(slug: Slug, studio: AtStudio, caller: From) -> HTMLResponse:
    """One's own newest judgements, or votes in an arena."""
    with studio.database.read() as session:
        project = projects.project_named(session, slug)
        values = {**_of(session, project), "judgements": [], "votes": []}
        if KINDS[project.kind].content:
            values["judgements"] = record.mine(session, project, caller.person)
        else:
            values["votes"] = my_votes(session, project, caller.person)
    return page("mine.html", studio, caller, title="My work", **values)


@router.get(f"{_OF}/progress")
def progress_of(slug: Slug, studio: AtStudio, caller: From) -> HTMLResponse:
    """How far each language is, whether the queue is well, and who did what."""
    with studio.database.read() as session:
        project = projects.project_named(session, slug)
        values = {
            **_of(session, project),
            "progress": progress(session, project, caller.now),
            "people": leaderboard(session, project),
            "now": caller.now,
        }
    return page("progress.html", studio, caller, title="Progress", **values)


@router.get(f"{_OF}/numbers")
def numbers(slug: Slug, studio: AtStudio, caller: From) -> HTMLResponse:
    """Agreement, biases, ratings of models, as far as the kind of work has them."""
    with studio.database.read() as session:
        project = projects.project_named(session, slug)
        kind = project.kind
        values = {
            **_of(session, project),
            "measures": agreement.agreement(session, project) if kind in agreement.KINDS else None,
            "bias": bias.bias(session, project) if kind in bias.KINDS else None,
            "models": ratings.ratings(session, project) if kind in ratings.KINDS else None,
        }
    return page("numbers.html", studio, caller, title="Agreement", **values)


@router.get(f"{_OF}/review")
def review(slug: Slug, studio: AtStudio, caller: From) -> HTMLResponse:
    """Items on which people disagree, and flags."""
    with studio.database.read() as session:
        project = projects.project_named(session, slug)
        values = {
            **_of(session, project),
            "disputes": adjudication.disputes(session, project),
            "flags": adjudication.flags(session, project),
        }
    return page("review.html", studio, caller, title="Review", **values)


@router.get(f"{_OF}/settings")
def settings(slug: Slug, studio: AtStudio, caller: From) -> HTMLResponse:
    """A project's settings, guidelines, imports and exports."""
    with studio.database.read() as session:
        project = projects.project_named(session, slug)
        values = {
            **_of(session, project),
            "guideline": projects.guideline(session, project),
            "others": [other.slug for other in projects.all_projects(session) if other.id != project.id],
            "shapes": [*SHAPES, "judgements"],
            "files": FILES,
        }
    return page("settings.html", studio, caller, title="Settings", **values)


@router.get("/admin")
def admin(studio: AtStudio, caller: From) -> HTMLResponse:
    """People, invitations, new projects."""
    with studio.database.read() as session:
        found = [people.shown(person) for person in people.everybody(session)]
    return page("admin.html", studio, caller, title="People and projects", people=found, kinds=list(KINDS))


def _of(session: Session, project: Project) -> dict[str, Any]:
    return {"project": projects.shown(session, project)}


def _correction(session: Session, project: Project, caller: Caller, number: int) -> dict[str, Any]:
    """A judgement of one's own as a task that is filled in."""
    mine = record.mine(session, project, caller.person) if KINDS[project.kind].content else []
    found = next((one for one in mine if one["judgement"] == number), None)
    if found is None:
        raise Unknown("judgement", f"you have no judgement {number} here, or not one of your newest")
    kept = ("item", "language", "prompt", "answers", "content")
    return {
        **{name: found[name] for name in kept},
        "kind": project.kind,
        "options": project.options,
        "guideline": projects.guideline(session, project),
        "supersedes": number,
    }
