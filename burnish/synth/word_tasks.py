"""Small tasks on everyday words: rows to try instruction tuning on, without a download.

    capitals   {words: "cats, owls", answer: "CATS, OWLS"}
    counting   {words: "cats, owls", answer: "2", why: "cats 1, owls 2."}
    kind       {word: "owls", answer: "animal"}

A row is a function of the seed, the task and its number; a row that was drawn before is drawn again, and a task that
has fewer different rows gives fewer. Answers are made by code, so all of them are right. The tasks are easy for people
and hard enough for a small model: copying, choosing by place, sorting, counting, and telling what kind of thing a word
means. `word_wordings.py` says how they are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

from burnish.numerics import seed_from
from burnish.synth.topics import FAMILIES
from burnish.synth.word_wordings import PLAIN, REASONED

Fields = dict[str, str]
"""A row."""

WORDS: tuple[str, ...] = tuple(
    sorted({word for family in FAMILIES.values() for word in family if word.isalpha() and word.islower()})
)
"""Topics of one word, in lower case."""

KINDS: Mapping[str, str] = {"animals": "animal", "foods": "food", "drinks": "drink", "tools": "tool", "jobs": "job"}
"""Families of topics whose words are told apart, and what one of them is called."""

OF_KIND: Mapping[str, tuple[str, ...]] = {
    family: tuple(word for word in FAMILIES[family] if word in WORDS) for family in KINDS
}
"""The words of these families."""

_TRIES = 1000  # draws of one row


def rows_of(name: str, count: int, *, seed: int) -> list[Fields]:
    """Rows of a task, no two the same; fewer where the task has no more.

    Args:
        name: in `WORD_TASKS`.
        count: rows.
        seed: another seed gives other rows.
    """
    found: dict[tuple[tuple[str, str], ...], Fields] = {}
    for number in range(count):
        random = Random(seed_from("word-task", seed, name, number))
        drawn = (WORD_TASKS[name](random) for _ in range(_TRIES))
        row = next((one for one in drawn if _key(one) not in found), None)
        if row is None:
            break
        found[_key(row)] = row
    return list(found.values())


def wordings_of(name: str) -> dict[str, object]:
    """The wordings and the metric of a task, as `burnish.data.wordings` reads them."""
    plain = [{"prompt": prompt, "answer": "{answer}"} for prompt in PLAIN[name]]
    reasoned = [{"prompt": prompt, "answer": answer} for prompt, answer in REASONED.get(name, ())]
    metric = "ending" if name in ENDING else "exact"
    return {"metric": metric, "plain": plain, **({"reasoned": reasoned} if reasoned else {})}


def _key(row: Fields) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(row.items()))


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words)


def _some(random: Random, least: int = 3, most: int = 6) -> list[str]:
    return random.sample(WORDS, random.randint(least, most))


def _changed(change: Callable[[list[str]], str]) -> Callable[[Random], Fields]:
    """A task that turns a list of words into an answer."""

    def make(random: Random) -> Fields:
        words = _some(random)
        return {"words": _listed(words), "answer": change(words)}

    return make


def _counting(random: Random) -> Fields:
    words = _some(random, 2, 9)
    counted = _listed([f"{word} {number}" for number, word in enumerate(words, start=1)])
    return {"words": _listed(words), "answer": str(len(words)), "why": f"{counted}."}


def _longest(random: Random) -> Fields:
    """One word is longer than the others."""
    words = _some(random, 3, 5)
    while [len(word) for word in words].count(max(map(len, words))) > 1:
        words = _some(random, 3, 5)
    counted = _listed([f"{word} has {len(word)}" for word in words])
    return {"words": _listed(words), "answer": max(words, key=len), "why": f"{counted}."}


def _letters(random: Random) -> Fields:
    """About half of the words have the letter."""
    word = random.choice(WORDS)
    letter = random.choice(word if random.random() < 0.5 else "abcdefghilmnoprstu")
    spelled = f"{word} is spelled {'-'.join(word)}."
    return {"word": word, "letter": letter, "answer": "yes" if letter in word else "no", "why": spelled}


def _replacing(random: Random) -> Fields:
    words = _some(random)
    old, new = random.choice(words), random.choice([word for word in WORDS if word not in words])
    return {"words": _listed(words), "old": old, "new": new, "answer": _listed([new if w == old else w for w in words])}


def _removing(random: Random) -> Fields:
    words = _some(random)
    gone = random.choice(words)
    return {"words": _listed(words), "gone": gone, "answer": _listed([word for word in words if word != gone])}


def _repeating(random: Random) -> Fields:
    word, number = random.choice(WORDS), random.randint(2, 5)
    return {"word": word, "number": str(number), "answer": " ".join([word] * number)}


def _kind(random: Random) -> Fields:
    family = random.choice(tuple(KINDS))
    return {"word": random.choice(OF_KIND[family]), "answer": KINDS[family]}


def _odd_one(random: Random) -> Fields:
    """Three words of one kind and one of another."""
    family, other = random.sample(tuple(KINDS), 2)
    same, odd = random.sample(OF_KIND[family], 3), random.choice(OF_KIND[other])
    why = f"{_listed(same)} are {family}, and {odd} are {other}."
    return {"words": _listed(random.sample([*same, odd], 4)), "answer": odd, "why": why}


WORD_TASKS: Mapping[str, Callable[[Random], Fields]] = {
    "capitals": _changed(lambda words: _listed(words).upper()),
    "copying": _changed(_listed),
    "first": _changed(lambda words: words[0]),
    "last": _changed(lambda words: words[-1]),
    "second": _changed(lambda words: words[1]),
    "reversing": _changed(lambda words: _listed(words[::-1])),
    "sorting": _changed(lambda words: _listed(sorted(words))),
    "joining": _changed("-".join),
    "initials": _changed(lambda words: " ".join(word[0] for word in words)),
    "replacing": _replacing,
    "removing": _removing,
    "repeating": _repeating,
    "counting": _counting,
    "longest": _longest,
    "letters": _letters,
    "kind": _kind,
    "odd-one": _odd_one,
}
"""What makes a row, by task."""

ENDING = frozenset({"counting", "longest", "letters", "kind", "odd-one"})
"""Tasks whose answers may reason first: what counts is how they end."""
