"""The text engine of an OpenAI-compatible endpoint: messages in, text out, and no request lost to a passing fault.

    what happens                                                    what is done
    connection refused, dropped or timed out; status 408, 425,
    429, 5xx; a body that is no JSON or lacks the reply             try again, up to `tries` times (`endpoint.py`)
    status 404                                                      EndpointError that lists the endpoint's models
    any other status; a `Retry-After` beyond the longest wait       EndpointError at once
    log-probs were asked for and did not come                       EndpointError at once: it would not come next time

At most `concurrency` requests are under way; one that waits for its next try keeps its place, so that an endpoint which
is overloaded is asked less. Replies come back in the order of the questions. If one fails for good, those under way are
given up; the journal, if there is one, keeps those that had come.

This is no token engine. RL trains on tokens exactly as sampled, with their log-probs under the exact distribution drawn
from; an endpoint gives text, and text is never tokenised again (see `burnish.protocols`).
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar

import httpx2

from burnish import __version__
from burnish.errors import ConfigError, EndpointError
from burnish.example import Message
from burnish.protocols import Decoding
from burnish.sampling.chat_completions import NoLogps, Reply, reply_from, request_body
from burnish.sampling.endpoint import Endpoint, api_key, wait_seconds
from burnish.sampling.faults import Lasting, Passing, names_in, require_success, said
from burnish.sampling.journal import Journal

T = TypeVar("T")


class RemoteEngine:
    """Asks an endpoint.

    Args:
        endpoint: where it is, and how patient to be.
        journal: keeps replies, and answers from them what was asked before.

    Raises:
        ConfigError: the settings name a variable for the key that is not set.
    """

    def __init__(self, endpoint: Endpoint, *, journal: Journal | None = None) -> None:
        self.endpoint = endpoint
        self._journal = journal
        self._key = api_key(endpoint)
        self._url = endpoint.url.rstrip("/")
        self._tls = httpx2.create_ssl_context()  # reading the certificates takes longer than a request on loopback

    def reply(self, messages: Sequence[Message], decoding: Decoding, *, seed: int) -> str:
        """The reply to a conversation; see `ask`."""
        return self.replies([messages], decoding, seeds=[seed])[0]

    def replies(
        self, conversations: Sequence[Sequence[Message]], decoding: Decoding, *, seeds: Sequence[int]
    ) -> list[str]:
        """The text of each reply; see `ask`."""
        return [reply.text for reply in self.ask(conversations, decoding, seeds=seeds)]

    def ask(
        self,
        conversations: Sequence[Sequence[Message]],
        decoding: Decoding,
        *,
        seeds: Sequence[int],
        logps: bool = False,
    ) -> list[Reply]:
        """The reply to each conversation, in their order.

        Args:
            conversations: each is sent as it is.
            decoding: how the endpoint is to draw; `top_k` must be 0.
            seeds: of the draws, one per conversation. What an endpoint makes of a seed is its own affair: the same one
                need not give the same reply.
            logps: whether to ask for the log-probs of the reply's tokens. They are the endpoint's own account, of its
                own tokens, which are not given.

        Raises:
            EndpointError: a reply could not be had; names the URL, the status and the beginning of the body, and
                carries in `place` which conversation it was.
            ConfigError: `top_k` is not 0.
        """
        bodies = [
            request_body(self.endpoint, messages, decoding, seed=seed, logps=logps)
            for messages, seed in zip(conversations, seeds, strict=True)
        ]
        return _run(self._ask(bodies, logps=logps))

    def offered(self) -> tuple[str, ...] | None:
        """The models that the endpoint lists, None if it keeps no list. Two tries, to check before any work.

        Raises:
            EndpointError: the endpoint cannot be reached, or refuses the key (status 401 or 403).
        """
        return _run(self._offered())

    def sample(self, *requests: object, seed: int) -> NoReturn:
        """Refused: this is no token engine.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            [
                f"RL needs a token engine, and the endpoint {self._url} is a text engine: it gives text without the "
                "tokens as sampled; sample in this process, and use the endpoint as a judge"
            ]
        )

    async def _ask(self, bodies: Sequence[Mapping[str, Any]], *, logps: bool) -> list[Reply]:
        waiting, replies = iter(enumerate(bodies)), dict[int, Reply]()
        async with self._client() as client:
            workers = [
                asyncio.create_task(self._work(client, waiting, replies, logps=logps))
                for _ in range(min(self.endpoint.concurrency, len(bodies)))
            ]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        return [replies[place] for place in range(len(bodies))]

    async def _work(
        self,
        client: httpx2.AsyncClient,
        waiting: Iterator[tuple[int, Mapping[str, Any]]],
        replies: dict[int, Reply],
        *,
        logps: bool,
    ) -> None:
        """Take the next question until there is none."""
        for place, body in waiting:
            reply = self._journal.known(self._url, body) if self._journal is not None else None
            if reply is None:
                reply = await self._patient(
                    functools.partial(self._tried, client, body, logps=logps),
                    tries=self.endpoint.tries,
                    place=place,
                    key=json.dumps(body, sort_keys=True),
                )
                if self._journal is not None:
                    self._journal.keep(self._url, body, reply)
            replies[place] = reply

    def _client(self) -> httpx2.AsyncClient:
        headers = {"User-Agent": f"burnish/{__version__}"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        # The time limit is on a try as a whole (`_sent`); the limit on connections is the number of requests under way.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=self.endpoint.concurrency)
        return httpx2.AsyncClient(headers=headers, timeout=None, limits=limits, verify=self._tls)

    async def _patient(self, attempt: Callable[[], Awaitable[T]], *, tries: int, place: int | None, key: str) -> T:
        """What `attempt` gives, after as many tries as it takes; the waits between them are derived from `key`."""
        count = 0
        while True:
            count += 1
            try:
                return await attempt()
            except Lasting as error:
                raise self._failed(str(error), place) from None
            except Passing as error:
                if count == tries:
                    raise self._failed(f"no reply in {tries} tries; the last one: {error}", place) from None
                await asyncio.sleep(max(error.wait, wait_seconds(self.endpoint, count, self._url, key)))

    async def _tried(self, client: httpx2.AsyncClient, body: Mapping[str, Any], *, logps: bool) -> Reply:
        response = await self._sent(client, "POST", "/chat/completions", body)
        if response.status_code == httpx2.codes.NOT_FOUND:
            raise Lasting(f"{said(response, self._key)}{await self._list(client)}")
        require_success(response, longest_wait=self.endpoint.longest_wait_seconds, key=self._key)
        try:
            return reply_from(json.loads(response.content), logps=logps)
        except NoLogps as error:
            raise Lasting(f"log-probs were asked for, and {error}; ask an endpoint that gives them, or none") from None
        except ValueError as error:
            raise Passing(f"{said(response, self._key)} has no reply ({error})") from None

    async def _sent(
        self, client: httpx2.AsyncClient, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> httpx2.Response:
        """The response, read whole within the time limit."""
        limit = self.endpoint.timeout_seconds
        try:
            async with asyncio.timeout(limit):
                return await client.request(method, self._url + path, json=body)
        except TimeoutError:
            raise Passing(f"no whole response within {limit:g} seconds (timeout_seconds)") from None
        except httpx2.RequestError as error:
            raise Passing(f"{type(error).__name__}: {error}") from None

    async def _offered(self) -> tuple[str, ...] | None:
        async with self._client() as client:
            response = await self._patient(
                lambda: self._sent(client, "GET", "/models"), tries=2, place=None, key="models"
            )
        if response.status_code in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
            raise self._failed(said(response, self._key), None)
        return names_in(response)

    async def _list(self, client: httpx2.AsyncClient) -> str:
        """The end of a message about a name that is not there."""
        try:
            names = names_in(await self._sent(client, "GET", "/models"))
        except Passing:
            names = None
        return f"; the endpoint lists the models {', '.join(names)}" if names else ""

    def _failed(self, cause: str, place: int | None) -> EndpointError:
        message = f"the endpoint {self._url}, asked for the model '{self.endpoint.model}': {cause}"
        return EndpointError(message.replace(self._key, "[key]") if self._key else message, place=place)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; in a thread of its own where this one has a loop already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()
