"""The one data type: a prompt with its completions.

Every training example, sampled answer and preference is an `Example`: one prompt and K completions, a tree of
depth one. What a stage needs hangs on the completions: a rank (preferences, rankings), a label (desirable or not),
a score (graders, rewards), token ids with log-probabilities (samples).

    prompt ─┬─ completion 0   rank 0 (chosen)     score 1.0
            └─ completion 1   rank 1 (rejected)   score 0.0

Text is kept as messages with roles, never as one rendered string, so that loss masks come from message borders.
The role "text" is plain text outside of any chat template; pretraining uses it with an empty prompt.

`WORKED` is the example that docs and tests share. JSONL written by `write_jsonl` is the library's own format
("burnish"); the readers for every other format are in `burnish.data.formats`. No torch in this file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, Literal, cast, get_args

from burnish.errors import BadRow, shown

Role = Literal["system", "developer", "user", "assistant", "tool", "text"]
ROLES: tuple[Role, ...] = get_args(Role)

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: who speaks; "text" is plain text outside of any chat template.
        content: what is said. Empty beside tool calls or thinking, and in a sampled answer that ended at once.
        thinking: reasoning that precedes the content (`reasoning_content` in the OpenAI shape).
        tool_calls: calls as the OpenAI shape has them: `{"type": "function", "function": {"name", "arguments"}}`.
        tool_call_id, name: on a "tool" message, which call it answers and which tool speaks.
        weight: 0 takes an assistant turn out of the loss; 1 leaves it in; values between scale its tokens.
    """

    role: Role
    content: str
    thinking: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One continuation of a prompt.

    Attributes:
        messages: usually one assistant message; a multi-turn chat holds all that follows the prompt.
        rank: position in a preference or ranking; 0 is best, equal ranks are ties. A pair has chosen 0, rejected 1.
        label: desirable (True) or not (False), for unpaired feedback.
        score: what a grader gave; higher is better.
        reasons: the grader's reasons, for people.
        token_ids: the tokens exactly as sampled, end-of-turn token included when it was sampled.
        logps: log-probability of each of `token_ids` under the exact sampling distribution (nats).
        finish: "stop" if the model ended its turn, "length" if it was cut.
        policy_version: which weights sampled it: a key of the store, or the number of updates done.
    """

    messages: tuple[Message, ...]
    rank: int | None = None
    label: bool | None = None
    score: float | None = None
    reasons: tuple[str, ...] = ()
    token_ids: tuple[int, ...] | None = None
    logps: tuple[float, ...] | None = None
    finish: FinishReason | None = None
    policy_version: str | None = None

    @property
    def text(self) -> str:
        """The content of the last message, or "" if there is none."""
        return self.messages[-1].content if self.messages else ""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One prompt with its completions.

    Attributes:
        id: unique within a data set; readers make it from the row number where the data has none.
        prompt: messages before the first completion; empty for pretraining text.
        completions: K of them; empty for a prompt that waits to be sampled.
        tools: JSON schemas offered to the model, as the chat template expects them.
        columns: everything else in the row, kept for graders (`answer`, `constraint`, ...).
    """

    id: str
    prompt: tuple[Message, ...] = ()
    completions: tuple[Completion, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)


WORKED = Example(
    id="worked",
    prompt=(Message(role="user", content="Name a gem. Answer in lower case."),),
    completions=(
        Completion(messages=(Message(role="assistant", content="an opal."),), rank=0, score=1.0),
        Completion(messages=(Message(role="assistant", content="An Opal!"),), rank=1, score=0.0),
    ),
    columns={"constraint": {"kind": "lower_case"}, "kind": "lower_case", "topic": "gem"},
)
"""A preference pair, used by the docs and the tests."""


def user(content: str) -> Message:
    """A user message."""
    return Message(role="user", content=content)


def assistant(content: str) -> Message:
    """An assistant message."""
    return Message(role="assistant", content=content)


def message_dict(message: Message) -> dict[str, Any]:
    """`message` as a JSON object, without the fields that hold their default."""
    row: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.thinking is not None:
        row["thinking"] = message.thinking
    if message.tool_calls:
        row["tool_calls"] = [dict(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        row["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        row["name"] = message.name
    if message.weight != 1.0:
        row["weight"] = message.weight
    return row


def example_dict(example: Example) -> dict[str, Any]:
    """`example` as a JSON object in the library's own format; `example_from` reads it back unchanged."""
    row: dict[str, Any] = {"id": example.id, "prompt": [message_dict(m) for m in example.prompt]}
    row["completions"] = [_completion_dict(completion) for completion in example.completions]
    if example.tools:
        row["tools"] = [dict(tool) for tool in example.tools]
    if example.columns:
        row["columns"] = dict(example.columns)
    return row


def _completion_dict(completion: Completion) -> dict[str, Any]:
    row: dict[str, Any] = {"messages": [message_dict(m) for m in completion.messages]}
    for name in ("rank", "label", "score", "finish", "policy_version"):
        if (value := getattr(completion, name)) is not None:
            row[name] = value
    for name in ("reasons", "token_ids", "logps"):
        value = getattr(completion, name)
        if value is not None and (value or name != "reasons"):
            row[name] = list(value)
    return row


def example_from(row: Mapping[str, Any], *, file: str, line: int) -> Example:
    """Read an example of the library's own format.

    Args:
        row: the JSON object, shaped as `example_dict` writes it.
        file, line: where it stands, for the message.

    Raises:
        BadRow: a field is missing, unknown or of the wrong type.
    """
    if not isinstance(row, Mapping):
        raise BadRow(file=file, line=line, field="", found=shown(row), allowed="an object with prompt and completions")
    _only(row, {"id", "prompt", "completions", "tools", "columns"}, field="", file=file, line=line)
    name = row.get("id", line)
    if isinstance(name, bool) or not isinstance(name, (str, int)):
        raise BadRow(file=file, line=line, field="id", found=shown(name), allowed="a string")
    prompt = _list(row.get("prompt", []), field="prompt", file=file, line=line)
    completions = _list(row.get("completions", []), field="completions", file=file, line=line)
    columns = row.get("columns", {})
    if not isinstance(columns, Mapping):
        raise BadRow(file=file, line=line, field="columns", found=shown(columns), allowed="an object")
    return Example(
        id=str(name),
        prompt=messages_from(prompt, field="prompt", file=file, line=line),
        completions=tuple(_completion_from(c, i, file=file, line=line) for i, c in enumerate(completions)),
        tools=_objects(row.get("tools", []), field="tools", file=file, line=line),
        columns=columns,
    )


def messages_from(rows: Iterable[Any], *, field: str, file: str, line: int) -> tuple[Message, ...]:
    """Read messages in the OpenAI shape (`role`, `content`, `tool_calls`, ...), each checked.

    Raises:
        BadRow: a message is not an object, has an unknown role or key, or a value of the wrong type.
    """
    return tuple(_message_from(row, f"{field}[{i}]", file=file, line=line) for i, row in enumerate(rows))


def _message_from(row: Any, where: str, *, file: str, line: int) -> Message:
    if not isinstance(row, Mapping):
        raise BadRow(file=file, line=line, field=where, found=shown(row), allowed="an object with role and content")
    known = {"role", "content", "thinking", "reasoning_content", "tool_calls", "tool_call_id", "name", "weight"}
    _only(row, known, field=where, file=file, line=line)
    role = row.get("role")
    if role not in ROLES:
        raise BadRow(
            file=file, line=line, field=f"{where}.role", found=shown(role), allowed=f"one of {', '.join(ROLES)}"
        )
    thinking = row.get("thinking", row.get("reasoning_content"))
    if thinking is not None and not isinstance(thinking, str):
        raise BadRow(file=file, line=line, field=f"{where}.thinking", found=shown(thinking), allowed="a string")
    calls = _objects(row.get("tool_calls") or [], field=f"{where}.tool_calls", file=file, line=line)
    for name in ("tool_call_id", "name"):
        if not isinstance(row.get(name), (str, NoneType)):
            raise BadRow(file=file, line=line, field=f"{where}.{name}", found=shown(row[name]), allowed="a string")
    content = row.get("content")
    if content is None and (calls or thinking):
        content = ""
    if not isinstance(content, str):
        raise BadRow(file=file, line=line, field=f"{where}.content", found=shown(content), allowed="a string")
    weight = row.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight <= 1:
        raise BadRow(file=file, line=line, field=f"{where}.weight", found=shown(weight), allowed="a number from 0 to 1")
    return Message(
        role=cast(Role, role),
        content=content,
        thinking=thinking,
        tool_calls=calls,
        tool_call_id=row.get("tool_call_id"),
        name=row.get("name"),
        weight=float(weight),
    )


def _completion_from(row: Any, index: int, *, file: str, line: int) -> Completion:
    where = f"completions[{index}]"
    if not isinstance(row, Mapping):
        raise BadRow(file=file, line=line, field=where, found=shown(row), allowed="an object with messages")
    _only(row, {"messages", *_SCALARS, *_LISTS}, field=where, file=file, line=line)
    values: dict[str, Any] = {}
    for name, (kinds, allowed) in _SCALARS.items():
        values[name] = row.get(name)
        unknown = name == "finish" and values[name] not in get_args(FinishReason)
        if values[name] is not None and (type(values[name]) not in kinds or unknown):
            raise BadRow(file=file, line=line, field=f"{where}.{name}", found=shown(values[name]), allowed=allowed)
    for name, (kinds, allowed) in _LISTS.items():
        items = row.get(name)
        if items is not None and not (isinstance(items, list) and all(type(item) in kinds for item in items)):
            raise BadRow(file=file, line=line, field=f"{where}.{name}", found=shown(items), allowed=allowed)
        values[name] = None if items is None else tuple(items)
    values["reasons"] = values["reasons"] or ()
    messages = _list(row.get("messages"), field=f"{where}.messages", file=file, line=line)
    values["messages"] = messages_from(messages, field=f"{where}.messages", file=file, line=line)
    return Completion(**values)


_SCALARS: dict[str, tuple[tuple[type, ...], str]] = {
    "rank": ((int,), "an integer"),
    "label": ((bool,), "true or false"),
    "score": ((int, float), "a number"),
    "finish": ((str,), " or ".join(get_args(FinishReason))),
    "policy_version": ((str,), "a string"),
}
_LISTS: dict[str, tuple[tuple[type, ...], str]] = {
    "reasons": ((str,), "a list of strings"),
    "token_ids": ((int,), "a list of integers"),
    "logps": ((int, float), "a list of numbers"),
}


def _only(row: Mapping[str, Any], known: set[str], *, field: str, file: str, line: int) -> None:
    for name in row:
        if name not in known:
            where = f"{field}.{name}" if field else name
            raise BadRow(file=file, line=line, field=where, found="an unknown field", allowed=", ".join(sorted(known)))


def _list(value: Any, *, field: str, file: str, line: int) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise BadRow(file=file, line=line, field=field, found=shown(value), allowed="a list")
    return list(value)


def _objects(value: Any, *, field: str, file: str, line: int) -> tuple[Mapping[str, Any], ...]:
    items = _list(value, field=field, file=file, line=line)
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise BadRow(file=file, line=line, field=f"{field}[{index}]", found=shown(item), allowed="an object")
    return tuple(items)


def write_jsonl(path: Path, examples: Iterable[Example]) -> int:
    """Write examples in the library's own format, one JSON object a line, and return how many.

    The file appears whole or not at all: it is written beside and renamed.
    """
    beside = path.with_name(f".{path.name}.part")
    count = 0
    with beside.open("w", encoding="utf-8") as file:
        for count, example in enumerate(examples, start=1):  # noqa: B007
            file.write(json.dumps(example_dict(example), ensure_ascii=False) + "\n")
    beside.replace(path)
    return count


def read_jsonl(path: Path) -> Iterator[Example]:
    """Yield the examples of a file that `write_jsonl` wrote.

    Raises:
        BadRow: a line is not JSON or not an example.
    """
    with path.open(encoding="utf-8") as file:
        for line, text in enumerate(file, start=1):
            try:
                row = json.loads(text)
            except json.JSONDecodeError as error:
                raise BadRow(
                    file=str(path), line=line, field="", found=shown(text), allowed=f"JSON ({error})"
                ) from error
            yield example_from(row, file=str(path), line=line)
