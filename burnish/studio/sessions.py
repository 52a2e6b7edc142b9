"""Signing in: sessions kept by the server, known by a random token in a cookie.

Every log-in makes a new token and ends the session whose token came along, so that a token that somebody planted
before (session fixation) is worth nothing after. The database holds keyed hashes of tokens alone.
"""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from burnish.studio.attempts import check_attempts, note_failure
from burnish.studio.clock import DAY
from burnish.studio.database import Database
from burnish.studio.passwords import LONGEST, matches
from burnish.studio.people import name_key
from burnish.studio.refusals import NotSignedIn
from burnish.studio.secret import Secret, new_token
from burnish.studio.tables import Login, Person


def log_in(database: Database, *, name: str, password: str, address: str, now: int) -> Person:
    """Who has this name and password. In transactions of its own: the password is checked between them.

    Args:
        database: where people are.
        name, password: as typed.
        address: where the request comes from, for the limit on guessing.
        now: the time.

    Raises:
        NotSignedIn: the name or the password is wrong; which of them is not said.
        TooMany: too many failures of late.
    """
    key = name_key(name)[:LONGEST]
    with database.read() as session:
        check_attempts(session, name_key=key, address=address, now=now)
        person = session.scalar(select(Person).where(Person.name_key == key))
    if not matches(password, person.password_hash if person else None) or person is None:
        with database.write() as session:
            note_failure(session, name_key=key, address=address, now=now)
        raise NotSignedIn("wrong-login", "the name or the password is wrong")
    return person


def begin_session(
    session: Session, secret: Secret, person: Person, *, days: int, now: int, replaced: str | None = None
) -> str:
    """Begin a session and return its token.

    Args:
        session: a transaction.
        secret: the studio's.
        person: who signed in.
        days: how long it lasts.
        now: the time.
        replaced: the token that the browser brought along, whose session ends.
    """
    if replaced is not None:
        end_session(session, secret, replaced)
    session.execute(delete(Login).where(Login.expires_at <= now))
    token = new_token()
    login = Login(token_hash=secret.hash(token), person_id=person.id, created_at=now, expires_at=now + days * DAY)
    session.add(login)
    return token


def end_session(session: Session, secret: Secret, token: str) -> None:
    """End the session of a token, if there is one."""
    session.execute(delete(Login).where(Login.token_hash == secret.hash(token)))


def end_other_sessions(session: Session, secret: Secret, person_id: int, token: str) -> None:
    """End all sessions of a person but this one."""
    session.execute(delete(Login).where(Login.person_id == person_id, Login.token_hash != secret.hash(token)))


def signed_in(session: Session, secret: Secret, token: str | None, now: int) -> Person:
    """Whose session a token is.

    Raises:
        NotSignedIn: nobody's, or it has ended.
    """
    if token is not None:
        by_token = select(Person).join(Login, Login.person_id == Person.id)
        found = session.scalar(by_token.where(Login.token_hash == secret.hash(token), Login.expires_at > now))
        if found is not None and found.deleted_at is None:
            return found
    raise NotSignedIn("not-signed-in", "sign in first")
