"""Replies of an endpoint kept in a file, so that a killed run does not ask, and pay for, the same question twice.

A line per reply, written and flushed as it comes: the SHA-256 of the request, and the reply. The key is not part of it.
A request counts as known only if all of it is the same: URL, model, messages, decoding and seed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnish.sampling.chat_completions import Reply


class Journal:
    """The replies to requests made so far.

    Args:
        path: of the file; its folder exists.
        resume: whether to go on with what the file holds; else it is begun anew. A line cut in the middle, and what
            follows it, is dropped.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        self._replies = dict(_kept(path)) if resume and path.is_file() else {}
        path.write_text("".join(_line(key, reply) for key, reply in self._replies.items()), encoding="utf-8")

    def __len__(self) -> int:
        return len(self._replies)

    def known(self, url: str, body: Mapping[str, Any]) -> Reply | None:
        """The reply to this very request, None if it was not made yet."""
        return self._replies.get(_key(url, body))

    def keep(self, url: str, body: Mapping[str, Any], reply: Reply) -> None:
        """Write a reply down."""
        key = _key(url, body)
        self._replies[key] = reply
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(key, reply))


def _key(url: str, body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([url, body], sort_keys=True).encode()).hexdigest()


def _line(key: str, reply: Reply) -> str:
    return json.dumps({"request": key, **dataclasses.asdict(reply)}, ensure_ascii=False) + "\n"


def _kept(path: Path) -> list[tuple[str, Reply]]:
    found = []
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
            logps = None if row["logps"] is None else tuple(row["logps"])
            reply = Reply(text=row["text"], finish=row["finish"], model=row["model"], logps=logps)
            found.append((row["request"], reply))
        except (ValueError, KeyError, TypeError):
            break
    return found
