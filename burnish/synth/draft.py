"""Material for a short answer on a topic: usable sentences, the first of which names it.

opening()      one to three sentences in a row, about 15 to 60 words
units(n)       exactly n sentences, for bullets, keys and paragraphs; long ones are split at a clause border
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from burnish.graders.words import names_topic, noun_forms, pieces, words
from burnish.synth.sentences import SHORTEST, usable_sentences

_ENOUGH_WORDS = 15
_MOST_SENTENCES = 3
_LONGEST_UNIT = 14  # words granted to each of several units, where that is more than the whole may have

_PRONOUN = re.compile(
    r"^(?:They|These|It|This)\b(?= (?:are|have|can|is|has|may|will|also|often|play|make|help|provide)\b)"
)
_CLAUSE = re.compile(r"(?:;|, (?:and|but|so|yet)) (?=(?:they|it|this|you|people|we|he|she|there)\b [a-z]+ )")
_KEPT_CAPITAL = re.compile(r"^(?:I|[A-Z]{2,}|[A-Z]\w*[A-Z]\w*)\b")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """Sentences on a topic.

    Attributes:
        topic: what they are about.
        statements: in their order; the first names the topic.
        questions: sentences that end with a question mark.
        max_words: longest answer.
    """

    topic: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    max_words: int

    def only(self, statements: Sequence[str]) -> Draft | None:
        """This draft with fewer statements, None if none of them names the topic."""
        kept = _from_topic(statements, self.topic)
        return replace(self, statements=kept) if kept else None

    def opening(self, *, room: int = 0) -> list[str]:
        """The first sentences: up to three, until they have 15 words, leaving `room` for as many words."""
        chosen = [self.statements[0]]
        for sentence in self.statements[1:_MOST_SENTENCES]:
            if _length(chosen) >= _ENOUGH_WORDS or _length([*chosen, sentence]) > self.max_words - room:
                break
            chosen.append(sentence)
        return chosen

    def units(self, count: int) -> list[str] | None:
        """Exactly `count` sentences: the first, which names the topic, and the shortest others; None if too few."""
        first, *others = _split_to(self.statements, count)
        if len(others) < count - 1:
            return None
        short = sorted(others, key=lambda sentence: len(words(sentence)))[: count - 1]
        chosen = [first, *(sentence for sentence in others if sentence in short)]
        return chosen if _length(chosen) <= max(self.max_words, count * _LONGEST_UNIT) else None

    def led_by(self, word: str, sentence: str) -> str:
        """`sentence` behind `word` and a comma, its first letter lowered unless it belongs to a name."""
        return f"{word[:1].upper()}{word[1:]}, {self._lowered(sentence)}"

    def _lowered(self, sentence: str) -> str:
        first = words(sentence)[0]
        inside = [word for statement in self.statements for word in words(statement)[1:]]
        is_name = first in inside and first.casefold() not in noun_forms(pieces(self.topic)[0])
        if is_name or _KEPT_CAPITAL.search(sentence):
            return sentence
        return sentence[:1].lower() + sentence[1:]


def draft_from(text: str, *, topic: str, prompt: str, max_words: int) -> Draft | None:
    """The draft that a model's answer holds, None if no usable sentence names the topic."""
    sentences = usable_sentences(text, prompt=prompt)
    statements = [s for s in sentences if "?" not in s and len(words(s)) <= max_words]
    if not any(names_topic(statement, topic) for statement in statements):
        statements = _named(statements, topic)
    kept = _from_topic(statements, topic)
    if not kept:
        return None
    return Draft(
        topic=topic,
        statements=kept,
        questions=tuple(s for s in sentences if s.endswith("?") and s.count("?") == 1),
        max_words=max_words,
    )


def capitalised(text: str) -> str:
    """`text` with a capital at its start."""
    return text[:1].upper() + text[1:]


def _length(sentences: Sequence[str]) -> int:
    return sum(len(words(sentence)) for sentence in sentences)


def _from_topic(statements: Sequence[str], topic: str) -> tuple[str, ...]:
    """`statements` from the first that names the topic on."""
    start = next((i for i, statement in enumerate(statements) if names_topic(statement, topic)), len(statements))
    return tuple(statements[start:])


def _named(statements: Sequence[str], topic: str) -> list[str]:
    """`statements` with the topic in the place of the pronoun that the first one starts with, if number agrees."""
    if not statements or not (match := _PRONOUN.match(statements[0])):
        return []
    if (match[0] in ("They", "These")) is not topic.endswith("s"):
        return []
    return [capitalised(topic) + statements[0][match.end() :], *statements[1:]]


def _split_to(statements: Sequence[str], count: int) -> list[str]:
    """`statements`, the longest split at clause borders until there are `count`, or no more can be had."""
    units = list(statements)
    while len(units) < count:
        for place in sorted(range(len(units)), key=lambda i: -len(units[i])):
            if halves := _halves(units[place]):
                units[place : place + 1] = halves
                break
        else:
            return units
    return units


def _halves(sentence: str) -> list[str] | None:
    for border in _CLAUSE.finditer(sentence):
        halves = [sentence[: border.start()] + ".", capitalised(sentence[border.end() :])]
        if all(len(words(half)) >= SHORTEST for half in halves):
            return halves
    return None
