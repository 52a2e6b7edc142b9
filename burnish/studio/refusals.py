"""What a service says when it does not do what was asked: a sentence, a short code for programs, an HTTP status.

    Refused
    ├── Invalid      422  the values are wrong
    ├── Unknown      404  there is no such thing
    ├── Denied       403  this person may not
    ├── NotSignedIn  401  nobody is signed in, or the name or password is wrong
    ├── Conflict     409  it does not go with what is there already
    └── TooMany      429  too many tries; says when to come back

Also `StudioError`: the studio cannot start, or cannot be backed up or restored; for the command line.
"""

from __future__ import annotations

from burnish.errors import BurnishError


class StudioError(BurnishError):
    """The studio cannot start, or its data cannot be backed up or restored."""


class Refused(BurnishError):
    """A service did not do what was asked; nothing was changed.

    Args:
        code: short and stable, for programs.
        message: for people: what was found, what is allowed.
    """

    status = 400

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class Invalid(Refused):
    """The values are wrong."""

    status = 422


class Unknown(Refused):
    """There is no such thing, or this person may not know of it."""

    status = 404


class Denied(Refused):
    """This person may not do that."""

    status = 403


class NotSignedIn(Refused):
    """Nobody is signed in, or the name or password is wrong."""

    status = 401


class Conflict(Refused):
    """It does not go with what is there already."""

    status = 409


class TooMany(Refused):
    """Too many tries.

    Args:
        retry_seconds: how long to wait.
    """

    status = 429

    def __init__(self, code: str, message: str, *, retry_seconds: int) -> None:
        self.retry_seconds = retry_seconds
        super().__init__(code, message)
