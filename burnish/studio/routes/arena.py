"""The arena: begin a conversation, say something and hear two hidden models, vote, and see who they were."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse
from pydantic import Field

from burnish.studio import arena
from burnish.studio.arena_answers import Arena, Events
from burnish.studio.caller import AtStudio, From
from burnish.studio.contents import Text
from burnish.studio.options import options_from
from burnish.studio.projects import guideline, project_named
from burnish.studio.refusals import Conflict, Invalid
from burnish.studio.routes.shapes import Body, Number, Short, Slug
from burnish.studio.tables import Project, Turn

router = APIRouter(prefix="/api", tags=["arena"])

_MOST = 2**31 - 1
_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}, "description": "events"}}


class Begun(Body):
    """In which language."""

    language: Short


class Said(Body):
    """What the person says next."""

    text: Text = Field(max_length=200_000)


class NewVote(Body):
    """Which answer to a turn is better; null is a tie."""

    client_id: Short
    turn: int = Field(ge=1, le=_MOST)
    better: Literal["left", "right"] | None
    both_bad: bool = False
    guideline_version: int = Field(0, ge=0, le=_MOST)
    seconds: float = 0.0


def arena_of(request: Request) -> Arena:
    """The models of the app."""
    found = request.app.state.arena
    assert isinstance(found, Arena)
    return found


Models = Annotated[Arena, Depends(arena_of)]


@router.post("/projects/{slug}/arena")
def begin(slug: Slug, body: Begun, studio: AtStudio, caller: From, models: Models) -> dict[str, Any]:
    """Begin a conversation with two hidden models."""
    with studio.database.write() as session:
        project = project_named(session, slug)
        if missing := models.missing(list(options_from(project.options).models)):
            raise Invalid("models", f"this server knows no endpoint for {', '.join(missing)}; tell an admin")
        made = arena.start(session, studio.secret, project, caller.person, language=body.language, now=caller.now)
        shown = arena.conversation_dict(session, made)
        return {**shown, "project": slug, "guideline": guideline(session, project)}


@router.get("/arena/{conversation_id}")
def conversation(conversation_id: Number, studio: AtStudio, caller: From) -> dict[str, Any]:
    """My conversation as it is."""
    with studio.database.read() as session:
        found = arena.conversation_of(session, conversation_id, caller.person)
        project = session.get_one(Project, found.project_id)
        shown = arena.conversation_dict(session, found)
        return {**shown, "project": project.slug, "guideline": guideline(session, project)}


@router.post("/arena/{conversation_id}/say", response_class=StreamingResponse, responses=_STREAM)
def say(conversation_id: Number, body: Said, studio: AtStudio, caller: From, models: Models) -> Events:
    """Say something, and hear both answers as events."""
    with studio.database.write() as session:
        found = arena.conversation_of(session, conversation_id, caller.person, to_change=True)
        turn = arena.say(session, found, body.text, caller.now)
    return models.events(studio.database, found, turn)


@router.post("/arena/{conversation_id}/answer", response_class=StreamingResponse, responses=_STREAM)
def answer(conversation_id: Number, studio: AtStudio, caller: From, models: Models) -> Events:
    """Ask again for the answers to the last turn, if it has none."""
    with studio.database.read() as session:
        found = arena.conversation_of(session, conversation_id, caller.person)
        turns = arena.turns(session, found)
    if not turns or _is_answered(turns[-1]):
        raise Conflict("answered", "there is no turn without answers; say something")
    return models.events(studio.database, found, turns[-1])


@router.post("/arena/votes")
def vote(body: NewVote, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Vote on a turn; the answer says who the models were."""
    ballot = arena.Ballot(
        client_id=body.client_id,
        turn_id=body.turn,
        better=body.better,
        both_bad=body.both_bad,
        guideline_version=body.guideline_version,
        seconds=body.seconds,
    )
    with studio.database.write() as session:
        made, repeated = arena.vote(session, caller.person, ballot, caller.now)
        turn = session.get_one(Turn, made.turn_id)
        models = arena.reveal(session, arena.conversation_of(session, turn.conversation_id, caller.person))
        return {"vote": made.id, "repeated": repeated, "models": models}


def _is_answered(turn: Turn) -> bool:
    return turn.left_text is not None and turn.right_text is not None
