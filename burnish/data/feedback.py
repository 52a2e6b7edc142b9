"""Converters of rows that compare or judge answers: preferences, rankings, labels.

    preference    chosen has rank 0, rejected rank 1
    ranking       the best has rank 0; equal values share a rank, and the next rank follows without a gap
    label         true is desirable, false is not; it judges the last answer, so earlier turns belong to the prompt

Answers that repeat the prompt are cut by turns. Two whole dialogues without a prompt have as their prompt the turns
that they share; from there on both must go on with the assistant, and they must answer the same last user turn.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from burnish.data.conversation import answer, answers, cut_last_answer, ends_with_answer, shared_turns, tree
from burnish.data.convert import Converter
from burnish.data.row import Row
from burnish.data.turns import Messages, dialogue, speech, turns
from burnish.errors import shown
from burnish.example import Completion, Example


def preference(field: str) -> Converter:
    """The converter of a prompt in `field` with `chosen` and `rejected`, each text, a turn, or turns."""

    def convert(row: Row) -> list[Example]:
        prompt = turns(row, field) if field == "conversations" else speech(row, field, "user")
        sides = [_without_prompt(row, prompt, side, field) for side in ("chosen", "rejected")]
        (prompt, chosen), (other, rejected) = sides
        if prompt != other:
            prompt = _same_body(row, prompt, other)
        return [_pair(row, prompt, chosen, rejected, (field, "chosen", "rejected"))]

    return convert


def dialogues(row: Row) -> list[Example]:
    """`chosen` and `rejected` as two whole dialogues: their common turns are the prompt."""
    chosen, rejected = dialogue(row, "chosen"), dialogue(row, "rejected")
    for side, messages in (("chosen", chosen), ("rejected", rejected)):
        ends_with_answer(row, messages, side)
    if chosen == rejected:
        raise row.bad("rejected", "the same dialogue as 'chosen'", "another answer")
    asked, other = (_last_user_turn(messages) for messages in (chosen, rejected))
    if asked != other:
        raise row.bad("rejected", f"the last user turn {shown(other)}", f"that of 'chosen', {shown(asked)}")
    count = shared_turns(chosen, rejected)
    for side, messages in (("chosen", chosen), ("rejected", rejected)):
        if count == len(messages):
            raise row.bad(side, "a dialogue that the other one only continues", "an answer of its own")
        if messages[count].role != "assistant":
            found = f"a turn of role '{messages[count].role}' that differs between chosen and rejected"
            raise row.bad(f"{side}[{count}]", found, "the same prompt in both")
    if count == 0:
        raise row.bad("chosen[0]", "an assistant turn", "a turn of the user before the first of the assistant")
    return [_pair(row, chosen[:count], chosen[count:], rejected[count:], ("chosen", "rejected"))]


def unpaired(row: Row) -> list[Example]:
    """One answer with a boolean `label`: `messages` or `conversations`, or `prompt` and `completion`."""
    field = row.present("messages", "conversations", "completion", "response")
    label = _label(row)
    if field in ("messages", "conversations"):
        prompt, last = cut_last_answer(row, turns(row, field), field)
    else:
        prompt, last = speech(row, "prompt", "user"), answer(row, field)
    used = (field, "label") if field in ("messages", "conversations") else ("prompt", field, "label")
    return [tree(row, prompt, [Completion(messages=last, label=label)], used)]


def ranked(row: Row) -> list[Example]:
    """A prompt with `completions` (or `responses`) and their `ranks` (low is best) or `scores` (high is best)."""
    field, order = row.present("completions", "responses"), row.present("ranks", "scores")
    prompt, texts = speech(row, "prompt", "user"), answers(row, field)
    values = _numbers(row, order, len(texts), field)
    for i, j in itertools.combinations(range(len(texts)), 2):
        if texts[i] == texts[j] and values[i] != values[j]:
            raise row.bad(f"{field}[{j}]", f"the same text as {field}[{i}] with another value in {order}", "the same")
    best_first = sorted(set(values), reverse=order == "scores")
    completions = [
        Completion(messages=text, rank=best_first.index(value), score=value if order == "scores" else None)
        for text, value in zip(texts, values, strict=True)
    ]
    return [tree(row, prompt, completions, ("prompt", field, order))]


def _pair(row: Row, prompt: Messages, chosen: Messages, rejected: Messages, used: Sequence[str]) -> Example:
    if chosen == rejected:
        raise row.bad("rejected", "the same answer as 'chosen'", "another answer")
    completions = [Completion(messages=chosen, rank=0), Completion(messages=rejected, rank=1)]
    return tree(row, prompt, completions, used)


def _without_prompt(row: Row, prompt: Messages, side: str, field: str) -> tuple[Messages, Messages]:
    """Prompt and answer of one side; an answer that begins with the prompt's turns is cut there."""
    messages = speech(row, side, "assistant")
    ends_with_answer(row, messages, side)
    if messages[0].role == "assistant":
        return prompt, messages
    system, body = _system_and_body(messages)
    own_system, own_body = _system_and_body(prompt)
    if system and own_system and system != own_system:
        raise row.bad(f"{side}[0]", "a system turn that differs from the prompt's", "the prompt's, or none")
    if not _same_turns(body[: len(own_body)], own_body):
        raise row.bad(side, f"a dialogue that begins with other turns than '{row.name(field)}'", "the same prompt")
    rest = body[len(own_body) :]
    if not rest or rest[0].role != "assistant":
        raise row.bad(side, "no assistant turn after the prompt", "an answer to the prompt")
    return (*(own_system or system), *own_body), rest


def _same_body(row: Row, prompt: Messages, other: Messages) -> Messages:
    """The longer of two prompts that may differ in whether they show the system turn."""
    if _system_and_body(prompt)[0] and _system_and_body(other)[0]:
        raise row.bad("rejected[0]", "a system turn that differs from that of 'chosen'", "the same prompt in both")
    return max(prompt, other, key=len)


def _system_and_body(messages: Messages) -> tuple[Messages, Messages]:
    count = next((i for i, m in enumerate(messages) if m.role not in ("system", "developer")), len(messages))
    return messages[:count], messages[count:]


def _same_turns(first: Messages, second: Messages) -> bool:
    return [(m.role, m.content.strip()) for m in first] == [(m.role, m.content.strip()) for m in second]


def _last_user_turn(messages: Messages) -> str:
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def _label(row: Row) -> bool:
    value = row.get("label")
    if row.kind == "csv" and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        allowed = "true (desirable) or false; a label of another kind is kept as a column under format: messages"
        raise row.wrong("label", f"{allowed} or prompt-completion")
    return value


def _numbers(row: Row, order: str, count: int, field: str) -> list[float]:
    values = row.items(order)
    for i, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise row.bad(f"{order}[{i}]", shown(value), "a number")
    if len(values) != count or count < 2:
        raise row.bad(order, f"{len(values)} for {count} {field}", "one for each, and at least two")
    return [float(value) for value in values]
