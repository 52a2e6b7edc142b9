"""Both hidden models answer a turn, as server-sent events.

    event: turn     {"turn": 7}                          which turn is answered
    event: text     {"left": "...", "right": "..."}      what comes next on each side
    event: done     the whole conversation               both answers are written down
    event: error    {"code", "message"}                  they are not; ask for answers again

Both answers are written down in one transaction, or neither is: whoever goes away, whatever fails or restarts, leaves a
turn without answers, for which they can be asked for again. What is said of a failure is the same whichever model
failed, and the cause goes to the server's log alone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from burnish.errors import BurnishError
from burnish.studio.arena import SIDES, answer, conversation_dict, heard
from burnish.studio.arena_models import Speaker, in_step
from burnish.studio.database import Database
from burnish.studio.refusals import Conflict
from burnish.studio.tables import Conversation, Turn

_log = logging.getLogger(__name__)


class Events(StreamingResponse):
    """Server-sent events that end with the connection: what makes them is closed when the browser has gone."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[str]) -> None:
        self._events = events
        super().__init__(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve them."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()  # type: ignore[attr-defined]  # it is a generator


class Arena:
    """The models that answer, and the turns that are being answered by this process.

    Args:
        speakers: the models by name.
    """

    def __init__(self, speakers: Mapping[str, Speaker]) -> None:
        self.speakers = speakers
        self._under_way: set[int] = set()

    def missing(self, names: list[str]) -> list[str]:
        """Those of the models that no endpoint is known of."""
        return [name for name in names if name not in self.speakers]

    def events(self, database: Database, conversation: Conversation, turn: Turn) -> Events:
        """Have a turn answered that has no answers yet.

        Raises:
            Conflict: it is being answered.
        """
        if turn.id in self._under_way:
            raise Conflict("being-answered", "this turn is being answered in another window; wait for it")
        return Events(self._answered(database, conversation, turn))

    async def _answered(self, database: Database, conversation: Conversation, turn: Turn) -> AsyncIterator[str]:
        self._under_way.add(turn.id)
        said: dict[str, str] = dict.fromkeys(SIDES, "")
        try:
            yield _event("turn", {"turn": turn.id})
            messages = await run_in_threadpool(_heard, database, conversation, turn)
            names = {"left": conversation.left, "right": conversation.right}
            pieces = in_step([self.speakers[names[side]].stream(messages[side]) for side in SIDES])
            try:
                async for piece in pieces:
                    new: dict[str, str] = dict(zip(SIDES, piece, strict=True))
                    said = {side: said[side] + new[side] for side in SIDES}
                    yield _event("text", new)
            finally:
                await pieces.aclose()  # type: ignore[attr-defined]  # it is a generator
            yield _event("done", await run_in_threadpool(_written, database, conversation, turn, said))
        except (BurnishError, KeyError) as error:
            _log.warning("the arena's turn %d has no answers: %r", turn.id, error)
            yield _event("error", {"code": "no-answer", "message": "the models could not answer just now; try again"})
        finally:
            self._under_way.discard(turn.id)


def _heard(database: Database, conversation: Conversation, turn: Turn) -> dict[str, list[dict[str, str]]]:
    with database.read() as session:
        return {side: heard(session, conversation, turn, side) for side in SIDES}


def _written(database: Database, conversation: Conversation, turn: Turn, said: Mapping[str, str]) -> dict[str, Any]:
    """Write both answers down, and give the conversation as it then is."""
    with database.write() as session:
        for side in SIDES:
            answer(session, turn.id, side, said[side])
        session.flush()
        return conversation_dict(session, conversation)


def _event(name: str, data: Mapping[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
