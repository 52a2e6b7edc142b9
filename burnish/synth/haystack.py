"""A needle in a haystack: one made-up fact among plain sentences about other things, to be told again at the end.

    The wolves rested near the candles. ... The secret word of the lighthouses is pancakes. ... The foxes hid behind
    the mirrors. The secret word of the lighthouses is ___

Everything is drawn by keys from lists of topics: nothing was ever written elsewhere, so no model knows an answer, and
two models get the same texts. The words that may be answers stand nowhere in the haystack but in the needle, so the
right one is preferred only by a model that has seen it there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from burnish.numerics import generator_from
from burnish.synth.topics import FAMILIES

_VERBS = ("rested near", "passed by", "hid behind", "stood beside", "were found under", "moved towards", "waited for")
_SUBJECTS = FAMILIES["animals"] + FAMILIES["jobs"] + FAMILIES["transport"]
_OBJECTS = FAMILIES["household"] + FAMILIES["tools"] + FAMILIES["nature"]
_KEYS = FAMILIES["places"]
_ANSWERS = FAMILIES["foods"]

MOST_ANSWERS = len(_ANSWERS)


@dataclass(frozen=True, kw_only=True)
class Needle:
    """A fact, and the question for it.

    Attributes:
        sentence: stands in the haystack.
        question: the same words up to the answer.
        answers: what may follow the question, each with the space before it; the right one is the first.
    """

    sentence: str
    question: str
    answers: tuple[str, ...]


def needle(*keys: str | int, answers: int) -> Needle:
    """The needle of some keys.

    Args:
        keys: another key, another needle.
        answers: how many there are to choose among, 2 to `MOST_ANSWERS`.
    """
    generator = generator_from("needle", *keys)
    place = _KEYS[int(torch.randint(len(_KEYS), (1,), generator=generator))]
    order = torch.randperm(MOST_ANSWERS, generator=generator).tolist()
    chosen = tuple(f" {_ANSWERS[number]}" for number in order[:answers])
    question = f" The secret word of the {place} is"
    return Needle(sentence=f"{question}{chosen[0]}.", question=question, answers=chosen)


def haystack(*keys: str | int) -> Iterator[str]:
    """Sentences without an end, each with the space before it."""
    generator = generator_from("haystack", *keys)

    def drawn(words: tuple[str, ...]) -> str:
        return words[int(torch.randint(len(words), (1,), generator=generator))]

    while True:
        yield f" The {drawn(_SUBJECTS)} {drawn(_VERBS)} the {drawn(_OBJECTS)}."
