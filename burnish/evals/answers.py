"""How well answers are found: exact match and F1 of words, as SQuAD counts them (Rajpurkar et al. 2016, section 6.1).

Answers are compared in lower case, without punctuation, without the articles a, an and the, and with single spaces. F1
is over the words that both share, as often as both have them; of several right answers the best counts. A question
without an answer is right if none is given (Rajpurkar et al. 2018).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(answer: str) -> str:
    """An answer as it is compared."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, predicted: str) -> float:
    """1 if the two are the same, else 0."""
    return float(normalised(answer) == normalised(predicted))


def word_f1(answer: str, predicted: str) -> float:
    """The harmonic mean of the shares of words that are shared; 1 where both are empty, 0 where one is."""
    truth, guess = normalised(answer).split(), normalised(predicted).split()
    if not truth or not guess:
        return float(truth == guess)
    shared = sum((Counter(truth) & Counter(guess)).values())
    return 2 * shared / (len(truth) + len(guess))


def answer_scores(answers: Sequence[Sequence[str]], predicted: Sequence[str]) -> dict[str, Any]:
    """The figures of predictions.

    Args:
        answers: the right ones of each question; none where there is no answer.
        predicted: as many, "" for none.

    Returns:
        `exact_match` and `f1` between 0 and 1, `questions`, and the same two over the questions that have an answer
        and over those that have none, where there are any of both.

    Raises:
        ValueError: there is no question.
    """
    rows = [
        (bool(right), _best(exact_match, right, guess), _best(word_f1, right, guess))
        for right, guess in zip(answers, predicted, strict=True)
    ]
    if not rows:
        raise ValueError("there is no prediction to measure")
    found: dict[str, Any] = {**_means(rows), "questions": len(rows)}
    with_answer, without = [row for row in rows if row[0]], [row for row in rows if not row[0]]
    if with_answer and without:
        found["with_answer"] = {**_means(with_answer), "questions": len(with_answer)}
        found["without_answer"] = {**_means(without), "questions": len(without)}
    return found


def _best(how: Callable[[str, str], float], answers: Sequence[str], guess: str) -> float:
    """Against the answer that it is closest to; against the empty one where there is none."""
    return max(how(one, guess) for one in answers or ("",))


def _means(rows: Sequence[tuple[bool, float, float]]) -> dict[str, float]:
    return {"exact_match": sum(row[1] for row in rows) / len(rows), "f1": sum(row[2] for row in rows) / len(rows)}
