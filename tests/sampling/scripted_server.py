"""An OpenAI-compatible server on loopback that does what a script says, one step per request, and keeps what it got.

with serving([status(500), answer("yes")]) as server:
    ...                             # the first request gets status 500, the second and all after it "yes"
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]
"""Answers one request, given its body."""


@dataclass
class Server:
    """What the tests see.

    Attributes:
        url: base URL.
        requests: (path, headers, body) of each, in the order in which they came.
        most: requests that were under way at the same time, at the most.
    """

    url: str = ""
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    most: int = 0

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for path, _, body in self.requests if path.endswith("/chat/completions")]


def completion(text: str | None, **more: Any) -> dict[str, Any]:
    """A response with one choice; `more` is laid over the choice."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **more}
    return {"object": "chat.completion", "model": "the-model-0613", "choices": [choice]}


def body(data: Any, code: int = 200, **headers: str) -> Step:
    """Send `data` (text as it is, anything else as JSON)."""

    def step(handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        text = (data if isinstance(data, str) else json.dumps(data)).encode()
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    return step


def answer(text: str, **more: Any) -> Step:
    return body(completion(text, **more))


def status(code: int, text: str = "a fault", **headers: str) -> Step:
    return body(text, code, **headers)


def echo(handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
    """The last message again, later if it comes first in the alphabet, so that order has to be kept by the asker."""
    text = asked["messages"][-1]["content"]
    time.sleep(0.06 if text < "c" else 0.0)
    answer(text)(handler, asked)


def hang(seconds: float) -> Step:
    """No answer for so long."""

    def step(handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return step


def drip(handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
    """A byte every now and then, so that no single read takes long."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(80):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)
    handler.close_connection = True


def drop(handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
    """Half of an answer, then the connection is closed."""
    handler.send_response(200)
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    handler.wfile.write(json.dumps(completion("half"))[:40].encode())
    handler.close_connection = True


@contextmanager
def serving(script: Sequence[Step], models: Any = None) -> Iterator[Server]:
    """Serve `script`; its last step is repeated. `models` is the response to GET /models, None for status 404."""
    server, lock, busy, steps = Server(), threading.Lock(), [0], list(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.requests.append((self.path, dict(self.headers), {}))
            (status(404, "no list") if models is None else models if callable(models) else body(models))(self, {})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                server.requests.append((self.path, dict(self.headers), asked))
                step = steps.pop(0) if len(steps) > 1 else steps[0]
                busy[0] += 1
                server.most = max(server.most, busy[0])
            try:
                step(self, asked)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            finally:
                with lock:
                    busy[0] -= 1

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """The asker has gone, which is part of what is tested."""

    http = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
