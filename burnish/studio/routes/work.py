"""Work: the next item, its lease, judgements."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from burnish.studio import assignment, judgements, record
from burnish.studio.arena_mine import my_votes
from burnish.studio.caller import AtStudio, From
from burnish.studio.kinds import kind_named
from burnish.studio.projects import project_named
from burnish.studio.routes.shapes import Body, Long, Number, Short, Slug

router = APIRouter(prefix="/api", tags=["work"])

_MOST = 2**31 - 1


class Next(Body):
    """Which work is wanted."""

    language: Short | None = None
    besides: list[int] = Field(default_factory=list, max_length=100)


class Reason(Body):
    """Why."""

    reason: Short


class Complaint(Reason):
    """Why, in more words."""

    comment: Long = ""


class NewJudgement(Body):
    """What a person says of an item."""

    client_id: Short
    item: int = Field(ge=1, le=_MOST)
    content: dict[str, Any]
    guideline_version: int = Field(0, ge=0, le=_MOST)
    seconds: float = 0.0
    supersedes: int | None = Field(None, ge=1, le=_MOST)


@router.post("/projects/{slug}/next")
def next_task(slug: Slug, body: Next, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Hand out the next item."""
    with studio.database.write() as session:
        project = project_named(session, slug)
        handed = assignment.next_task(
            session,
            studio.secret,
            project,
            caller.person,
            now=caller.now,
            language=body.language,
            besides=body.besides,
        )
        if handed.item is None or handed.lease is None:
            return {"task": None, "why": handed.why}
        return {"task": assignment.task_dict(session, project, handed.item, handed.lease)}


@router.get("/projects/{slug}/mine")
def mine(slug: Slug, studio: AtStudio, caller: From) -> dict[str, Any]:
    """My newest judgements, or votes in an arena, as I saw them."""
    with studio.database.read() as session:
        project = project_named(session, slug)
        if kind_named(project.kind).content is None:
            return {"votes": my_votes(session, project, caller.person)}
        return {"judgements": record.mine(session, project, caller.person)}


@router.post("/items/{item_id}/renew")
def renew(item_id: Number, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Begin the time of a lease anew."""
    with studio.database.write() as session:
        return {"expires_at": assignment.renew(session, item_id, caller.person, caller.now).expires_at}


@router.post("/items/{item_id}/release")
def release(item_id: Number, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Give an item back."""
    with studio.database.write() as session:
        assignment.release(session, item_id, caller.person)
    return {}


@router.post("/items/{item_id}/skip")
def skip(item_id: Number, body: Reason, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Pass over an item for good."""
    with studio.database.write() as session:
        assignment.skip(session, item_id, caller.person, reason=body.reason, now=caller.now)
    return {}


@router.post("/items/{item_id}/flag")
def flag(item_id: Number, body: Complaint, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Say that something is wrong with an item."""
    with studio.database.write() as session:
        made = assignment.flag(
            session, item_id, caller.person, reason=body.reason, comment=body.comment, now=caller.now
        )
        return {"flag": made.id}


@router.post("/judgements")
def judge(body: NewJudgement, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Take in a judgement."""
    submission = judgements.Submission(
        client_id=body.client_id,
        item_id=body.item,
        content=body.content,
        guideline_version=body.guideline_version,
        seconds=body.seconds,
        supersedes=body.supersedes,
    )
    with studio.database.write() as session:
        receipt = judgements.submit(session, caller.person, submission, caller.now)
        made = receipt.judgement
        return {"judgement": made.id, "counted": made.counted, "repeated": receipt.repeated}
