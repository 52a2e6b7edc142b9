"""Where the answer of a completion stands, by the rule that its prompt states, and whether it has the form asked for.

    rule           the answer is
    tag            what the last <answer>...</answer> holds
    last_line      the last line that is not blank, without "Answer:" in front
    last_number    the last number, without currency, thousands separators and percent sign

The form holds if

    tag            there is one pair of tags, and nothing stands behind it
    last_line      -
    last_number    the number ends the text; a full stop and closing marks may follow

and if the answer has the shape of the reference: a number alone where that is one, else not more lines and words than
it has. The form says nothing of whether the answer is right. It is what a control run is rewarded for, so that
learning the form is not sold as learning the task.
"""

from __future__ import annotations

import re
from typing import Literal

from burnish.graders.numbers import is_number, last_written
from burnish.graders.words import words

Rule = Literal["tag", "last_line", "last_number"]

OPEN, CLOSE = "<answer>", "</answer>"

_LABEL = re.compile(r"\A(?:the )?(?:final )?answer(?: is)?\s*:\s*", re.IGNORECASE)
_CLOSING_MARKS = " \n\t.*$)]\"'"


def extracted(text: str, rule: Rule) -> str | None:
    """The answer that stands in `text`, None if there is none."""
    if rule == "tag":
        tagged = last_tagged(text)
        return (tagged[1].strip() or None) if tagged else None
    if rule == "last_line":
        lines = text.strip().splitlines()
        return (_LABEL.sub("", lines[-1].strip(), count=1) or None) if lines else None
    found = last_written(text)
    return found[0] if found else None


def last_tagged(text: str) -> tuple[int, str] | None:
    """Where the last `<answer>` that is closed opens, and what it holds; None if there is none."""
    close = text.rfind(CLOSE)
    start = text.rfind(OPEN, 0, close) if close >= 0 else -1
    if start < 0:
        return None
    inside = text[start + len(OPEN) :]
    return start, inside[: inside.index(CLOSE)]


def form_fault(text: str, rule: Rule, reference: str) -> str | None:
    """What is wrong with the form of the answer in `text`, None if the form holds.

    Args:
        text: the completion.
        rule: of the prompt.
        reference: the right answer, of which only the shape is looked at.
    """
    answer = extracted(text, rule)
    if answer is None:
        return {
            "tag": f"no {OPEN}...{CLOSE}, or nothing in it",
            "last_line": "nothing is written",
            "last_number": "no number",
        }[rule]
    return _place_fault(text, rule) or _shape_fault(answer, reference)


def _place_fault(text: str, rule: Rule) -> str | None:
    if rule == "tag":
        if (text.count(OPEN), text.count(CLOSE)) != (1, 1):
            return f"{text.count(OPEN)} {OPEN} and {text.count(CLOSE)} {CLOSE}; expected one of each"
        return None if text.rstrip().endswith(CLOSE) else f"there is text behind {CLOSE}"
    if rule == "last_number":
        found = last_written(text)
        rest = text if found is None else found[1]
        return "there is text behind the last number" if rest.strip(_CLOSING_MARKS) else None
    return None


def _shape_fault(answer: str, reference: str) -> str | None:
    if is_number(reference):
        return None if is_number(answer) else "the answer is not a number alone"
    for unit, found, most in (
        ("lines", len(answer.splitlines()), len(reference.strip().splitlines())),
        ("words", len(words(answer)), len(words(reference))),
    ):
        if found > most:
            return f"the answer has {found} {unit}; at most {most} are expected"
    return None
