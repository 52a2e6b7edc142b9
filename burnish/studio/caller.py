"""Who calls, and whether they may: what every route depends on.

`Studio` is what the app holds: settings, database, secret, clock. `Caller` is a request's person with their session's
token. `admit` looks the route up in `burnish.studio.access`, finds the session of the cookie, and asks for the token
of requests that change something.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Response

from burnish.studio.access import ACCESS, ANYONE, allowed
from burnish.studio.clock import DAY, SECOND, Clock
from burnish.studio.database import Database
from burnish.studio.guard import SAFE
from burnish.studio.refusals import Denied, NotSignedIn
from burnish.studio.secret import Secret
from burnish.studio.sessions import signed_in
from burnish.studio.settings import StudioSettings
from burnish.studio.tables import Person

TOKEN_HEADER = "X-Burnish-Token"


@dataclass(frozen=True, kw_only=True)
class Studio:
    """What the app works with."""

    settings: StudioSettings
    database: Database
    secret: Secret
    clock: Clock

    @property
    def cookie(self) -> str:
        """The name of the session's cookie; over https a browser holds it to this host."""
        return "__Host-burnish" if self.settings.is_secure else "burnish"

    def set_cookie(self, response: Response, token: str) -> None:
        """Give the browser a session."""
        response.set_cookie(
            self.cookie,
            token,
            max_age=self.settings.session_days * DAY // SECOND,
            path="/",
            secure=self.settings.is_secure,
            httponly=True,
            samesite="lax",
        )

    def drop_cookie(self, response: Response) -> None:
        """Take the session from the browser."""
        response.delete_cookie(self.cookie, path="/", secure=self.settings.is_secure, httponly=True, samesite="lax")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who calls.

    Attributes:
        signed_in: the person; None where nobody has to be signed in and nobody is.
        token: of their session.
        address: where the request comes from.
        now: when it came.
    """

    signed_in: Person | None
    token: str | None
    address: str
    now: int

    @property
    def person(self) -> Person:
        """The person.

        Raises:
            NotSignedIn: nobody is signed in.
        """
        if self.signed_in is None:
            raise NotSignedIn("not-signed-in", "sign in first")
        return self.signed_in


def studio_of(request: Request) -> Studio:
    """The studio that the app serves."""
    studio = request.app.state.studio
    assert isinstance(studio, Studio)
    return studio


def admit(request: Request) -> Caller:
    """Let a request through to its route, or not.

    Raises:
        Denied: the route is in no table, the role is too low, or the token is missing or wrong.
        NotSignedIn: the route asks for a session.
    """
    studio = studio_of(request)
    least = ACCESS.get((request.method, request.scope["route"].path))
    if least is None:
        raise Denied("no-access", "nobody may call this")
    now, token = studio.clock(), request.cookies.get(studio.cookie)
    address = request.client.host if request.client else ""
    person = _person(studio, token, now)
    if person is None and least != ANYONE:
        raise NotSignedIn("not-signed-in", "sign in first")
    if not allowed(least, person.role if person else None):
        raise Denied("role", f"this is for {least}s")
    if person is not None and least != ANYONE and request.method not in SAFE:
        given, right = request.headers.get(TOKEN_HEADER, ""), studio.secret.request_token(token or "")
        if not hmac.compare_digest(given.encode(), right.encode()):
            raise Denied("token", f"the header {TOKEN_HEADER} is missing or of another session; reload the page")
    return Caller(signed_in=person, token=token, address=address, now=now)


def _person(studio: Studio, token: str | None, now: int) -> Person | None:
    if token is None:
        return None
    try:
        with studio.database.read() as session:
            return signed_in(session, studio.secret, token, now)
    except NotSignedIn:
        return None


AtStudio = Annotated[Studio, Depends(studio_of)]
From = Annotated[Caller, Depends(admit)]
