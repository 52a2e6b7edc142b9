"""The registry of data formats: what each is called, by which fields it is recognised, how it becomes examples.

A format is recognised by the names of a row's fields, nothing else: it `needs` some and must lack others, so that an
ordinary row fits one format (`burnish.data.recognise`).

To add a format: write a converter (`convert.py`, `feedback.py`), add its name to `FormatName` and an entry here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from burnish.data import convert, feedback
from burnish.data.convert import Converter
from burnish.example import WORKED, example_dict

FormatName = Literal[
    "burnish", "messages", "sharegpt", "prompt-completion", "alpaca", "preference", "preference-sharegpt",
    "preference-dialogues", "unpaired", "ranked", "question-answer", "input-target", "instruction-answer",
    "self-instruct", "turns", "prompts", "text",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Format:
    """One shape of rows.

    Attributes:
        name: how it is called in settings and reports.
        meaning: what such data is, in one phrase.
        needs: fields that must be there; `a|b` is met by either.
        takes: fields that are read if they are there; all others go to `Example.columns`.
        lacks: fields that show the row to be of another format.
        convert: makes the examples of a row.
        worked: a row, for the docs and the tests.
    """

    name: FormatName
    meaning: str
    needs: tuple[str, ...]
    takes: tuple[str, ...] = ("id", "system", "tools")
    lacks: tuple[str, ...] = ()
    convert: Converter
    worked: Mapping[str, Any]

    def missing(self, fields: frozenset[str]) -> tuple[str, ...]:
        """The needed fields that are not among `fields`."""
        return tuple(need for need in self.needs if not fields.intersection(need.split("|")))

    def fits(self, fields: frozenset[str]) -> bool:
        """Whether a row with these fields is of this format."""
        return not self.missing(fields) and fields.isdisjoint(self.lacks)

    def fields(self) -> tuple[str, ...]:
        """Every field that the converter may read."""
        return tuple(name for need in (*self.needs, *self.takes) for name in need.split("|"))

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(need.replace('|', ' or ') for need in self.needs)})"


_ASKED = {"role": "user", "content": "Name a gem."}
_SAID = {"role": "assistant", "content": "Opal."}
_HUMAN = {"from": "human", "value": "Name a gem."}
_GPT = {"from": "gpt", "value": "Opal."}
_ANSWERS = ("completion", "response", "completions", "responses", "chosen", "rejected")

FORMATS: tuple[Format, ...] = (
    Format(
        name="burnish",
        meaning="the library's own: a prompt with its completions",
        needs=("prompt", "completions"),
        takes=("id", "tools", "columns"),
        lacks=("ranks", "scores"),
        convert=convert.own,
        worked=example_dict(WORKED),
    ),
    Format(
        name="messages",
        meaning="a conversation in the OpenAI shape",
        needs=("messages",),
        lacks=("label", "conversations", *_ANSWERS),
        convert=convert.conversation("messages"),
        worked={"messages": [_ASKED, _SAID]},
    ),
    Format(
        name="sharegpt",
        meaning="a conversation in the ShareGPT shape",
        needs=("conversations",),
        lacks=("label", "messages", *_ANSWERS),
        convert=convert.conversation("conversations"),
        worked={"conversations": [_HUMAN, _GPT]},
    ),
    Format(
        name="prompt-completion",
        meaning="a prompt and its answer, as text or as turns",
        needs=("prompt", "completion|response"),
        lacks=("label", "chosen", "rejected", "messages", "conversations"),
        convert=convert.prompt_completion,
        worked={"prompt": "Name a gem.", "completion": "Opal."},
    ),
    Format(
        name="alpaca",
        meaning="an instruction with an optional input, and its answer",
        needs=("instruction", "output|response"),
        takes=("input|context", "history", "id", "system", "tools"),
        lacks=("instances", "messages", "conversations", "chosen", "rejected"),
        convert=convert.alpaca,
        worked={"instruction": "Name a gem.", "input": "It must be blue.", "output": "Sapphire."},
    ),
    Format(
        name="preference",
        meaning="a prompt with a better and a worse answer",
        needs=("prompt", "chosen", "rejected"),
        convert=feedback.preference("prompt"),
        worked={"prompt": "Name a gem.", "chosen": "Opal.", "rejected": "Mud."},
    ),
    Format(
        name="preference-sharegpt",
        meaning="a conversation with a better and a worse answer",
        needs=("conversations", "chosen", "rejected"),
        lacks=("prompt",),
        convert=feedback.preference("conversations"),
        worked={"conversations": [_HUMAN], "chosen": _GPT, "rejected": {"from": "gpt", "value": "Mud."}},
    ),
    Format(
        name="preference-dialogues",
        meaning="two whole dialogues that share their beginning (hh-rlhf)",
        needs=("chosen", "rejected"),
        lacks=("prompt", "conversations"),
        convert=feedback.dialogues,
        worked={
            "chosen": "\n\nHuman: Name a gem.\n\nAssistant: Opal.",
            "rejected": "\n\nHuman: Name a gem.\n\nAssistant: Mud.",
        },
    ),
    Format(
        name="unpaired",
        meaning="an answer that is desirable or not (KTO)",
        needs=("messages|conversations|completion|response", "label"),
        takes=("prompt", "id", "system", "tools"),
        lacks=("chosen", "rejected"),
        convert=feedback.unpaired,
        worked={"messages": [_ASKED, _SAID], "label": True},
    ),
    Format(
        name="ranked",
        meaning="a prompt with several answers, ranked or scored",
        needs=("prompt", "completions|responses", "ranks|scores"),
        convert=feedback.ranked,
        worked={"prompt": "Name a gem.", "completions": ["Opal.", "Ruby.", "Mud."], "ranks": [0, 0, 1]},
    ),
    Format(
        name="question-answer",
        meaning="a question and its reference answer (GSM8K)",
        needs=("question", "answer"),
        lacks=("prompt", "messages", "conversations", "instruction", "chosen", "rejected"),
        convert=convert.answered("question", "answer"),
        worked={"question": "What is 2 + 2?", "answer": "2 + 2 is 4.\n#### 4"},
    ),
    Format(
        name="input-target",
        meaning="an input and its target (BIG-Bench)",
        needs=("input", "target"),
        lacks=("prompt", "messages", "conversations", "instruction"),
        convert=convert.answered("input", "target"),
        worked={"input": "not True is", "target": "False"},
    ),
    Format(
        name="instruction-answer",
        meaning="an instruction with its input filled in, and the correct output (embers of autoregression)",
        needs=("instruction_plus_input", "correct_output"),
        convert=convert.answered("instruction_plus_input", "correct_output"),
        worked={"instruction_plus_input": "Decode: 'Fgnl urer!'", "correct_output": "Stay here!"},
    ),
    Format(
        name="self-instruct",
        meaning="a task with instances of input and output",
        needs=("instruction", "instances"),
        convert=convert.self_instruct,
        worked={"instruction": "Name a gem of this colour.", "instances": [{"input": "blue", "output": "Sapphire."}]},
    ),
    Format(
        name="turns",
        meaning="the questions of one user (MT-bench); the later ones are kept for the evaluation",
        needs=("turns",),
        takes=("question_id", "id", "system", "tools"),
        lacks=("prompt", "messages", "conversations"),
        convert=convert.questions,
        worked={"question_id": 81, "turns": ["Name a gem.", "And another."]},
    ),
    Format(
        name="prompts",
        meaning="prompts alone; the other columns are for a grader",
        needs=("prompt",),
        lacks=("messages", "conversations", "ranks", "scores", *_ANSWERS),
        convert=convert.prompts,
        worked={"prompt": "Name a gem. Answer in lower case.", "constraint": "lowercase"},
    ),
    Format(
        name="text",
        meaning="plain text for pretraining",
        needs=("text",),
        takes=("id",),
        lacks=("prompt", "messages", "conversations", "instruction", "question", "input", "turns", *_ANSWERS),
        convert=convert.plain_text,
        worked={"text": "Opal is a gem."},
    ),
)


def format_named(name: FormatName) -> Format:
    """The format of that name."""
    return next(form for form in FORMATS if form.name == name)


def known_fields() -> tuple[str, ...]:
    """Every field that some format reads, sorted: what a column can be renamed to."""
    return tuple(sorted({field for form in FORMATS for field in form.fields()}))
