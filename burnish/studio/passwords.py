"""Passwords: argon2id hashes, made and checked a few at a time because each takes 64 MiB for a moment."""

from __future__ import annotations

import threading
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from burnish.studio.refusals import Invalid

SHORTEST = 10
LONGEST = 200
_HASHER = PasswordHasher()
_turns = threading.Semaphore(4)


def hashed(password: str) -> str:
    """What the database holds of a password.

    Raises:
        Invalid: it is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise Invalid("password", f"a password has {SHORTEST} to {LONGEST} characters; found {len(password)}")
    with _turns:
        return _HASHER.hash(password)


def matches(password: str, kept: str | None) -> bool:
    """Whether a password is the one of this hash; without a hash it takes as long, and is not."""
    with _turns:
        try:
            return _HASHER.verify(kept or _nobodys(), password[:LONGEST]) and kept is not None
        except VerificationError:
            return False


@lru_cache
def _nobodys() -> str:
    return _HASHER.hash("the password of somebody who is not there")
