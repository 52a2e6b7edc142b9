"""Demonstrations by code: a model's own answer, changed until it satisfies its prompt's constraint.

The answer's first usable sentences are kept (`draft.py`) and given the form that was asked for, so a demonstration
teaches the form in words that the model itself would use. Results have one to three sentences or `count` parts, about
15 to 60 words, and end properly. What cannot be repaired well is refused: nothing usable, the topic not named, too few
sentences for the parts. Whatever is returned passes the format grader.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from burnish.example import Completion, Example, assistant, user
from burnish.graders.constraint import Constraint
from burnish.graders.format import FormatGrader, constraint_of, topic_of
from burnish.graders.words import names_topic, occurrences, words
from burnish.synth.draft import Draft, capitalised, draft_from
from burnish.synth.format_prompts import FULL_PROMPT

_QUESTION_ROOM = 10  # words kept free for a closing question
_CLOSING_QUESTIONS = (
    "What do you think about {topic}?",
    "Would you like to know more about {topic}?",
    "Have you ever thought about {topic}?",
    "What would you add about {topic}?",
)
_LIST_END = re.compile(r", (and|or) ")
_SHORTENING = re.compile(r"(?:,| because| which| such as| so that| where| while| when| in order to)\s")
_FRAGMENT_START = re.compile(
    r"^(?:when|if|while|as|although|though|because|since|in|with|from|by|for|to|after|before|during|at|on|through|"
    r"despite|whether|unlike|like|from|under|\w+ing|\w+ed)\b",
    re.IGNORECASE,
)


def repaired(example: Example, text: str, *, max_words: int = 60) -> str | None:
    """`text` so changed that it satisfies the constraint of `example`, or None if that cannot be done well.

    Args:
        example: its columns `constraint` and `topic` say what is wanted.
        text: a sampled answer, which may be cut off.
        max_words: longest result, in words; parts that are asked for may take 14 each.

    Raises:
        GraderError: the example has no constraint or topic.
    """
    constraint, topic = constraint_of(example), topic_of(example)
    prompt = "\n".join(message.content for message in example.prompt)
    draft = draft_from(text, topic=topic, prompt=prompt, max_words=max_words)
    if draft is None:
        return None
    for answer in (" ".join(draft.opening()), _REPAIRS[constraint.kind](constraint, draft)):
        if answer is not None and FormatGrader().grade(example, _completion(answer)).score == 1.0:
            return answer
    return None


def asked_in_full(example: Example) -> Example:
    """`example` with the prompt of its column `full_prompt`, if it has one, in the place of the bare request."""
    if FULL_PROMPT not in example.columns:
        return example
    columns = {name: value for name, value in example.columns.items() if name != FULL_PROMPT}
    return replace(example, prompt=(user(str(example.columns[FULL_PROMPT])),), columns=columns)


def demonstration(example: Example, *, keep_passing: bool = True, max_words: int = 60) -> Example | None:
    """`example` with one completion that satisfies its constraint, made from its samples; None if none can be.

    Args:
        example: a prompt with sampled completions.
        keep_passing: take the first sample that passes, is finished and not too long as it is, before repairing any.
        max_words: longest completion, in words.

    Returns:
        The prompt in full, and one completion with score 1. A kept sample keeps its token ids and log-probs.
    """
    asked = asked_in_full(example)
    if keep_passing:
        for sample in asked.completions:
            if sample.finish != "length" and len(words(sample.text)) <= max_words and _passes(asked, sample):
                return replace(asked, completions=(replace(sample, score=1.0, reasons=()),))
    return with_repaired(asked, max_words=max_words)


def with_repaired(example: Example, *, max_words: int = 60) -> Example | None:
    """`example` with the first of its completions that can be repaired, repaired, as its only one."""
    for sample in example.completions:
        if (answer := repaired(example, sample.text, max_words=max_words)) is not None:
            return replace(example, completions=(replace(_completion(answer), score=1.0),))
    return None


def _completion(text: str) -> Completion:
    return Completion(messages=(assistant(text),))


def _passes(example: Example, sample: Completion) -> bool:
    return FormatGrader().grade(example, sample).score == 1.0


def _lower_case(_: Constraint, draft: Draft) -> str:
    return " ".join(draft.opening()).lower()


def _upper_case(_: Constraint, draft: Draft) -> str:
    return " ".join(draft.opening()).upper()


def _no_commas(_: Constraint, draft: Draft) -> str:
    """Sentences that have none, if they will do; else commas of lists become "and", and others go."""
    free = draft.only([statement for statement in draft.statements if "," not in statement])
    if free is not None and len(words(" ".join(free.opening()))) >= Constraint.min_words:
        return " ".join(free.opening())
    return " ".join(_without_commas(sentence) for sentence in draft.opening())


def _without_commas(sentence: str) -> str:
    sentence = re.sub(r"(?<=\d),(?=\d)", "", sentence)
    if joint := _LIST_END.search(sentence):
        head, tail = sentence[: joint.start()], sentence[joint.end() :]
        sentence = f"{head.replace(', ', f' {joint[1]} ')} {joint[1]} {tail}"
    return " ".join(sentence.replace(",", " ").split())


def _bullets(constraint: Any, draft: Draft) -> str | None:
    units = draft.units(constraint.count)
    return None if units is None else "\n".join(f"- {unit}" for unit in units)


def _paragraphs(constraint: Any, draft: Draft) -> str | None:
    units = draft.units(constraint.count)
    return None if units is None else "\n\n".join(units)


def _ends_with(constraint: Any, draft: Draft) -> str:
    return " ".join([*draft.opening(room=len(words(constraint.phrase))), constraint.phrase])


def _begins_with(constraint: Any, draft: Draft) -> str:
    return draft.led_by(constraint.word, " ".join(draft.opening(room=1)))


def _max_words(constraint: Any, draft: Draft) -> str | None:
    """The first sentence on the topic that is short enough, else the first whose main clause is."""
    on_topic = [statement for statement in draft.statements if names_topic(statement, draft.topic)]
    shortened = [short for statement in on_topic for short in (statement, *_main_clauses(statement))]
    fitting = (s for s in shortened if constraint.min_words <= len(words(s)) <= constraint.count)
    return next(fitting, None)


def _main_clauses(sentence: str) -> list[str]:
    """`sentence` without its last clause, and without the last two, ..., where what is left can stand alone."""
    if _FRAGMENT_START.search(sentence):
        return []
    return [sentence[: border.start()] + "." for border in reversed(list(_SHORTENING.finditer(sentence)))]


def _json_keys(constraint: Any, draft: Draft) -> str | None:
    """A sentence under each key, the opening under a single one; the key "topic" holds the topic itself."""
    count = sum(key != "topic" for key in constraint.keys)
    sentences = draft.units(count) if count > 1 else [" ".join(draft.opening())]
    if sentences is None:
        return None
    values = iter(sentences)
    answer = {key: capitalised(draft.topic) if key == "topic" else next(values) for key in constraint.keys}
    return json.dumps(answer, ensure_ascii=False)


def _quoted(_: Constraint, draft: Draft) -> str:
    inside = " ".join(draft.opening()).replace('"', "'")
    return f'"{inside}"'


def _word_times(constraint: Any, draft: Draft) -> str | None:
    """The word in front of as many sentences, none of which has it."""
    free = draft.only([s for s in draft.statements if not occurrences(s, constraint.word)])
    units = free.units(constraint.count) if free is not None else None
    if units is None:
        return None
    return " ".join(draft.led_by(constraint.word, unit) for unit in units)


def _one_question_mark(_: Constraint, draft: Draft) -> str:
    """The opening, then the answer's own question on the topic, or a general one."""
    opening = " ".join(draft.opening(room=_QUESTION_ROOM))
    general = _CLOSING_QUESTIONS[len(opening) % len(_CLOSING_QUESTIONS)].format(topic=draft.topic)
    own = (q for q in draft.questions if len(words(q)) <= _QUESTION_ROOM and names_topic(q, draft.topic))
    return f"{opening} {next(own, general)}"


_REPAIRS: Mapping[str, Callable[[Any, Draft], str | None]] = {
    "lower_case": _lower_case,
    "upper_case": _upper_case,
    "no_commas": _no_commas,
    "bullets": _bullets,
    "ends_with": _ends_with,
    "begins_with": _begins_with,
    "max_words": _max_words,
    "json_keys": _json_keys,
    "quoted": _quoted,
    "word_times": _word_times,
    "paragraphs": _paragraphs,
    "one_question_mark": _one_question_mark,
}
