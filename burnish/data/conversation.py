"""Where the prompt of a conversation ends, and the example that comes of it.

The prompt is what stands before the first assistant turn; the completion is all that follows, user turns included (they
carry no loss). Turns are compared as turns, never as characters, so a beginning that two answers share stays in the
answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from burnish.data.row import Row
from burnish.data.turns import Messages, speech
from burnish.errors import shown
from burnish.example import Completion, Example, Message


def answer(row: Row, field: str) -> Messages:
    """The messages of a field that holds an answer: text, or turns of which the first and last are the assistant's.

    Raises:
        BadRow: it is none of these, says nothing, or another speaks first or last.
    """
    messages = speech(row, field, "assistant")
    if messages[0].role != "assistant":
        raise row.bad(f"{field}[0]", f"a turn of role '{messages[0].role}'", "an assistant turn first")
    ends_with_answer(row, messages, field)
    return messages


def answers(row: Row, field: str) -> list[Messages]:
    """The messages of a field that holds a list of answers, each as `answer` takes them."""
    places = {row.place(f"{field}[{i}]"): value for i, value in enumerate(row.items(field))}
    here = replace(row, values=places, names={})
    return [answer(here, place) for place in places]


def cut_conversation(row: Row, messages: Messages, field: str) -> tuple[Messages, Messages]:
    """Prompt and completion of a conversation, cut before its first assistant turn.

    Raises:
        BadRow: there is nothing to answer or no answer, or the conversation ends with another's turn.
    """
    first = next((i for i, message in enumerate(messages) if message.role == "assistant"), None)
    if first is None:
        allowed = "at least one; a prompt that waits for its answer goes in a field 'prompt'"
        raise row.bad(field, "no assistant turn", allowed)
    if first == 0:
        raise row.bad(f"{field}[0]", "an assistant turn", "a turn of the user before the first of the assistant")
    ends_with_answer(row, messages, field)
    return messages[:first], messages[first:]


def cut_last_answer(row: Row, messages: Messages, field: str) -> tuple[Messages, Messages]:
    """Prompt and completion of a conversation, cut after the last user turn: feedback judges the last answer."""
    cut_conversation(row, messages, field)
    last = max((i for i, message in enumerate(messages) if message.role == "user"), default=0)
    return messages[: last + 1], messages[last + 1 :]


def ends_with_answer(row: Row, messages: Messages, field: str) -> None:
    """Check that the assistant speaks last.

    Raises:
        BadRow: another does.
    """
    if messages[-1].role != "assistant":
        where = f"{field}[{len(messages) - 1}]"
        raise row.bad(where, f"a turn of role '{messages[-1].role}' at the end", "an assistant turn at the end")


def shared_turns(first: Sequence[Message], second: Sequence[Message]) -> int:
    """How many turns two dialogues have in common at their beginning."""
    for count, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return count
    return min(len(first), len(second))


def tree(row: Row, prompt: Messages, completions: Sequence[Completion], used: Sequence[str]) -> Example:
    """The example, with the columns `system` and `tools` taken in and the unused columns kept.

    Raises:
        BadRow: a `system` column contradicts the system turn of the conversation, or the row comes with images.
    """
    for field in ("images", "videos", "audios"):
        if row.get(field):
            allowed = f"text alone; to train on the text without them, ignore: [{row.name(field)}]"
            raise row.wrong(field, allowed)
    return Example(
        id=row.id(),
        prompt=_with_system(row, prompt),
        completions=tuple(completions),
        tools=row.tools(),
        columns=row.rest("id", "system", "tools", *used),
    )


def _with_system(row: Row, prompt: Messages) -> Messages:
    system = row.optional_text("system")
    if not system:
        return prompt
    if prompt and prompt[0].role == "system":
        if prompt[0].content != system:
            allowed = f"the words of the conversation's system turn, {shown(prompt[0].content)}, or nothing"
            raise row.wrong("system", allowed)
        return prompt
    return (Message(role="system", content=system), *prompt)
