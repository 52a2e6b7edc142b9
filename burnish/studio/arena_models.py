"""The arena's models: a name, and an OpenAI-compatible endpoint that answers as it writes.

    amber: {url: "http://localhost:8000/v1", model: my-model, key_variable: MY_KEY}
    beryl: {url: "http://localhost:8001/v1", model: other-model}

They stand in a YAML file of the server (`burnish studio --models FILE`), never in a project: whoever may change a
project in a browser must not choose which variable's value is sent to which address. A project names those it uses.

Two scripted models are always there, so that the sample work has an arena; they answer from a rule.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import httpx2

from burnish.config import load, load_yaml, setting, settings
from burnish.errors import EndpointError
from burnish.sampling.endpoint import Endpoint, api_key

_MOST_CHARACTERS = 100_000


class Speaker(Protocol):
    """Something that answers."""

    def stream(self, messages: Sequence[Mapping[str, str]]) -> AsyncIterator[str]:
        """The answer to a conversation, piece by piece.

        Raises:
            BurnishError: there is no whole answer.
        """
        ...


@settings
class ArenaModel:
    """A model of the arena behind an OpenAI-compatible endpoint."""

    url: str = setting(..., "base URL of the endpoint, such as http://localhost:8000/v1")
    model: str = setting(..., "name of the model there", min_length=1)
    key_variable: str | None = setting(None, "environment variable that holds the API key", min_length=1)
    timeout_seconds: float = setting(120.0, "until an answer that is not whole has failed", unit="seconds", gt=0)
    max_tokens: int = setting(1024, "of an answer", unit="tokens", ge=1)
    temperature: float = setting(0.7, "of the answers", ge=0)

    def __post_init__(self) -> None:
        self.endpoint()

    def endpoint(self) -> Endpoint:
        """Where it is; checks the URL."""
        return Endpoint(url=self.url, model=self.model, key_variable=self.key_variable)

    async def stream(self, messages: Sequence[Mapping[str, str]]) -> AsyncIterator[str]:
        """The answer, piece by piece; see `Speaker`."""
        key = api_key(self.endpoint())
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        body = {
            "model": self.model,
            "messages": list(messages),
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "stream": True,
        }
        try:
            async with (
                asyncio.timeout(self.timeout_seconds),
                httpx2.AsyncClient(timeout=None, headers=headers) as client,
                client.stream("POST", f"{self.url.rstrip('/')}/chat/completions", json=body) as response,
            ):
                if not response.is_success:
                    raise EndpointError(f"the endpoint of '{self.model}' answered with status {response.status_code}")
                async for piece in _pieces(response.aiter_lines()):
                    yield piece
        except TimeoutError:
            raise EndpointError(f"no whole answer of '{self.model}' within {self.timeout_seconds:g} seconds") from None
        except httpx2.HTTPError as error:
            raise EndpointError(f"the endpoint of '{self.model}': {type(error).__name__}: {error}") from None


class Scripted:
    """A model that answers from a rule.

    Args:
        wording: with a place for the last thing that was asked.
        seconds: between two words.
    """

    def __init__(self, wording: str, *, seconds: float = 0.05) -> None:
        self.wording, self.seconds = wording, seconds

    async def stream(self, messages: Sequence[Mapping[str, str]]) -> AsyncIterator[str]:
        """The answer, word by word; see `Speaker`."""
        asked = messages[-1]["content"].strip()
        for word in self.wording.format(asked=asked[:200], turn=(len(messages) + 1) // 2).split(" "):
            await asyncio.sleep(self.seconds)
            yield f"{word} "


SCRIPTED: Mapping[str, Speaker] = {
    "demo-brief": Scripted("I have no weights, only a rule. You asked: {asked}"),
    "demo-chatty": Scripted(
        "What a lovely question number {turn}! I am a scripted model of the sample work, so I cannot know much about "
        "it, but I can repeat it for you: {asked} I hope that this helps, and do ask me more."
    ),
}
"""Models of the sample work."""


def speakers(file: str) -> dict[str, Speaker]:
    """The models by name, those of the sample work included.

    Args:
        file: the YAML file; "" for none.

    Raises:
        ConfigError: lists what is wrong with the file.
    """
    found: dict[str, Speaker] = dict(SCRIPTED)
    if file:
        written = load_yaml(Path(file))
        found |= {name: load(ArenaModel, value, source=f"{file}: {name}") for name, value in written.items()}
    return found


async def _pieces(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """The texts in a stream of chat completions, up to its proper end.

    Raises:
        EndpointError: it holds something else, is too long, empty, or ends too early.
    """
    count = 0
    async for line in lines:
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            if count == 0:
                raise EndpointError("the answer is empty")
            return
        piece = _text(data)
        count += len(piece)
        if count > _MOST_CHARACTERS:
            raise EndpointError(f"the answer has more than {_MOST_CHARACTERS} characters")
        if piece:
            yield piece
    raise EndpointError("the answer ended before its end was told")


def _text(data: str) -> str:
    try:
        chunk: Any = json.loads(data)
        choices = chunk["choices"]
        return str(choices[0]["delta"].get("content") or "") if choices else ""
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise EndpointError("the endpoint sent something else than a piece of an answer") from None


async def in_step(streams: Sequence[AsyncIterator[str]], *, patience: float = 10.0) -> AsyncIterator[tuple[str, ...]]:
    """Several answers side by side, let out so that nobody sees which one was written faster.

    The n-th character of an answer comes out no sooner than that of every other; what one has beyond the end of
    another, only once all have ended.

    Args:
        streams: the answers.
        patience: seconds without anything new after which empty pieces are given, as a sign of life.

    Raises:
        BurnishError: as the first stream that fails; the others are given up.
    """
    texts, news, shown = ["" for _ in streams], asyncio.Event(), 0

    async def collect(place: int, stream: AsyncIterator[str]) -> None:
        async for piece in stream:
            texts[place] += piece
            news.set()

    tasks = [asyncio.create_task(collect(place, stream)) for place, stream in enumerate(streams)]
    for task in tasks:
        task.add_done_callback(lambda _: news.set())
    try:
        while True:
            news.clear()
            for task in tasks:
                if task.done():
                    task.result()
            have_ended = all(task.done() for task in tasks)
            end = max(map(len, texts)) if have_ended else min(map(len, texts))
            if end > shown:
                yield tuple(text[shown:end] for text in texts)
                shown = end
            if have_ended:
                return
            try:
                await asyncio.wait_for(news.wait(), patience)
            except TimeoutError:
                yield tuple("" for _ in texts)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
