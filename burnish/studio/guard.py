"""What every request goes through before a route sees it, and every answer before the browser does.

    size      a body longer than the limit is refused, whether its length was announced or not
    origin    what changes something must come from a page of this server: `Origin`, or else `Sec-Fetch-Site`
    token     and, once signed in, carry the token of its session, which no other site can read (see `caller.py`)
    headers   a content security policy without inline script, no framing, no sniffing, no referrer, no caching

Written on ASGI itself, so that it also covers what FastAPI refuses on its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE = ("GET", "HEAD", "OPTIONS")
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class TooLong(Exception):
    """A body went on past the limit; raised into whatever reads it."""


class Guard:
    """The middleware.

    Args:
        app: what it stands before.
        origin: scheme, host and port of this server's pages; `None` takes any host under which it is called.
        is_secure: whether browsers are to keep to https from now on.
        most_bytes: of a body.
    """

    def __init__(self, app: ASGIApp, *, origin: str, is_secure: bool, most_bytes: int) -> None:
        self.app, self.origin, self.most_bytes = app, origin, most_bytes
        strict = {"Strict-Transport-Security": "max-age=31536000"} if is_secure else {}
        self.headers = {**HEADERS, **strict}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = _Body(receive, self.most_bytes)
        swapped = False

        async def answered(message: Message) -> None:
            nonlocal swapped
            if message["type"] == "http.response.start":
                if body.is_too_long and not swapped:  # whatever the route made of its broken body
                    swapped = True
                    await _answer(answered, *_too_long(self.most_bytes))
                    return
                self._add_headers(message)
            await send(message)

        if refusal := self._refusal(scope):
            await _answer(answered, *refusal)
            return

        async def passed(message: Message) -> None:
            if not swapped:
                await answered(message)

        await self.app(scope, body.receive, passed)

    def _add_headers(self, message: Message) -> None:
        headers = MutableHeaders(scope=message)
        for name, value in self.headers.items():
            headers[name] = value
        headers.setdefault("Cache-Control", "no-store")

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.most_bytes:
            return _too_long(self.most_bytes)
        if scope["method"] not in SAFE and not _own(headers, self.origin):
            return 403, "origin", f"this request does not come from a page of {self.origin}"
        return None


def _own(headers: Headers, origin: str) -> bool:
    """Whether a request comes from a page of this server; one that does not say is refused."""
    said = headers.get("origin")
    if said is not None:
        return said == origin
    return headers.get("sec-fetch-site") == "same-origin"


def _too_long(most_bytes: int) -> tuple[int, str, str]:
    return 413, "too-long", f"at most {most_bytes // 1_000_000} MB may be sent"


class _Body:
    """A request's body, counted as it comes in."""

    def __init__(self, receive: Receive, most_bytes: int) -> None:
        self._receive, self._left = receive, most_bytes

    @property
    def is_too_long(self) -> bool:
        """Whether more came than is allowed."""
        return self._left < 0

    async def receive(self) -> Message:
        """The next part."""
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self.is_too_long:
            raise TooLong
        return message


async def _answer(send: Send, status: int, code: str, message: str) -> None:
    body = json.dumps({"code": code, "message": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
