"""50 people at work: an open-loop load of so many requests a second, then all of them at once until nothing is left.

    due        ──┬───┬──┬─────┬──►   drawn beforehand, on average `rate` a second; they wait for nobody
    somebody     └ the next step of what one of the people is doing
    latency      from the moment at which the request was due, to the last byte of its answer

So what waits because the server, or this program, is behind counts as waiting: a load that sends the next request when
the last one was answered would leave that out. A person does one thing after the other, as a browser does: the page,
the next item and one ahead, a judgement and the next item, now and then a judgement that is sent again because its
answer was not heard, the progress.

Nobody's answers are thought about. Whether what comes back is right is checked at the end, from the database.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from benchmarks.studio.crowd import SLUG, Member
from burnish.studio.caller import TOKEN_HEADER

_PAUSE = 0.2
"""Seconds until somebody asks again who was told to wait."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A request that was answered.

    Attributes:
        what: the kind of request.
        seconds: from when it was due.
        status: of the answer; 0 if there was none.
    """

    what: str
    seconds: float
    status: int


@dataclass
class Log:
    """What all of them saw.

    Attributes:
        answered: requests, in the order of their answers.
        handed: who was handed which item, each time.
        acknowledged: client ids that the studio said it has.
        odd: what was answered in place of what had to be.
    """

    answered: list[Answered] = field(default_factory=list)
    handed: list[tuple[str, int]] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    odd: list[str] = field(default_factory=list)


class Annotator:
    """One person with a browser.

    Args:
        member: who.
        client: keeps the connections.
        log: where they write what they see.
    """

    def __init__(self, member: Member, client: httpx2.AsyncClient, log: Log) -> None:
        self.member, self._client, self.log = member, client, log
        self._held: deque[dict[str, Any]] = deque()
        self._sending: set[int] = set()
        self._last: dict[str, Any] | None = None
        self._numbers = itertools.count()
        self._steps = self._journey()
        self._turn = asyncio.Lock()

    async def step(self, due: float) -> None:
        """The next step; one that is due while another is under way waits for it."""
        async with self._turn:
            await next(self._steps)(due)

    async def work_until_done(self) -> None:
        """Judge, and ask for the next item at the same moment, until there is none."""
        while True:
            if not self._held:
                why = await self._ask(time.perf_counter())
                if why == "wait":
                    await asyncio.sleep(_PAUSE)
                elif why is not None:
                    return
                continue
            now = time.perf_counter()
            await asyncio.gather(self._judge(now), self._ask(now))

    def _journey(self) -> Iterator[Callable[[float], Awaitable[object]]]:
        yield self._ask  # the one ahead
        while True:
            yield from (self._page, *(self._ask, self._judge) * 3, self._repeat, self._progress)

    async def _page(self, due: float) -> None:
        await self._call("work page", "GET", f"/projects/{SLUG}/work", due)

    async def _progress(self, due: float) -> None:
        await self._call("progress page", "GET", f"/projects/{SLUG}/progress", due)

    async def _ask(self, due: float) -> str | None:
        """Ask for an item; returns why there is none."""
        besides = [task["item"] for task in self._held] + list(self._sending)
        answer = await self._call("next item", "POST", f"/api/projects/{SLUG}/next", due, {"besides": besides})
        if answer is None:
            return "refused"
        if (task := answer["task"]) is None:
            return str(answer["why"])
        self.log.handed.append((self.member.name, task["item"]))
        self._held.append(task)
        return None

    async def _judge(self, due: float) -> None:
        """Judge what was handed first; with nothing in hand, ask."""
        if not self._held:
            await self._ask(due)
            return
        task = self._held.popleft()
        number = next(self._numbers)
        self._last = {
            "client_id": f"{self.member.name.replace(' ', '-')}-{number:06d}",
            "item": task["item"],
            "content": {"better": number % 2, "strength": 1 + number % 3},
            "guideline_version": task["guideline"]["version"],
            "seconds": 2.5,
        }
        self._sending.add(task["item"])
        await self._send("judgement", due, self._last, repeated=False)
        self._sending.remove(task["item"])

    async def _repeat(self, due: float) -> None:
        """Send the last judgement again; without one, ask."""
        if self._last is None:
            await self._ask(due)
            return
        await self._send("judgement again", due, self._last, repeated=True)

    async def _send(self, what: str, due: float, sent: dict[str, Any], *, repeated: bool) -> None:
        answer = await self._call(what, "POST", "/api/judgements", due, sent)
        if answer is None:
            return
        self.log.acknowledged.add(sent["client_id"])
        if answer["repeated"] != repeated:
            self.log.odd.append(f"{what} {sent['client_id']}: found repeated {answer['repeated']}")

    async def _call(self, what: str, method: str, path: str, due: float, body: Any = None) -> Any:
        """The answer's JSON, True for a page; None if it was refused or never came."""
        headers = {"Cookie": self.member.cookie, TOKEN_HEADER: self.member.token}
        headers["Origin"] = str(self._client.base_url).rstrip("/")
        try:
            answer = await self._client.request(method, path, json=body, headers=headers)
        except httpx2.HTTPError as error:
            self.log.odd.append(f"{what}: {error!r}")
            self.log.answered.append(Answered(what=what, seconds=time.perf_counter() - due, status=0))
            return None
        self.log.answered.append(Answered(what=what, seconds=time.perf_counter() - due, status=answer.status_code))
        if answer.status_code != 200:
            self.log.odd.append(f"{what}: {answer.status_code} {answer.text[:200]}")
            return None
        return answer.json() if path.startswith("/api/") else True


def moments(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """When requests are due: as if people came independently of each other, `rate` a second on average."""
    drawn, moment = random.Random(seed), 0.0
    while (moment := moment + drawn.expovariate(rate)) < seconds:
        yield moment


async def open_loop(people: Sequence[Annotator], *, rate: float, seconds: float, seed: int) -> float:
    """Send requests when they are due, whatever became of those before; returns how long all took."""
    drawn, start = random.Random(seed), time.perf_counter()
    async with asyncio.TaskGroup() as sent:
        for moment in moments(rate, seconds, seed):
            await asyncio.sleep(start + moment - time.perf_counter())
            sent.create_task(drawn.choice(people).step(start + moment))
    return time.perf_counter() - start


async def worked(
    members: Sequence[Member], address: str, *, rate: float, seconds: float, seed: int
) -> tuple[Log, Log, float]:
    """The load, then all people at once until nothing is left.

    Returns:
        What they saw in the load, what in the rest, and how many seconds the load took.
    """
    limits = httpx2.Limits(max_connections=len(members) * 2, max_keepalive_connections=len(members) * 2)
    load, rest = Log(), Log()
    async with httpx2.AsyncClient(base_url=address, limits=limits, timeout=60, trust_env=False) as client:
        people = [Annotator(member, client, load) for member in members]
        took = await open_loop(people, rate=rate, seconds=seconds, seed=seed)
        for one in people:
            one.log = rest
        await asyncio.gather(*(one.work_until_done() for one in people))
    return load, rest, took
