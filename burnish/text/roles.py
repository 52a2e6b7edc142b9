"""Roles for people: which tokens of a context are the system's, the user's, a tool's or the template's.

For training a context is one run of tokens without loss, and nothing here touches it. To show an example, the
messages are rendered once more with private-use characters around what they say, one pair per role; what stands
between a pair is the message's, the rest is the template's. A token belongs to the role of its first character that
is not white space (" Which" to the message that begins with "Which").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from burnish.errors import TemplateError
from burnish.example import Message
from burnish.text.conversation import Conversation
from burnish.text.layout import Path, Span
from burnish.text.tokenizer import Encoder

_ROLES = ("system", "developer", "user", "assistant", "tool")
_OPEN = {role: chr(0x10F800 + index) for index, role in enumerate(_ROLES)}
_CLOSE = chr(0x10F8FF)


def told_apart(path: Path, layout: Conversation, encoder: Encoder) -> list[Span]:
    """The spans of a path, each context split by role; the tokens and their order stay as they are.

    Args:
        path: from `layout.paths`.
        layout: the conversation it belongs to.
        encoder: the one it was encoded with.
    """
    spans = [*path.prompt, *path.branch]
    roles = _roles(path, layout)
    result: list[Span] = []
    position, before = 0, ""
    for span in spans:
        clean = replace(span, text=span.text.replace(layout.mark, "") if layout.mark else span.text)
        if span.role != "context":
            result.append(clean)
        else:
            starts = encoder.starts(span.text, after=before, mark=layout.mark)
            result.extend(_split(clean, starts, roles[position : position + len(clean.text)]))
        position += len(clean.text) if layout.renders(span) else 0
        before = span.text
    return result


def _split(span: Span, starts: Sequence[int], roles: Sequence[str]) -> list[Span]:
    """`span` cut where the role of its tokens changes; `roles` has one entry per character."""
    if len(roles) != len(span.text):
        return [span]
    result: list[Span] = []
    stops = [*starts[1:], len(span.text)]
    inks = [_ink(span.text, start, stop) for start, stop in zip(starts, stops, strict=True)]
    by_role = groupby(zip(starts, span.tokens, inks, strict=True), key=lambda token: roles[token[2]])
    runs = [(role, list(tokens)) for role, tokens in by_role]
    borders = [0, *(tokens[0][0] for _, tokens in runs[1:]), len(span.text)]
    for (role, tokens), start, stop in zip(runs, borders, borders[1:], strict=False):
        ids = tuple(token for _, token, _ in tokens)
        result.append(Span(role=role, text=span.text[start:stop], tokens=ids))
    return result


def _ink(text: str, start: int, stop: int) -> int:
    """The first place from `start` on that is not white space, `start` if there is none before `stop`."""
    return next((place for place in range(start, stop) if not text[place].isspace()), start)


def _roles(path: Path, layout: Conversation) -> list[str]:
    """The role of each character of the rendered path; empty where the template changes what messages say."""
    try:
        text = layout.rendered([_bracketed(message) for message in path.messages])
    except TemplateError:
        return []
    roles: list[str] = []
    role = "template"
    opened = {character: name for name, character in _OPEN.items()}
    for character in text:
        if character in opened:
            role = opened[character]
        elif character == _CLOSE:
            role = "template"
        elif character != layout.mark:
            roles.append(role)
    return roles


def _bracketed(message: Message) -> Message:
    """`message` with its content between the characters of its role; white space around it stays outside."""
    core = message.content.strip()
    if not core:
        return message
    before, _, behind = message.content.partition(core)
    return replace(message, content=f"{before}{_OPEN[message.role]}{core}{_CLOSE}{behind}")
