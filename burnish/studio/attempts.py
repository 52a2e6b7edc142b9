"""A limit on guessing passwords: failures of the last quarter of an hour, counted by name and by address.

They stand in the database, so that a restart forgets none. A name is closed to one address after 10 failures, to all
after 50, and an address for all names after 40; they open by themselves. So nobody is kept out by one other person
who types wrong passwords. A right password takes no failure away: who guesses one account while using another gains
nothing.
"""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from burnish.studio.clock import MINUTE, SECOND
from burnish.studio.refusals import TooMany
from burnish.studio.tables import LoginFailure

WINDOW = 15 * MINUTE
PER_PAIR = 10
PER_NAME = 50
PER_ADDRESS = 40


def check_attempts(session: Session, *, name_key: str, address: str, now: int) -> None:
    """Let a try through, or not.

    Raises:
        TooMany: too many failures; says how long to wait.
    """
    same_name, same_address = LoginFailure.name_key == name_key, LoginFailure.address == address
    for same, limit in ((same_name & same_address, PER_PAIR), (same_name, PER_NAME), (same_address, PER_ADDRESS)):
        recent = select(LoginFailure.at).where(same, LoginFailure.at > now - WINDOW)
        times = session.scalars(recent.order_by(LoginFailure.at.desc()).limit(limit)).all()
        if len(times) == limit:
            seconds = max(1, (times[-1] + WINDOW - now + SECOND - 1) // SECOND)
            message = f"too many wrong tries; wait {seconds} seconds"
            raise TooMany("too-many", message, retry_seconds=seconds)


def note_failure(session: Session, *, name_key: str, address: str, now: int) -> None:
    """Remember a failure, and forget those that no longer count."""
    session.execute(delete(LoginFailure).where(LoginFailure.at <= now - WINDOW))
    session.add(LoginFailure(name_key=name_key, address=address, at=now))
