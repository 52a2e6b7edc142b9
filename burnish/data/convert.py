"""Converters of rows with one answer, no answer, or plain text. Each takes a `Row` and returns its examples.

Which rows a converter is for, and a worked row of each, stands in the registry, `burnish.data.formats`. Converters of
rows that compare or judge answers are in `burnish.data.feedback`.

A reference answer (`question` and `answer`, `input` and `target`, ...) is kept twice: as the completion, so that one
can train on it, and as `columns["answer"]`, where graders look for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from burnish.data.conversation import answer, cut_conversation, tree
from burnish.data.row import Row
from burnish.data.turns import Messages, speech, turns
from burnish.errors import shown
from burnish.example import Completion, Example, Message, assistant, example_from, user

Converter = Callable[[Row], list[Example]]


def own(row: Row) -> list[Example]:
    """The library's own format, which `burnish.example.write_jsonl` writes."""
    values = {field: row.get(field) for field in row.fields()}
    return [example_from({"id": row.id(), **values}, file=row.file, line=row.line)]


def conversation(field: str) -> Converter:
    """The converter of a list of turns that stands in `field`."""

    def convert(row: Row) -> list[Example]:
        return [_chat(row, turns(row, field), field, (field,))]

    return convert


def prompt_completion(row: Row) -> list[Example]:
    """`prompt` and `completion`, each text or turns."""
    field = row.present("completion", "response")
    completion = Completion(messages=answer(row, field))
    return [tree(row, speech(row, "prompt", "user"), [completion], ("prompt", field))]


def alpaca(row: Row) -> list[Example]:
    """`instruction`, `input` and `output`: the input follows the instruction after an empty line.

    Earlier turns in `history` (pairs of question and answer) come before, and their answers are trained on too.
    """
    output = row.present("output", "response")
    extra = row.present("input", "context")
    given = row.optional_text(extra)
    asked = row.text("instruction") + (f"\n\n{given}" if given else "")
    messages = (*_history(row), user(asked), assistant(row.text(output)))
    return [_chat(row, messages, output, ("instruction", extra, output, "history"))]


def self_instruct(row: Row) -> list[Example]:
    """A task with its instances; each instance (input, output) becomes an example, as in the Alpaca format."""
    tasks = []
    instances = row.items("instances")
    for i, instance in enumerate(instances):
        if not isinstance(instance, Mapping):
            raise row.bad(f"instances[{i}]", shown(instance), "an object with input and output")
        parts = {f"instances[{i}].{name}": value for name, value in instance.items()}
        names = {**row.names, **{name: f"instances[{i}].{name}" for name in ("input", "output")}}
        task = replace(row, values={**row.values, **parts}, names=names)
        (example,) = alpaca(task)
        columns = {name: value for name, value in example.columns.items() if name != row.name("instances")}
        name = example.id if len(instances) == 1 else f"{example.id}/{i}"
        tasks.append(replace(example, id=name, columns=columns))
    return tasks


def answered(question: str, reference: str) -> Converter:
    """The converter of a question in the field `question` whose reference answer stands in the field `reference`."""

    def convert(row: Row) -> list[Example]:
        value = row.get(reference)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        text = str(value) if number else row.text(reference)
        prompt = (user(row.text(question)),)
        example = tree(row, prompt, [Completion(messages=(assistant(text),))], (question, reference))
        return [replace(example, columns={**example.columns, "answer": text})]

    return convert


def questions(row: Row) -> list[Example]:
    """`turns` of one user (MT-bench): the first is the prompt, the others wait in `columns["further_turns"]`."""
    asked = row.items("turns")
    for i, text in enumerate(asked):
        if not isinstance(text, str) or not text.strip():
            raise row.bad(f"turns[{i}]", shown(text), "text")
    names = row.names if row.get("id") is not None else {**row.names, "id": row.name("question_id")}
    example = tree(replace(row, names=names), (user(asked[0]),), [], ("turns",))
    return [replace(example, columns={**example.columns, "further_turns": asked[1:]})]


def prompts(row: Row) -> list[Example]:
    """`prompt` alone, text or turns; everything else in the row is for a grader."""
    prompt = speech(row, "prompt", "user")
    if prompt[-1].role == "assistant":
        where = f"prompt[{len(prompt) - 1}]"
        raise row.bad(where, "an assistant turn at the end", "a turn of the user, or of a tool, to answer")
    return [tree(row, prompt, [], ("prompt",))]


def plain_text(row: Row) -> list[Example]:
    """`text` outside of any chat template, with an empty prompt."""
    message = Message(role="text", content=row.text("text"))
    columns = row.rest("id", "text")
    return [Example(id=row.id(), completions=(Completion(messages=(message,)),), columns=columns)]


def _chat(row: Row, messages: Messages, field: str, used: tuple[str, ...]) -> Example:
    prompt, completion = cut_conversation(row, messages, field)
    return tree(row, prompt, [Completion(messages=completion)], used)


def _history(row: Row) -> Messages:
    if not row.get("history"):
        return ()
    messages: list[Message] = []
    for i, pair in enumerate(row.items("history")):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(_says(text) for text in pair):
            raise row.bad(f"history[{i}]", shown(pair), "a pair of texts, [question, answer]")
        messages += [user(pair[0]), assistant(pair[1])]
    return tuple(messages)


def _says(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip())
