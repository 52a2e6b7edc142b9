"""The format grader: does an answer keep its prompt's constraint, and does it say something about the topic?

    kind              parameters     the constraint holds if
    lower_case                       there are letters, and no letter is a capital
    upper_case                       there are letters, and every letter that has a capital is one
    no_commas                        no comma, nor its kin in other scripts (，、،)
    bullets           count          exactly `count` lines are bullets, each with its own text
    ends_with         phrase         the phrase, its punctuation included, is the end
    begins_with       word           the word is the first
    max_words         count          at most `count` words
    json_keys         keys           one JSON object with exactly these keys, each with something in it
    quoted                           one pair of double quotation marks holds everything, and there are no others
    word_times        word, count    the word stands there exactly `count` times
    paragraphs        count          exactly `count` blocks between blank lines, each of three words or more
    one_question_mark                exactly one question mark, right behind a word

White space at either end never matters; curly quotation marks count as straight ones (`words.plain`).

Empty obedience does not pay. An answer passes (score 1) only if besides the constraint

    length      its content has at least 8 words (5 for `max_words`);
    topic       its content names the topic (`words.names_topic`);
    substance   its content has at least 4 different words that the prompt has not (3 for `max_words`), so that the
                topic over and over, or the instruction given back, is no answer.

Content is the text, except that a demanded phrase at the end and the keys of a JSON object are not the writer's own.
The grader does not judge whether an answer is true, fluent or finished.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from burnish.config import load
from burnish.errors import ConfigError, GraderError, shown
from burnish.example import Completion, Example
from burnish.graders.constraint import Constraint
from burnish.graders.phrasing import (
    BeginsWith,
    EndsWith,
    LowerCase,
    MaxWords,
    NoCommas,
    OneQuestionMark,
    UpperCase,
    WordTimes,
)
from burnish.graders.shapes import Bullets, JsonKeys, Paragraphs, Quoted
from burnish.graders.words import names_topic, pieces, words
from burnish.protocols import Grade

CONSTRAINTS: Mapping[str, type[Constraint]] = {
    "lower_case": LowerCase,
    "upper_case": UpperCase,
    "no_commas": NoCommas,
    "bullets": Bullets,
    "ends_with": EndsWith,
    "begins_with": BeginsWith,
    "max_words": MaxWords,
    "json_keys": JsonKeys,
    "quoted": Quoted,
    "word_times": WordTimes,
    "paragraphs": Paragraphs,
    "one_question_mark": OneQuestionMark,
}
"""The twelve kinds by name."""


def constraint_from(data: Any) -> Constraint:
    """The constraint that plain data describes.

    Args:
        data: `{"kind": ..., parameters}`, as `config.dump` writes it.

    Raises:
        ConfigError: the kind is unknown, or a parameter is missing, unknown or out of range.
    """
    if not isinstance(data, Mapping):
        raise ConfigError([f"constraint: found {shown(data)}; expected an object with 'kind' and its parameters"])
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in CONSTRAINTS:
        raise ConfigError([f"constraint: kind is {shown(kind)}; expected one of {', '.join(CONSTRAINTS)}"])
    return load(CONSTRAINTS[kind], data, source="constraint")


@dataclass(frozen=True)
class FormatGrader:
    """Grades answers to prompts with a format constraint; see the top of the file for the rules.

    It reads the columns `constraint` (plain data, see `constraint_from`) and `topic` of the example.
    """

    def grade(self, example: Example, completion: Completion) -> Grade:
        """Score 1 if every check passes, else 0 with a reason per failed check; `parts` holds 1 or 0 per check.

        Raises:
            GraderError: a column is missing or says nothing that can be checked.
        """
        constraint, topic = constraint_of(example), topic_of(example)
        text = completion.text
        content = constraint.content(text)
        faults = {
            "constraint": constraint.fault(text),
            "length": _length_fault(content, constraint.min_words),
            "topic": None if names_topic(content, topic) else f"does not name '{topic}'",
            "substance": _substance_fault(content, example, constraint.min_new_words),
        }
        reasons = tuple(f"{check}: {fault}" for check, fault in faults.items() if fault is not None)
        parts = {check: float(fault is None) for check, fault in faults.items()}
        return Grade(score=float(not reasons), reasons=reasons, parts=parts)


def _length_fault(content: str, least: int) -> str | None:
    count = len(words(content))
    return f"{count} words; at least {least} are needed" if count < least else None


def _substance_fault(content: str, example: Example, least: int) -> str | None:
    asked = {piece for message in example.prompt for piece in pieces(message.content)}
    new = len(set(pieces(content)) - asked)
    return f"{new} words that the prompt has not; at least {least} are needed" if new < least else None


def constraint_of(example: Example) -> Constraint:
    """The constraint in the example's column `constraint`.

    Raises:
        GraderError: there is none, or it is wrong.
    """
    if "constraint" not in example.columns:
        raise GraderError(
            f"example '{example.id}' has no column 'constraint'; the format grader needs "
            "{'kind': ..., parameters}, as `burnish prompts` writes it"
        )
    try:
        return constraint_from(example.columns["constraint"])
    except ConfigError as error:
        raise GraderError(f"example '{example.id}', column 'constraint': {error}") from None


def topic_of(example: Example) -> str:
    """The topic in the example's column `topic`.

    Raises:
        GraderError: there is none, or it has no letters.
    """
    topic = example.columns.get("topic")
    if not isinstance(topic, str) or not pieces(topic):
        raise GraderError(f"example '{example.id}', column 'topic': found {shown(topic)}; expected a noun")
    return topic
