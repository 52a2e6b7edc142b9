"""Messages from each of the shapes in which data sets write the turns of a conversation.

    {"role": "user", "content": "Hi"}           OpenAI; content may be a list of text parts; roles are Burnish's own
    {"from": "human", "value": "Hi"}            ShareGPT; `SPEAKERS` says who is who
    "\\n\\nHuman: Hi\\n\\nAssistant: Hello"         hh-rlhf; the text of a turn is stripped of outer blanks

A turn of the user or the assistant that says nothing is refused here, and so is a key that nothing would read. Where
a conversation is cut into prompt and completion is in `burnish.data.conversation`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.data.row import Row, parsed
from burnish.errors import shown
from burnish.example import Message, Role, messages_from

Messages = tuple[Message, ...]

SPEAKERS: Mapping[str, Role] = {
    **dict.fromkeys(("human", "user", "prompter", "person"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bard", "bing", "claude", "bot", "chatbot", "model"), "assistant"),
    **dict.fromkeys(("function_call", "tool_call"), "assistant"),
    **dict.fromkeys(("tool", "observation", "function_response", "tool_response", "ipython"), "tool"),
    "system": "system",
}
"""Who speaks in a `from` field. `function_call` is an assistant turn whose value is the call as JSON."""

_CALLS = ("function_call", "tool_call")
_OPENAI = frozenset(
    {"role", "content", "thinking", "reasoning_content", "tool_calls", "tool_call_id", "name", "weight"}
)
_SHAREGPT = frozenset({"from", "value", "weight"})
_HH_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")


def turns(row: Row, field: str) -> Messages:
    """The messages of a list of turns.

    Raises:
        BadRow: not a list of turns, an unknown role or key, a turn that says nothing, or an image.
    """
    return _messages(row, row.items(field), field)


def speech(row: Row, field: str, role: Role) -> Messages:
    """The messages of a field that holds plain text spoken by `role`, one turn, or a list of turns.

    Raises:
        BadRow: it is none of these, or says nothing.
    """
    value = row.get(field)
    if isinstance(value, str):
        return (Message(role=role, content=row.text(field)),)
    if isinstance(value, Mapping):
        return _messages(row, [value], field)
    if isinstance(value, (list, tuple)):
        return turns(row, field)
    raise row.wrong(field, "text, a turn or a list of turns")


def dialogue(row: Row, field: str) -> Messages:
    """The messages of a whole dialogue: a list of turns, or text with Human and Assistant turns.

    Raises:
        BadRow: text stands before the first turn, or a turn says nothing.
    """
    if not isinstance(row.get(field), str):
        return turns(row, field)
    before, *marked = _HH_TURN.split(row.text(field))
    if before.strip() or not marked:
        raise row.bad(field, shown(row.get(field)), "a dialogue that begins with '\\n\\nHuman:', or a list of turns")
    roles: list[Role] = ["user" if speaker == "Human" else "assistant" for speaker in marked[::2]]
    messages = tuple(Message(role=r, content=text.strip()) for r, text in zip(roles, marked[1::2], strict=True))
    _says_something(row, messages, field)
    return messages


def _messages(row: Row, values: Sequence[Any], field: str) -> Messages:
    dicts = [_openai_turn(row, value, f"{field}[{i}]") for i, value in enumerate(values)]
    messages = messages_from(dicts, field=row.name(field), file=row.file, line=row.line)
    _says_something(row, messages, field)
    return messages


def _says_something(row: Row, messages: Messages, field: str) -> None:
    for i, message in enumerate(messages):
        silent = not message.content.strip() and not message.tool_calls and not (message.thinking or "").strip()
        if silent and message.role in ("user", "assistant"):
            raise row.bad(f"{field}[{i}]", f"an empty {message.role} turn", "text")


def _openai_turn(row: Row, value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise row.bad(where, shown(value), "a turn: an object with role and content, or from and value")
    turn = {key: item for key, item in value.items() if item is not None and key not in row.ignore}
    sharegpt = "role" not in turn and "from" in turn
    known = _SHAREGPT if sharegpt else _OPENAI
    if unknown := sorted(set(turn) - known):
        allowed = f"{', '.join(sorted(known))}; leave out what carries nothing with ignore: [{', '.join(unknown)}]"
        raise row.bad(where, f"unknown keys {', '.join(unknown)}", allowed)
    return _from_sharegpt(row, turn, where) if sharegpt else _checked_openai(row, turn, where)


def _checked_openai(row: Row, turn: dict[str, Any], where: str) -> Mapping[str, Any]:
    if isinstance(turn.get("content"), (list, tuple)):
        parts = enumerate(turn["content"])
        turn["content"] = "".join(_part_text(row, part, f"{where}.content[{i}]") for i, part in parts)
    if "tool_calls" in turn:
        turn["tool_calls"] = _calls(row, turn["tool_calls"], f"{where}.tool_calls")
    return turn


def _part_text(row: Row, part: Any, where: str) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        kind = part.get("type") if isinstance(part, Mapping) else None
        found = f"a part of type {shown(kind)}" if kind else shown(part)
        raise row.bad(where, found, "a part of type 'text'; images, sound and files are not read")
    return str(part["text"])


def _from_sharegpt(row: Row, turn: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    speaker, value = turn["from"], turn.get("value")
    if speaker not in SPEAKERS:
        raise row.bad(f"{where}.from", shown(speaker), f"one of {', '.join(SPEAKERS)}")
    if not isinstance(value, str):
        raise row.bad(f"{where}.value", shown(value), "text")
    weight = {"weight": turn["weight"]} if "weight" in turn else {}
    if speaker in _CALLS:
        calls = _calls(row, value, f"{where}.value")
        return {"role": "assistant", "content": "", "tool_calls": calls, **weight}
    return {"role": SPEAKERS[speaker], "content": value, **weight}


def _calls(row: Row, value: Any, where: str) -> list[Mapping[str, Any]]:
    """Tool calls in the OpenAI shape; from JSON text, or without their wrapper, if need be."""
    found = value
    if isinstance(value, str):
        value = parsed(value)
    if isinstance(value, Mapping):
        value = [value]
    calls = [_call(call) for call in value] if isinstance(value, (list, tuple)) else [None]
    kept = [call for call in calls if call is not None]
    if len(kept) != len(calls):
        example = json.dumps({"name": "add", "arguments": {"a": 1}})
        raise row.bad(where, shown(found), f"tool calls with a name and arguments, such as {example}")
    return kept


def _call(call: Any) -> Mapping[str, Any] | None:
    if not isinstance(call, Mapping):
        return None
    bare = call.get("function", call)
    if not isinstance(bare, Mapping) or not isinstance(bare.get("name"), str):
        return None
    return call if "function" in call else {"type": "function", "function": dict(call)}
