"""The chat completions protocol, without the network: the body of a request, and a reply read from a response.

    {model, messages, temperature, top_p, max_tokens, seed}  ──►  {model, choices: [{message, finish_reason, logprobs}]}

Reading is strict. A response without exactly what was asked for is refused with what is missing, so that a gateway's
error page, which may come with status 200, never counts as an answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.errors import ConfigError, shown
from burnish.example import Message, message_dict
from burnish.protocols import Decoding
from burnish.sampling.endpoint import Endpoint

_SEEDS = 2**31  # servers take seeds of 32 bits with a sign


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What an endpoint answered.

    Attributes:
        text: the content of the message; "" if the limit was reached before any.
        finish: why it ended, in the endpoint's word: "stop", "length", ...
        model: which model answered, as the endpoint calls it; None if it does not say.
        logps: log-prob of each token that the endpoint reports, nats; None if they were not asked for.
    """

    text: str
    finish: str
    model: str | None = None
    logps: tuple[float, ...] | None = None


class NoLogps(ValueError):
    """Log-probs were asked for, and the response has none that can be used."""


def request_body(
    endpoint: Endpoint, messages: Sequence[Message], decoding: Decoding, *, seed: int, logps: bool
) -> dict[str, Any]:
    """The body of a request.

    Args:
        endpoint: names the model.
        messages: the conversation; thinking and weights stay here.
        decoding: how to draw. Temperature and top-p are always stated, since a server's own defaults differ.
        seed: of the draws, cut to 31 bits.
        logps: whether to ask for log-probs.

    Raises:
        ConfigError: `decoding` asks for what the protocol has no word for.
    """
    if decoding.top_k:
        raise ConfigError([f"top_k is {decoding.top_k}, and chat completions have no such field; set it to 0"])
    body = {
        "model": endpoint.model,
        "messages": [_sent(message) for message in messages],
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        endpoint.limit_name: decoding.max_tokens,
        "seed": seed % _SEEDS,
    }
    return {**body, "logprobs": True} if logps else body


def _sent(message: Message) -> dict[str, Any]:
    return {name: value for name, value in message_dict(message).items() if name not in ("thinking", "weight")}


def reply_from(data: Any, *, logps: bool) -> Reply:
    """The reply in a response.

    Args:
        data: the body, parsed.
        logps: whether log-probs were asked for.

    Raises:
        ValueError: something is missing or of the wrong type; says what.
        NoLogps: there are no log-probs, not one per token, or one that is no log-prob.
    """
    choice = _choice(data)
    finish, message = choice.get("finish_reason"), choice.get("message")
    if not isinstance(finish, str):
        raise ValueError(f"choices[0].finish_reason is {shown(finish)}; expected a string")
    if not isinstance(message, Mapping):
        raise ValueError(f"choices[0].message is {shown(message)}; expected an object")
    text = message.get("content")
    if text is None and finish == "length":
        text = ""
    if not isinstance(text, str):
        raise ValueError(f"choices[0].message.content is {shown(text)} (finish_reason '{finish}'); expected a string")
    model = data.get("model")
    return Reply(
        text=text,
        finish=finish,
        model=model if isinstance(model, str) else None,
        logps=_logps(choice.get("logprobs"), text) if logps else None,
    )


def _choice(data: Any) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ValueError(f"the body is {shown(data)}; expected an object")
    if data.get("error"):
        raise ValueError(f"the body holds an error: {shown(data['error'], limit=200)}")
    choices = data.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], Mapping):
        raise ValueError(f"choices is {shown(choices)}; expected a list of one object")
    return choices[0]


def _logps(found: Any, text: str) -> tuple[float, ...]:
    items = found.get("content") if isinstance(found, Mapping) else None
    if not isinstance(items, list) or (text and not items):
        raise NoLogps(f"choices[0].logprobs is {shown(found)}; expected an object with a 'content' per token")
    values: list[Any] = [item.get("logprob") if isinstance(item, Mapping) else None for item in items]
    wrong = [value for value in values if not _is_logp(value)]
    if wrong:
        raise NoLogps(f"a token's log-prob is {shown(wrong[0])}; expected a finite number of 0 or less")
    return tuple(float(value) for value in values)


def _is_logp(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value <= 0
