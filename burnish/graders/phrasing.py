"""Constraints on letters, words and marks: capitals, commas, first and last words, counts of words.

Where a rule compares words, capitals do not matter. The table of all kinds is in `format.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar, Literal

from burnish.config import setting, settings
from burnish.errors import shown
from burnish.graders.constraint import Constraint
from burnish.graders.words import occurrences, plain, words

_COMMAS = ",，、،﹐﹑"
_QUESTION_MARKS = "?？؟﹖⁇⁈⁉‽"
_TRAILING_MARKS = "\"'*_ "


@settings
class LowerCase(Constraint):
    """All lower case."""

    kind: Literal["lower_case"] = "lower_case"

    def fault(self, text: str) -> str | None:
        """A letter is a capital, or there are no letters."""
        return _capitals_fault(text, "a capital", str.islower, "lower case")


@settings
class UpperCase(Constraint):
    """All capitals."""

    kind: Literal["upper_case"] = "upper_case"

    def fault(self, text: str) -> str | None:
        """A letter is not a capital, or there are no letters."""
        return _capitals_fault(text, "not a capital", str.isupper, "capitals")


def _capitals_fault(text: str, fault: str, holds: Callable[[str], bool], wanted: str) -> str | None:
    if holds(plain(text)):
        return None
    wrong = next((c for c in plain(text) if c.upper() != c.lower() and not holds(c)), None)
    return f"nothing in {wanted}: there are no letters" if wrong is None else f"'{wrong}' is {fault}"


@settings
class NoCommas(Constraint):
    """No commas."""

    kind: Literal["no_commas"] = "no_commas"

    def fault(self, text: str) -> str | None:
        """There is a comma."""
        count = sum(text.count(comma) for comma in _COMMAS)
        return f"{count} comma(s); none are allowed" if count else None


@settings
class EndsWith(Constraint):
    """The answer ends with a phrase; a closing quotation mark or emphasis behind it is tolerated."""

    kind: Literal["ends_with"] = "ends_with"
    phrase: str = setting(..., "the last words, with their punctuation", pattern=r"[^\W_]")

    def fault(self, text: str) -> str | None:
        """Something else is at the end."""
        if self._start(text) is not None:
            return None
        return f"ends with {shown(plain(text)[-40:])}; expected {shown(self.phrase)}"

    def content(self, text: str) -> str:
        """What stands before the phrase."""
        return plain(text)[: self._start(text)]

    def _start(self, text: str) -> int | None:
        """Where the phrase starts, None if it is not the end."""
        body = plain(text).rstrip(_TRAILING_MARKS)
        pattern = r"\s+".join(map(re.escape, plain(self.phrase).rstrip(_TRAILING_MARKS).split()))
        match = re.search(rf"(?<![^\W_]){pattern}\Z", body, re.IGNORECASE)
        return match.start() if match else None


@settings
class BeginsWith(Constraint):
    """The answer's first word is a given one; marks in front of it are tolerated."""

    kind: Literal["begins_with"] = "begins_with"
    word: str = setting(..., "the first word", pattern=r"^[^\W_]+$")

    def fault(self, text: str) -> str | None:
        """Another word is the first."""
        first = next(iter(words(text)), "")
        return None if first.casefold() == self.word.casefold() else f"begins with {shown(first)}; not '{self.word}'"


@settings
class MaxWords(Constraint):
    """At most `count` words."""

    kind: Literal["max_words"] = "max_words"
    count: int = setting(..., "longest answer", unit="words", ge=5)
    min_words: ClassVar[int] = 5
    min_new_words: ClassVar[int] = 3

    def fault(self, text: str) -> str | None:
        """There are more words."""
        found = len(words(text))
        return f"{found} words; at most {self.count} are allowed" if found > self.count else None


@settings
class WordTimes(Constraint):
    """A word exactly `count` times, as a whole word; its inflections are other words."""

    kind: Literal["word_times"] = "word_times"
    word: str = setting(..., "the word", pattern=r"^[^\W_]+$")
    count: int = setting(..., "times it stands there", ge=1)

    def fault(self, text: str) -> str | None:
        """It stands there more or less often."""
        found = occurrences(text, self.word)
        return None if found == self.count else f"'{self.word}' stands there {found} times; expected {self.count}"


@settings
class OneQuestionMark(Constraint):
    """Exactly one question mark, at the end of a word (or behind the quotation mark or bracket that closes it)."""

    kind: Literal["one_question_mark"] = "one_question_mark"

    def fault(self, text: str) -> str | None:
        """There are none or more, or the one asks nothing."""
        body = plain(text)
        places = [i for i, char in enumerate(body) if char in _QUESTION_MARKS]
        if len(places) != 1:
            return f"{len(places)} question mark(s); expected 1"
        before = body[: places[0]].rstrip("\"')]*_")[-1:]
        return None if before.isalnum() else "the question mark does not end a question"
