r"""The maths grader: is the number that an answer arrives at the reference's?

What counts as the answer of a text, in this order:

    mark      the last of  `#### 72` (GSM8K),  `\boxed{72}`,  `<answer>72</answer>`; it has to hold one number, beside
              which words may stand ("72 clips", "x = 72"). A `####` that heads a section ("#### Step 2") is no mark
    last      without a mark, the last number of the text

An answer that names two numbers in its mark, or none, is wrong; which number was meant is not guessed. Numbers and
their equality, by exact rational arithmetic, are those of `numbers.py`. The reference stands in the column `answer`, as
GSM8K's solution, as a marked text, as a text with one number, or as a number.

The grader does not judge expressions, sets, intervals, units or the way to the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from burnish.errors import GraderError, shown
from burnish.example import Completion, Example
from burnish.graders.extraction import last_tagged
from burnish.graders.numbers import Number, last_number, only_number, same
from burnish.protocols import Grade

_HASHES = re.compile(r"####[ \t]*(?P<line>[^\n]*)")
_FIRST_WORD = re.compile(r"[^\w\n\\]*(?:[0-9]|\\|\Z)")
_HEADING = re.compile(r"[^\w\n]*[0-9]+[.):][ \t]+\w")
_BOX = re.compile(r"\\f?boxed?\s*\{")


@dataclass(frozen=True)
class MathsGrader:
    """Grades answers by their number; see the top of the file for the rules. It reads the column `answer`."""

    def grade(self, example: Example, completion: Completion) -> Grade:
        """Score 1 if the answer is the reference's number, else 0 with the reason; the part `answered` is 1 if there
        is a number to compare.

        Raises:
            GraderError: the column is missing, or states no number.
        """
        expected = reference_of(example)
        try:
            found = answer_in(completion.text)
        except ValueError as fault:
            return Grade(score=0.0, reasons=(str(fault),), parts={"answered": 0.0})
        if same(found, expected):
            return Grade(score=1.0, parts={"answered": 1.0})
        return Grade(score=0.0, reasons=(f"the answer is {found}; expected {expected}",), parts={"answered": 1.0})


def reference_of(example: Example) -> Number:
    """The number in the example's column `answer`.

    Raises:
        GraderError: there is no such column, or no single number can be read in it.
    """
    value = example.columns.get("answer")
    place = f"example '{example.id}', column 'answer'"
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise GraderError(f"{place}: found {shown(value)}; expected the reference answer, as text or a number")
    text = str(value)
    try:
        marked = marked_in(text)
        return only_number(text if marked is None else marked)
    except ValueError as fault:
        raise GraderError(f"{place}: {fault}; the maths grader compares numbers alone") from None


def answer_in(text: str) -> Number:
    """The number that a text arrives at.

    Raises:
        ValueError: there is none, or its mark does not hold one number; says why.
    """
    marked = marked_in(text)
    return last_number(text) if marked is None else only_number(marked)


def marked_in(text: str) -> str | None:
    """What the last mark of an answer holds, None if there is no mark.

    Raises:
        ValueError: the braces of a box are not closed.
    """
    marks = [*_after_hashes(text), *_boxed(text)]
    if (tagged := last_tagged(text)) is not None:
        marks.append(tagged)
    return max(marks)[1] if marks else None


def _after_hashes(text: str) -> list[tuple[int, str]]:
    return [(found.start(), found["line"]) for found in _HASHES.finditer(text) if _is_answer(found["line"])]


def _is_answer(line: str) -> bool:
    """Whether a line behind `####` states a number, or nothing, and does not head a section."""
    return _FIRST_WORD.match(line) is not None and _HEADING.match(line) is None


def _boxed(text: str) -> list[tuple[int, str]]:
    """The last box, with its place."""
    boxes = list(_BOX.finditer(text))
    if not boxes:
        return []
    start, depth = boxes[-1].end(), 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return [(start, text[start:place])]
    raise ValueError("the braces of the last \\boxed are not closed")
