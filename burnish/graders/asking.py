"""Ask a text engine until each question has a verdict that can be read.

A reply without one is answered with a reminder, up to `asks` questions in all; then the judge has failed, and the error
names the example. Nothing is guessed, and no answer gets a middling score for want of a verdict.

Each ask has a seed of its own, derived from the version of the wording, the example, the question and the number of the
ask, so that a verdict does not depend on what else is asked; equal questions are asked once. Whether equal seeds give
equal replies is up to the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from burnish.errors import EndpointError, GraderError, shown
from burnish.example import Message, assistant, user
from burnish.graders.wording import Wording, reasons_in
from burnish.numerics import seed_from
from burnish.protocols import Decoding, TextEngine

V = TypeVar("V")

_REPLY_SHOWN = 160  # characters


@dataclass(frozen=True)
class Question:
    """What is asked about an answer to an example; equal ones are the same.

    Attributes:
        example: its id.
        messages: that put the question.
    """

    example: str
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Verdict(Generic[V]):
    """What a judge decided, and what it said before: in all its replies, where it needed a reminder."""

    value: V
    reasons: str


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Puts questions to an engine.

    Attributes:
        engine: replies.
        wording: has the reminder.
        version: of the wording with its rubric; part of every seed.
        decoding: of the replies.
        asks: of one question, reminders included; at least 1.
    """

    engine: TextEngine
    wording: Wording
    version: str
    decoding: Decoding
    asks: int

    def verdicts(self, questions: Sequence[Question], read: Callable[[str], V | None]) -> list[Verdict[V]]:
        """One verdict per question, in their order.

        Args:
            questions: those that are equal share a verdict.
            read: the verdict on the last line of a reply, None if there is none.

        Raises:
            GraderError: a question got no verdict, or the engine failed; names the example.
        """
        found: dict[Question, Verdict[V]] = {}
        talks = {question: list(question.messages) for question in questions}
        for ask in range(self.asks):
            waiting = [question for question in talks if question not in found]
            if not waiting:
                break
            for question, reply in zip(waiting, self._replies(waiting, talks, ask), strict=True):
                talks[question] += [assistant(reply or "(nothing)"), user(self.wording.reminder)]
                value = read(reply)
                if value is not None:
                    found[question] = Verdict(value, _reasons(talks[question]))
        for question, talk in talks.items():
            if question not in found:
                raise self._unread(question, talk)
        return [found[question] for question in questions]

    def _replies(self, waiting: Sequence[Question], talks: Mapping[Question, list[Message]], ask: int) -> list[str]:
        seeds = [seed_from("judge", self.version, q.example, q.messages[-1].content, ask) for q in waiting]
        try:
            return self.engine.replies([talks[question] for question in waiting], self.decoding, seeds=seeds)
        except EndpointError as error:
            name = waiting[error.place or 0].example
            raise GraderError(f"the judge could not be asked about an answer to example '{name}': {error}") from error

    def _unread(self, question: Question, talk: Sequence[Message]) -> GraderError:
        last = talk[-2].content[-_REPLY_SHOWN:]
        form = self.wording.reminder.splitlines()[-1]
        return GraderError(
            f"the judge gave no verdict on an answer to example '{question.example}' in {self.asks} replies; the last "
            f"one ends {shown(last, limit=2 * _REPLY_SHOWN)}, and its last line should have been as in '{form}'; "
            "take a larger judge, or let its replies be longer (judge.reply_tokens) if they are cut"
        )


def _reasons(talk: Sequence[Message]) -> str:
    """What the judge said before its verdict, in all its replies; the verdict is the last line of the last one."""
    *unread, last = [message.content for message in talk if message.role == "assistant"]
    return "\n".join(text for text in (*unread, reasons_in(last)) if text)
