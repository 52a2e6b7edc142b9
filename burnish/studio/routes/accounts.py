"""Signing in and out, joining, one's own account, everybody's accounts."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from burnish.studio import invitations, people, sessions
from burnish.studio.attempts import check_attempts, note_failure
from burnish.studio.caller import AtStudio, Caller, From, Studio
from burnish.studio.contents import Text
from burnish.studio.refusals import Denied
from burnish.studio.routes.shapes import Body, Languages, Number, Short
from burnish.studio.tables import Person

router = APIRouter(prefix="/api", tags=["accounts"])


class LogIn(Body):
    """A name and a password."""

    name: Short
    password: Text = Field(max_length=1000)


class LinkToken(Body):
    """The secret part of a link of invitation."""

    token: Short


class Join(LinkToken):
    """What a new account is made of."""

    name: Short
    password: Text = Field(max_length=1000)
    languages: Languages = Field(default_factory=list)


class NewPassword(Body):
    """The old password and the new one."""

    old: Text = Field(max_length=1000)
    new: Text = Field(max_length=1000)


class Spoken(Body):
    """Languages that somebody works in."""

    languages: Languages


class NewRole(Body):
    """A role."""

    role: Short


class NewInvitation(Body):
    """Whom a link is for."""

    role: Short
    languages: Languages = Field(default_factory=list)


@router.post("/login")
def log_in(body: LogIn, studio: AtStudio, caller: From, response: Response) -> dict[str, Any]:
    """Sign in."""
    person = sessions.log_in(
        studio.database, name=body.name, password=body.password, address=caller.address, now=caller.now
    )
    return _begun(studio, caller, person, response)


@router.post("/logout")
def log_out(studio: AtStudio, caller: From, response: Response) -> dict[str, Any]:
    """Sign out."""
    with studio.database.write() as session:
        sessions.end_session(session, studio.secret, caller.token or "")
    studio.drop_cookie(response)
    return {}


@router.post("/invitations/look")
def look(body: LinkToken, studio: AtStudio, caller: From) -> dict[str, Any]:
    """What an invitation offers."""
    with studio.database.read() as session:
        check_attempts(session, name_key="(link)", address=caller.address, now=caller.now)
    try:
        with studio.database.write() as session:
            return invitations.look(session, studio.secret, body.token, caller.now)
    except Denied:
        _note_link(studio, caller)
        raise


@router.post("/join")
def join(body: Join, studio: AtStudio, caller: From, response: Response) -> dict[str, Any]:
    """Make the account of an invitation and sign it in."""
    with studio.database.read() as session:
        check_attempts(session, name_key="(link)", address=caller.address, now=caller.now)
    try:
        with studio.database.write() as session:
            person = invitations.join(
                session,
                studio.secret,
                body.token,
                name=body.name,
                password=body.password,
                languages=body.languages,
                now=caller.now,
            )
    except Denied:
        _note_link(studio, caller)
        raise
    return _begun(studio, caller, person, response)


@router.get("/me")
def me(studio: AtStudio, caller: From) -> dict[str, Any]:
    """Who is signed in, and the token for requests that change something."""
    return _me(studio, caller.person, caller.token or "")


@router.post("/me/password")
def set_password(body: NewPassword, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Change one's password; one's other sessions end."""
    key = people.name_key(caller.person.name or "")
    with studio.database.read() as session:
        check_attempts(session, name_key=key, address=caller.address, now=caller.now)
    try:
        with studio.database.write() as session:
            people.set_password(session, caller.person.id, body.old, body.new)
            sessions.end_other_sessions(session, studio.secret, caller.person.id, caller.token or "")
    except Denied:
        with studio.database.write() as session:
            note_failure(session, name_key=key, address=caller.address, now=caller.now)
        raise
    return {}


@router.post("/me/languages")
def set_languages(body: Spoken, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Say in which languages one works."""
    with studio.database.write() as session:
        return people.shown(people.set_languages(session, caller.person.id, body.languages))


@router.get("/people")
def everybody(studio: AtStudio, caller: From) -> dict[str, Any]:
    """All accounts."""
    with studio.database.read() as session:
        return {"people": [people.shown(person) for person in people.everybody(session)]}


@router.post("/people/{person_id}/role")
def set_role(person_id: Number, body: NewRole, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Give somebody another role."""
    with studio.database.write() as session:
        return people.shown(people.set_role(session, person_id, body.role))


@router.delete("/people/{person_id}")
def delete_person(person_id: Number, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Delete an account; its judgements stay."""
    with studio.database.write() as session:
        people.delete_person(session, person_id, caller.now)
    return {}


@router.post("/invitations")
def invite(body: NewInvitation, studio: AtStudio, caller: From) -> dict[str, Any]:
    """Make a link of invitation."""
    with studio.database.write() as session:
        token = invitations.invite(
            session,
            studio.secret,
            role=body.role,
            languages=body.languages,
            days=studio.settings.invitation_days,
            now=caller.now,
            invited_by=caller.person.id,
        )
        offered = invitations.look(session, studio.secret, token, caller.now)
    return {"link": invitations.link(studio.settings.origin, token), **offered}


def _begun(studio: Studio, caller: Caller, person: Person, response: Response) -> dict[str, Any]:
    with studio.database.write() as session:
        token = sessions.begin_session(
            session, studio.secret, person, days=studio.settings.session_days, now=caller.now, replaced=caller.token
        )
    studio.set_cookie(response, token)
    return _me(studio, person, token)


def _me(studio: Studio, person: Person, token: str) -> dict[str, Any]:
    return {"person": people.shown(person), "token": studio.secret.request_token(token)}


def _note_link(studio: Studio, caller: Caller) -> None:
    with studio.database.write() as session:
        note_failure(session, name_key="(link)", address=caller.address, now=caller.now)
