"""Rendering: messages and tools through a chat template to text.

The settings that change what a template writes are put *into* the template wherever it has to travel with the model:
values for the template's own switches become defaults at its top, and a begin token is added where the tokenizer
wants one and the template writes none. The date is different: a template that asks for today gets a fixed day here,
so that the same example gives the same tokens on every day, but keeps its question in the saved model.
"""

from __future__ import annotations

import copy
import datetime
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from transformers import PreTrainedTokenizerFast

from burnish.config import setting, settings
from burnish.errors import DataError, TemplateError, shown
from burnish.example import Message

Chat = Sequence[Mapping[str, Any]]
"""Messages as a template reads them."""

Tools = Sequence[Mapping[str, Any]]


@settings
class TemplateSettings:
    """How messages become text."""

    template: Path | None = setting(
        None, "file with a chat template in Jinja, used in place of the tokenizer's own", source=True
    )
    variables: Mapping[str, bool | int | float | str] | None = setting(
        None, "values for the template's own switches, such as enable_thinking"
    )
    date: str = setting(
        "2025-01-01", "the day that a template gets when it asks for today's", pattern=r"^\d{4}-\d{2}-\d{2}$"
    )
    thinking: Literal["keep", "drop"] = setting(
        "keep", "whether the thinking of messages is given to the template; drop leaves it out everywhere"
    )

    def __post_init__(self) -> None:
        try:
            datetime.date.fromisoformat(self.date)
        except ValueError as error:
            raise ValueError(f"date '{self.date}': {error}") from None
        for name in self.variables or {}:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise ValueError(f"'{name}' cannot be the name of a template's variable; use letters, digits and _")


class Renderer:
    """A chat template, ready to render.

    Args:
        tokenizer: brings the template and the special tokens' spellings; not changed.
        options: the settings.

    Attributes:
        tokenizer: the tokenizer to save with the model: the one given, or a copy that carries the changed template.

    Raises:
        TemplateError: the file in `options.template` cannot be read.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, options: TemplateSettings) -> None:
        template = tokenizer.chat_template if options.template is None else _file_text(options.template)
        self.options = options
        self.tokenizer = _with_template(tokenizer, _with_prefix(template, _defaults(options.variables or {})))

    @property
    def has_template(self) -> bool:
        """Whether there is a chat template at all."""
        return bool(self.tokenizer.chat_template)

    @property
    def key(self) -> str:
        """Everything about the template that decides what is rendered, as one string."""
        template = self.tokenizer.chat_template
        asks_today = "strftime_now" in json.dumps(template)
        return json.dumps([template, self.options.date if asks_today else None, self.options.thinking], sort_keys=True)

    def source(self, tools: Tools) -> str:
        """The text of the template in use for these tools (some tokenizers have a second one for tools)."""
        return str(self.tokenizer.get_chat_template(None, list(tools) or None))

    def add_begin(self) -> None:
        """Let the template begin with the tokenizer's begin token."""
        self.tokenizer = _with_template(self.tokenizer, _with_prefix(self.tokenizer.chat_template, "{{ bos_token }}"))

    def render(self, chat: Chat, tools: Tools, *, header: bool, what: str) -> str:
        """The conversation as the template writes it.

        Args:
            chat: from `dicts`.
            tools: JSON schemas offered to the model.
            header: whether the header of an assistant turn follows (the "generation prompt").
            what: names the conversation in messages, such as "example '7'".

        Raises:
            TemplateError: there is no template, or it refuses the messages.
        """
        self.require(what)
        try:
            source = self.source(tools)
            if "strftime_now" in source:
                source = _pinned_date(self.options.date) + source
            return str(
                self.tokenizer.apply_chat_template(
                    list(chat),
                    tools=list(tools) or None,
                    chat_template=source,
                    add_generation_prompt=header,
                    tokenize=False,
                )
            )
        except Exception as cause:  # a template is a program of somebody else's: it may raise anything
            roles = ", ".join(str(message["role"]) for message in chat) or "none"
            raise TemplateError(
                f"{what}: the chat template refuses the messages (roles: {roles}): {cause}. Change the roles or the "
                "order of the messages to what the template takes, or name another template in the setting 'template'"
            ) from cause

    def require(self, what: str) -> None:
        """Refuse to go on without a chat template.

        Raises:
            TemplateError: there is none.
        """
        if not self.has_template:
            raise TemplateError(
                f"{what}: the tokenizer has no chat template, so messages with roles cannot be laid out. Name a file "
                "with the template the model was trained with in the setting 'template', or use plain text"
            )

    def dicts(self, messages: Sequence[Message], *, what: str) -> list[dict[str, Any]]:
        """Messages in the shape that templates read.

        Raises:
            DataError: a tool call cannot be read, or plain text stands among chat messages.
        """
        return [self._dict(message, what) for message in messages]

    def _dict(self, message: Message, what: str) -> dict[str, Any]:
        if message.role == "text":
            raise DataError(f"{what}: a message of role 'text' stands among chat messages; use one or the other")
        row: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.role == "developer" and "developer" not in json.dumps(self.tokenizer.chat_template):
            row["role"] = "system"  # a template that does not know the role would print it as it is, or drop it
        if message.thinking and self.options.thinking == "keep":
            row |= {"reasoning_content": message.thinking, "thinking": message.thinking}
        if message.tool_calls:
            row["tool_calls"] = [_tool_call(call, what) for call in message.tool_calls]
        if message.tool_call_id is not None:
            row["tool_call_id"] = message.tool_call_id
        if message.name is not None:
            row["name"] = message.name
        return row

    def visible(self, message: Message) -> Message:
        """`message` as the settings let the template see it."""
        return replace(message, thinking=None) if self.options.thinking == "drop" else message


def _tool_call(call: Mapping[str, Any], what: str) -> dict[str, Any]:
    """A tool call with its arguments as an object, which is what templates want."""
    function = call.get("function", call)  # some data leaves the outer object away
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise DataError(f'{what}: found the tool call {shown(call)}; expected {{"function": {{"name", "arguments"}}}}')
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except json.JSONDecodeError as error:
            raise DataError(
                f"{what}: the arguments of the call '{function['name']}' are not JSON ({error}): {shown(arguments)}"
            ) from None
    if not isinstance(arguments, Mapping):
        raise DataError(
            f"{what}: the arguments of the tool call '{function['name']}' are {shown(arguments)}; expected an object"
        )
    outer = (
        {key: value for key, value in call.items() if key not in ("name", "arguments")} if function is call else call
    )
    return {"type": "function", **outer, "function": {**function, "arguments": arguments}}


def _file_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"the chat template {path} cannot be read: {error}; give a text file with Jinja") from None


def _with_template(tokenizer: PreTrainedTokenizerFast, template: Any) -> PreTrainedTokenizerFast:
    if template == tokenizer.chat_template:
        return tokenizer
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = template
    return tokenizer


def _with_prefix(template: Any, prefix: str) -> Any:
    """`prefix` in front of the template, or of each of a tokenizer's templates; never twice."""
    if isinstance(template, Mapping):
        return {name: _with_prefix(text, prefix) for name, text in template.items()}
    if not template or template.startswith(prefix):
        return template
    return prefix + template


def _defaults(variables: Mapping[str, bool | int | float | str]) -> str:
    """Jinja that gives variables a value where the caller gives none."""
    lines = (
        f"{{%- if {name} is not defined %}}{{%- set {name} = {json.dumps(value)} %}}{{%- endif %}}{{{{ '' }}}}"
        for name, value in sorted(variables.items())
    )
    return "".join(lines)


def _pinned_date(day: str) -> str:
    """Jinja that answers `strftime_now(format)` with a fixed day."""
    date = datetime.datetime.fromisoformat(day)
    parts = {letter: date.strftime(f"%{letter}") for letter in "aAbBdmyYHIMSpjUWuwxXc"}
    parts |= {"-d": str(date.day), "-m": str(date.month)}  # strftime knows these on some systems only
    steps = "".join(f".replace({json.dumps('%' + name)}, {json.dumps(value)})" for name, value in parts.items())
    return f"{{%- macro strftime_now(format) %}}{{{{ format{steps} }}}}{{%- endmacro %}}{{{{ '' }}}}"
