"""Where an OpenAI-compatible endpoint is, how it is asked, and how patient one is with it.

    url     http://localhost:8000/v1       the base; `/chat/completions` and `/models` are put behind it
    key     $MY_KEY                        the settings name the variable, so that records hold no key

A fault that passes (see `remote.py`) is followed by another try. Between two tries lie

    min(longest_wait, first_wait * 2^n) * (1 + u) / 2  seconds,   n = 0, 1, ...   u in [0, 1) derived from the question

so that questions which failed together do not come back together. Where the endpoint says how long to wait
(`Retry-After`), it is waited at least so long; if that is more than `longest_wait_seconds`, the question has failed.
"""

from __future__ import annotations

import os
from typing import Literal
from urllib.parse import urlsplit

from burnish.config import setting, settings
from burnish.errors import ConfigError
from burnish.numerics import seed_from

_SEEDS = 2**63


@settings
class Endpoint:
    """An OpenAI-compatible endpoint for chat completions."""

    url: str = setting(..., "base URL of an OpenAI-compatible endpoint, such as http://localhost:8000/v1")
    model: str = setting(..., "name of the model there", min_length=1)
    key_variable: str | None = setting(None, "environment variable that holds the API key", min_length=1)
    timeout_seconds: float = setting(120.0, "until a try without a whole reply has failed", unit="seconds", gt=0)
    tries: int = setting(8, "of a request, before it has failed", ge=1)
    first_wait_seconds: float = setting(1.0, "between the first two tries; doubles each time", unit="seconds", gt=0)
    longest_wait_seconds: float = setting(60.0, "between two tries", unit="seconds", gt=0)
    concurrency: int = setting(8, "requests under way at a time", ge=1)
    limit_name: Literal["max_tokens", "max_completion_tokens"] = setting(
        "max_tokens", "what the endpoint calls the limit on a reply's tokens"
    )

    def __post_init__(self) -> None:
        fault = _url_fault(self.url)
        if fault:
            raise ValueError(f"url {fault}; expected the base URL of the endpoint, such as http://localhost:8000/v1")


def _url_fault(url: str) -> str | None:
    """What is wrong with a base URL; the message quotes no part that may be a secret."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return "is no URL"
    if parts.scheme not in ("http", "https") or not host:
        return "is no http or https URL with a host"
    if parts.username is not None or parts.query or parts.fragment:
        return "holds a user, a query or a fragment, where keys get recorded (name a variable in key_variable instead)"
    if parts.path.rstrip("/").endswith("/chat/completions"):
        return "ends in /chat/completions, which is added to it"
    return None


def api_key(endpoint: Endpoint) -> str | None:
    """The key in the variable that the settings name, None if they name none.

    Raises:
        ConfigError: the variable is not set, or holds what no HTTP header may hold. The message does not quote it.
    """
    name = endpoint.key_variable
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise ConfigError([f"key_variable is {name}, and no such variable is set; type: export {name}=..."])
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError([f"the variable {name} holds spaces or characters that no key has; set it to the key alone"])
    return key


def wait_seconds(endpoint: Endpoint, tries: int, *keys: str | int) -> float:
    """How long to wait after so many tries, 1 or more; the jitter is a function of the keys."""
    longest = min(endpoint.longest_wait_seconds, endpoint.first_wait_seconds * 2.0 ** min(tries - 1, 60))
    return longest * (1 + seed_from("wait", *keys, tries) / _SEEDS) / 2
