"""Prompts with a format constraint: the task of the demo.

    prompt = wording(request(topic), constraint(parameters))

    split            topics      requests, wordings   kinds
    train            training    training             nine
    test             held out    held out             the same nine
    held_out_kinds   held out    held out             three that training never sees

The three kinds kept from training are all capitals, paragraphs and a word N times. Each has a relative among the nine
(lower case, bullets, begins with a word), so that what carries over from one constraint to the next can show at all;
and the nine keep lower case, bullets and JSON, which the start model hardly ever manages. Capitals are also the
opposite of a trained kind: a model that has learned to write in lower case whatever it is asked is found out there.

Kinds take turns, so any stretch of the sequence holds them equally often. Prompt i is a function of the seed, the
split, the kinds and i alone, except that a text drawn before is drawn again: longer data begins with the shorter one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Literal, get_args

from burnish.config import dump
from burnish.errors import ConfigError
from burnish.example import Example, user
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
from burnish.numerics import seed_from
from burnish.synth.format_wordings import (
    HELD_OUT_WORDINGS,
    TEST_REQUESTS,
    TEST_WORDINGS,
    TRAIN_REQUESTS,
    TRAIN_WORDINGS,
)
from burnish.synth.topics import held_out_topics, training_topics

Split = Literal["train", "test", "held_out_kinds"]
SPLITS: tuple[Split, ...] = get_args(Split)

FULL_PROMPT = "full_prompt"
"""Column that holds the whole prompt where the example asks its request alone."""

TRAINED_KINDS: tuple[str, ...] = tuple(TRAIN_WORDINGS)
HELD_OUT_KINDS: tuple[str, ...] = tuple(HELD_OUT_WORDINGS)

_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
_TRIES = 1000  # draws of one prompt; at 95% of what is possible one in 10^22 would need more

FIRST_WORDS = (
    "Well",
    "Today",
    "Honestly",
    "Surprisingly",
    "Indeed",
    "Naturally",
    "Clearly",
    "Yes",
    "Overall",
    "Simply",
)
REPEATED_WORDS = ("today", "clearly", "usually", "sometimes", "indeed", "generally", "naturally", "overall")
LAST_PHRASES = (
    "That is all.",
    "Now you know.",
    "And that is that.",
    "I hope this helps.",
    "Thanks for asking.",
    "Give it some thought.",
    "Ask me for more.",
    "It is as simple as that.",
)
KEY_SETS = (
    ("summary", "detail"),
    ("fact", "reason"),
    ("answer", "example"),
    ("topic", "description"),
    ("what", "why"),
    ("main_point", "advice"),
    ("topic", "fact", "tip"),
    ("summary", "reason", "example"),
)

VARIANTS: Mapping[str, tuple[Constraint, ...]] = {
    "lower_case": (LowerCase(),),
    "upper_case": (UpperCase(),),
    "no_commas": (NoCommas(),),
    "bullets": tuple(Bullets(count=count) for count in (2, 3, 4, 5)),
    "ends_with": tuple(EndsWith(phrase=phrase) for phrase in LAST_PHRASES),
    "begins_with": tuple(BeginsWith(word=word) for word in FIRST_WORDS),
    "max_words": tuple(MaxWords(count=count) for count in (10, 12, 15, 18, 20, 25)),
    "json_keys": tuple(JsonKeys(keys=keys) for keys in KEY_SETS),
    "quoted": (Quoted(),),
    "word_times": tuple(WordTimes(word=word, count=count) for word in REPEATED_WORDS for count in (2, 3)),
    "paragraphs": tuple(Paragraphs(count=count) for count in (2, 3, 4)),
    "one_question_mark": (OneQuestionMark(),),
}
"""The constraints that are drawn, by kind. Words and phrases fit every topic."""


def prompts(
    *, seed: int, count: int, split: Split, kinds: Sequence[str] = (), request_only: bool = False
) -> list[Example]:
    """Draw `count` different prompts.

    Args:
        seed: another seed gives other prompts.
        count: how many.
        split: which topics, wordings and kinds to draw from.
        kinds: only these kinds of the split; () is all of them.
        request_only: ask without the constraint. A model that does not follow constraints yet writes better without
            them; the column `full_prompt` keeps the whole prompt, and a demonstration made of the answer gets it back.

    Returns:
        Examples without completions; columns `constraint` (plain data), `kind`, `topic`, `request` and `wording` (the
        templates) and `split`.

    Raises:
        ConfigError: the split does not have a kind, or has fewer different prompts than asked for.
    """
    wordings = _wordings(split)
    chosen = _checked(kinds, split, wordings)
    _check_count(count, split, chosen)
    seen: set[str] = set()
    drawn = [_new_prompt(seed, index, split, chosen[index % len(chosen)], seen) for index in range(count)]
    return [_request_only(example) for example in drawn] if request_only else drawn


def kinds_of(split: Split) -> tuple[str, ...]:
    """The kinds of a split, in the order in which they take turns."""
    return tuple(_wordings(split))


def _new_prompt(seed: int, index: int, split: Split, kind: str, seen: set[str]) -> Example:
    """Draw until the text is none of `seen`, and add it there."""
    for attempt in range(_TRIES):
        example = _prompt(seed, index, split, kind, attempt)
        text = example.prompt[0].content
        if text not in seen:
            seen.add(text)
            return example
    raise ConfigError([f"prompts of split '{split}' and kind '{kind}' are used up after {index}; ask for fewer"])


def _prompt(seed: int, index: int, split: Split, kind: str, attempt: int) -> Example:
    random = Random(seed_from("format prompt", seed, split, kind, index, attempt))
    topic = random.choice(_topics(split))
    request = random.choice(_requests(split))
    wording = random.choice(_wordings(split)[kind])
    constraint = random.choice(VARIANTS[kind])
    text = wording.format(request=request.format(topic=topic), **_spelled(dump(constraint)))
    columns = {
        "constraint": dump(constraint),
        "kind": kind,
        "topic": topic,
        "request": request,
        "wording": wording,
        "split": split,
    }
    return Example(id=f"{split}-{seed}-{index}", prompt=(user(text),), columns=columns)


def _request_only(example: Example) -> Example:
    request = str(example.columns["request"]).format(topic=example.columns["topic"])
    columns = {**example.columns, FULL_PROMPT: example.prompt[0].content}
    return replace(example, prompt=(user(request),), columns=columns)


def _spelled(constraint: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a wording that the parameters of a constraint fill."""
    fields: dict[str, str] = {name: str(constraint[name]) for name in ("word", "phrase") if name in constraint}
    if "count" in constraint:
        count = int(constraint["count"])
        fields |= {"n": str(count), "number": _NUMBERS.get(count, str(count))}
    if "keys" in constraint:
        *others, last = (f'"{key}"' for key in constraint["keys"])
        fields["keys"] = f"{', '.join(others)} and {last}" if others else last
    return fields


def _topics(split: Split) -> tuple[str, ...]:
    return training_topics() if split == "train" else held_out_topics()


def _requests(split: Split) -> tuple[str, ...]:
    return TRAIN_REQUESTS if split == "train" else TEST_REQUESTS


def _wordings(split: Split) -> Mapping[str, tuple[str, ...]]:
    return {"train": TRAIN_WORDINGS, "test": TEST_WORDINGS, "held_out_kinds": HELD_OUT_WORDINGS}[split]


def _checked(kinds: Sequence[str], split: Split, wordings: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    wrong = [kind for kind in kinds if kind not in wordings]
    if wrong:
        raise ConfigError([f"split '{split}' has no kind '{kind}'; it has {', '.join(wordings)}" for kind in wrong])
    return tuple(dict.fromkeys(kinds)) or tuple(wordings)


def _check_count(count: int, split: Split, kinds: Sequence[str]) -> None:
    possible = min(
        len(_topics(split)) * len(_requests(split)) * len(_wordings(split)[kind]) * len(VARIANTS[kind])
        for kind in kinds
    )
    most = possible * len(kinds)
    if count > most:
        raise ConfigError([f"split '{split}' has {most} different prompts of these kinds; {count} were asked for"])
