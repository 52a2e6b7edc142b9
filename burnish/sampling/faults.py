"""What can go wrong between an endpoint and us: which faults pass, and how a response is quoted.

408, 425, 429, 5xx      passes; `Retry-After` says how long to wait at least
any other but 2xx       lasts
"""

from __future__ import annotations

import email.utils
import json
import time

import httpx2

from burnish.errors import shown

_PASSING = frozenset({408, 425, 429})
_BODY_SHOWN = 300  # characters


class Passing(Exception):
    """A fault after which another try may succeed, with the seconds to wait at least."""

    def __init__(self, cause: str, wait: float = 0.0) -> None:
        self.wait = wait
        super().__init__(cause)


class Lasting(Exception):
    """A fault that another try would meet again."""


def said(response: httpx2.Response, key: str | None) -> str:
    """The status and the beginning of the body, without the key, which some endpoints repeat."""
    text = response.text.replace(key, "[key]") if key else response.text
    return f"status {response.status_code}, and the body begins {shown(text[:_BODY_SHOWN], limit=2 * _BODY_SHOWN)}"


def require_success(response: httpx2.Response, *, longest_wait: float, key: str | None) -> None:
    """Let a response of status 2xx pass.

    Args:
        response: read whole.
        longest_wait: seconds; an endpoint that asks to wait longer has failed for good.
        key: is not quoted.

    Raises:
        Passing: the fault may be gone next time.
        Lasting: it will not.
    """
    status = response.status_code
    if response.is_success:
        return
    if status not in _PASSING and status < httpx2.codes.INTERNAL_SERVER_ERROR:
        raise Lasting(said(response, key))
    wait = retry_after(response.headers.get("Retry-After"))
    if wait > longest_wait:
        asked = f"it asks to wait {wait:.0f} seconds, and longest_wait_seconds is {longest_wait:g}"
        raise Lasting(f"{said(response, key)}; {asked}")
    raise Passing(said(response, key), wait)


def retry_after(value: str | None) -> float:
    """Seconds that the header asks to wait: a number of them, or a date; 0 if it says nothing that can be read."""
    if value is None:
        return 0.0
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


def names_in(response: httpx2.Response) -> tuple[str, ...] | None:
    """The ids in a list of models, None if it is no such list."""
    try:
        return tuple(str(item["id"]) for item in json.loads(response.content)["data"])
    except (ValueError, KeyError, TypeError):
        return None
