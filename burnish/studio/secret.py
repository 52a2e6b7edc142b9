"""The secret of a studio, and what is derived from it.

The secret is made on the first start and kept in the folder, readable by its owner alone; the variable
BURNISH_STUDIO_SECRET takes its place. With it the database holds only keyed hashes of tokens, so that a copy of the
database signs nobody in, and what is drawn (the order of answers, which item is gold) cannot be foretold by those who
see the items.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from burnish.studio.refusals import StudioError
from burnish.studio.settings import StudioSettings

VARIABLE = "BURNISH_STUDIO_SECRET"
FILE = "secret"
_SHORTEST = 32


class Secret:
    """A secret that is used, never shown.

    Args:
        text: at least 32 characters.

    Raises:
        StudioError: it is shorter.
    """

    def __init__(self, text: str) -> None:
        if len(text) < _SHORTEST:
            raise StudioError(f"the secret has {len(text)} characters; {VARIABLE} needs {_SHORTEST} or more")
        self._key = text.encode()

    def hash(self, token: str) -> str:
        """What the database holds instead of a token."""
        return self._digest("token", token).hex()

    def request_token(self, session_token: str) -> str:
        """What a page of this session sends along to show that a request is its own."""
        return self._digest("request", session_token).hex()

    def draw(self, *what: object) -> float:
        """A number from 0 to below 1, always the same for the same things."""
        return int.from_bytes(self._digest("draw", repr(what))[:7], "big") / 2**56

    def order(self, count: int, *what: object) -> list[int]:
        """The numbers below `count` in an order that is always the same for the same things."""
        return sorted(range(count), key=lambda number: self.draw("order", *what, number))

    def _digest(self, use: str, text: str) -> bytes:
        return hmac.digest(self._key, f"{use}\0{text}".encode(), hashlib.sha256)


def new_token() -> str:
    """A token that nobody can guess: 256 random bits."""
    return secrets.token_urlsafe(32)


def studio_secret(settings: StudioSettings, environment: Mapping[str, str] = os.environ) -> Secret:
    """The secret of a studio, made now if this is its first start.

    Raises:
        StudioError: it would listen beyond this machine and no secret was ever set, or the file cannot be read.
    """
    if text := environment.get(VARIABLE):
        return Secret(text)
    path = settings.path / FILE
    if not path.exists() and not settings.is_local:
        raise StudioError(
            f"{settings.host} is reached from other machines, and this studio has no secret yet; "
            f"set the variable {VARIABLE} to {_SHORTEST} or more random characters, or start it once on 127.0.0.1"
        )
    return Secret(_kept(path))


def _kept(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(handle, "w", encoding="ascii") as file:
        text = secrets.token_hex(32)
        file.write(text + "\n")
    return text
