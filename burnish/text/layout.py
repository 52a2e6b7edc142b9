"""Layout: one example as runs of tokens with roles, every border a token border.

A *span* is a run of tokens with one role and one weight. A *path* is a prompt and what hangs on it, both as spans.
`conversation.py` lays out messages by a chat template, `PlainText` lays out messages of role "text" without one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from burnish.errors import DataError, TemplateError
from burnish.example import Completion, Example, Message
from burnish.text.tokenizer import Encoder


@dataclass(frozen=True, kw_only=True)
class Span:
    """A run of tokens with one role.

    Attributes:
        role: "system", "user", "assistant", "tool" or "text" for what a message says; "template" for what the chat
            template or the encoder adds; "context" for both together, where they have not been told apart.
        text: what the tokens spell.
        tokens: token ids.
        weight: loss weight of each of them.
    """

    role: str
    text: str
    tokens: tuple[int, ...]
    weight: float = 0.0

    @property
    def supervised(self) -> bool:
        """Whether the model is taught these tokens."""
        return self.weight > 0


@dataclass(frozen=True, kw_only=True)
class Path:
    """A prompt and what hangs on it.

    Attributes:
        prompt, branch: spans in order.
        messages: all before the last assistant turn of the branch, or before the branch where it is empty.
    """

    prompt: tuple[Span, ...]
    branch: tuple[Span, ...]
    messages: tuple[Message, ...]


class Layout(Protocol):
    """Lays out the conversation of one example."""

    def prompt(self, messages: Sequence[Message]) -> tuple[Span, ...]:
        """The prompt that ends where the model goes on."""

    def paths(self, prompt: Path, completion: Completion) -> list[Path]:
        """The completion behind `prompt`, whose branch is empty; several where the history is rendered anew."""


class PlainText:
    """Layout of messages of role "text": no template, a begin token in front, an end token behind."""

    def __init__(self, encoder: Encoder, example: Example) -> None:
        self._encoder = encoder
        self._what = f"example '{example.id}'"
        self.mark = encoder.mark_for(list(texts(example)))
        self._begin = encoder.begin_text or encoder.end_text

    def prompt(self, messages: Sequence[Message]) -> tuple[Span, ...]:
        """The text behind the tokenizer's begin token; the begin (or end) token alone where there is no text."""
        text = self._text(messages)
        first = self._begin if not text else self._encoder.begin_text
        if not first and not text:
            raise TemplateError(
                f"{self._what}: the tokenizer has neither a begin nor an end token, so nothing can predict the first "
                "token of a text; set its bos_token or eos_token"
            )
        spans = [Span(role="template", text=first, tokens=self._encoder.ids(first))] if first else []
        if text:
            spans.append(self._span(text, after=first, weight=0.0))
        return tuple(spans)

    def paths(self, prompt: Path, completion: Completion) -> list[Path]:
        """The text and the tokenizer's end token."""
        if completion.token_ids is not None:
            return [replace(prompt, branch=(sampled(completion, self._encoder, self._what),))]
        if not self._encoder.end_text:
            raise TemplateError(f"{self._what}: the tokenizer has no end token to close a text with; set its eos_token")
        weight = completion.messages[-1].weight if completion.messages else 1.0
        after = prompt.prompt[-1].text
        text = self._span(self._text(completion.messages), after=after, weight=weight)
        end = Span(
            role="text",
            text=self._encoder.end_text,
            tokens=self._encoder.ids(self._encoder.end_text),
            weight=weight,
        )
        return [replace(prompt, branch=(text, end) if text.text else (end,))]

    def _span(self, text: str, *, after: str, weight: float) -> Span:
        marked = self._encoder.marked(text, self.mark)
        tokens = self._encoder.ids(marked, after=after, mark=self.mark)
        return Span(role="text", text=marked, tokens=tokens, weight=weight)

    def _text(self, messages: Sequence[Message]) -> str:
        for message in messages:
            if message.role != "text":
                raise DataError(
                    f"{self._what}: a message of role '{message.role}' stands among plain text (role 'text'); use one "
                    "or the other"
                )
        return "".join(message.content for message in messages)


def sampled(completion: Completion, encoder: Encoder, what: str) -> Span:
    """A completion that was sampled: its ids as they are, never encoded again.

    Raises:
        DataError: the ids cannot be one turn, because the completion has several messages.
    """
    if len(completion.messages) > 1:
        raise DataError(
            f"{what}: a completion has token_ids and {len(completion.messages)} messages; token ids are those of one "
            "sampled turn, so it may have one message at most"
        )
    tokens = tuple(completion.token_ids or ())
    weight = completion.messages[0].weight if completion.messages else 1.0
    return Span(role="assistant", text=encoder.decode(tokens), tokens=tokens, weight=weight)


def texts(example: Example) -> Iterator[str]:
    """Every text of the example that a template may write."""
    for messages in (example.prompt, *(completion.messages for completion in example.completions)):
        for message in messages:
            yield message.content
            yield from filter(None, (message.thinking, message.name, message.tool_call_id))
            yield from (json.dumps(dict(call), ensure_ascii=False) for call in message.tool_calls)
    yield from (json.dumps(dict(tool), ensure_ascii=False) for tool in example.tools)
