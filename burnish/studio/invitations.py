"""Links with which one person makes an account, once, before they expire.

The database holds a keyed hash of the secret part. The secret part stands after a `#` in the link, so that it reaches
neither the server's log nor a `Referer` header.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish.studio.clock import DAY
from burnish.studio.people import checked_languages, checked_role, new_person
from burnish.studio.refusals import Denied
from burnish.studio.secret import Secret, new_token
from burnish.studio.tables import Invitation, Person


def invite(
    session: Session,
    secret: Secret,
    *,
    role: str,
    languages: Sequence[str] = (),
    days: int,
    now: int,
    invited_by: int | None = None,
) -> str:
    """Make an invitation and return the token of its link, which is kept nowhere.

    Raises:
        Invalid: there is no such role or language.
    """
    token = new_token()
    invitation = Invitation(
        token_hash=secret.hash(token),
        role=checked_role(role),
        languages=checked_languages(languages),
        invited_by=invited_by,
        created_at=now,
        expires_at=now + days * DAY,
    )
    session.add(invitation)
    session.flush()
    return token


def link(origin: str, token: str) -> str:
    """The link to send somebody."""
    return f"{origin}/join#{token}"


def look(session: Session, secret: Secret, token: str, now: int) -> dict[str, Any]:
    """What an invitation offers.

    Raises:
        Denied: it is unknown, used, or too old; which of these is not said.
    """
    invitation = _good(session, secret, token, now)
    return {"role": invitation.role, "languages": invitation.languages, "expires_at": invitation.expires_at}


def join(
    session: Session,
    secret: Secret,
    token: str,
    *,
    name: str,
    password: str,
    languages: Sequence[str],
    now: int,
) -> Person:
    """Make the account that an invitation is for, and use the invitation up.

    Raises:
        Denied: the invitation is not good.
        Invalid, Conflict: as `new_person`; the invitation stays good.
    """
    invitation = _good(session, secret, token, now)
    spoken = languages or invitation.languages
    person = new_person(session, name=name, password=password, role=invitation.role, languages=spoken, now=now)
    invitation.used_at, invitation.person_id = now, person.id
    return person


def _good(session: Session, secret: Secret, token: str, now: int) -> Invitation:
    found = session.scalar(select(Invitation).where(Invitation.token_hash == secret.hash(token)).with_for_update())
    if found is None or found.used_at is not None or found.expires_at <= now:
        raise Denied("invitation", "this link is unknown, used or too old; ask for a new one")
    return found
