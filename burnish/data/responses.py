"""Examples without their instructions: what response tuning learns from.

    conditioning        a response is learned behind
    prompt              its prompt, as anywhere else
    empty_turn          what the template writes around an empty turn of the user, and responses before it
    header              the template's header of an answer alone: one response, and nothing before it

With `empty_turn` every message of the user becomes empty and system messages go, in all turns. This is how Hewitt et
al. 2024 ("Instruction Following without Instruction Tuning", arXiv 2409.14254) train: the published code sets the
content of the user's messages to "". With `header` the user's turn goes with its own header, as An and Kim 2024
("Revealing the Inherent Instructability of Pre-Trained Language Models", arXiv 2410.02465, first called "Response
Tuning") have it, on the first response of a conversation; one with more is refused here, since it would be cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from burnish.errors import DataError
from burnish.example import Example, Message, user

Conditioning = Literal["prompt", "empty_turn", "header"]
"""What a response is learned behind."""


def conditioned(example: Example, conditioning: Conditioning) -> Example:
    """The example as `conditioning` has it; `header` leaves an empty turn, which the trees lose (`stages/prepare.py`).

    Raises:
        DataError: it is plain text, or uses tools, or has several responses and should have one: nothing could be left
            out, or a response would lose what it reads.
    """
    if conditioning == "prompt":
        return example
    messages = [*example.prompt, *(message for answer in example.completions for message in answer.messages)]
    if any(message.role == "text" for message in messages):
        raise DataError(
            f"example '{example.id}' is plain text, which has no instruction to leave out; train on it with "
            "`burnish pretrain`, or set conditioning to prompt"
        )
    if example.tools or any(message.role == "tool" or message.tool_calls for message in messages):
        raise DataError(
            f"example '{example.id}' uses tools: what a tool says is no response of the model, and a response to it "
            "means nothing without it. Leave such rows out, or set conditioning to prompt"
        )
    turns = [message for message in example.prompt if message.role == "assistant"]
    if conditioning == "header" and (turns or any(len(answer.messages) > 1 for answer in example.completions)):
        raise DataError(
            f"example '{example.id}' has several responses, and the header of an answer has nothing before it; keep "
            "the first one of each conversation, or set conditioning to empty_turn"
        )
    answers = tuple(replace(answer, messages=_emptied(answer.messages)) for answer in example.completions)
    return replace(example, prompt=_emptied(example.prompt) or (user(""),), completions=answers)


def _emptied(messages: Sequence[Message]) -> tuple[Message, ...]:
    return tuple(
        replace(message, content="", name=None) if message.role == "user" else message
        for message in messages
        if message.role not in ("system", "developer")
    )
