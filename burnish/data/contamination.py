"""Whether questions of tasks that are to be held out stand in what is trained on.

    a task of that name              refused: the task is not held out
    the same message of the user     refused, case and white space aside; worked examples count as questions do
    13 words in a row                counted by task and said, since passages and wordings may be shared on purpose

Runs of 13 words are what Brown et al. 2020 (appendix C) look for; words are compared without case and punctuation, and
a question of fewer words has no run. Whole clusters of tasks that are alike in other words (two tasks on sentiment)
have to be held out by name: nothing here knows that they are (Wei et al. 2022, section 2.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from burnish.data.curate.phrases import normalised
from burnish.errors import DataError, shown
from burnish.example import Example, Message

RUN = 13
"""Words in a row that are looked for."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """What held-out questions have in common with training data.

    Attributes:
        tasks: held-out tasks that training examples name as theirs, each with one of these examples.
        same: messages of the user that both have, each with one training example.
        sharing: held-out questions that share a run of words with training data, by task.
    """

    tasks: Mapping[str, str]
    same: Mapping[str, str]
    sharing: Mapping[str, int]


def overlap(held_out: Sequence[Example], training: Iterable[Example]) -> Overlap:
    """Compare the two sides, in one pass over the training data.

    Args:
        held_out: questions with the column `task`.
        training: examples; their column `task`, where they have one, names their task.
    """
    names = {str(example.columns["task"]) for example in held_out}
    asked = {_key(text) for example in held_out for text in _asked(example)} - {""}
    runs: dict[tuple[str, ...], set[int]] = {}
    for number, example in enumerate(held_out):
        for text in _asked(example):
            for run in _runs(text):
                runs.setdefault(run, set()).add(number)
    tasks: dict[str, str] = {}
    same: dict[str, str] = {}
    shared: set[int] = set()
    for example in training:
        task = example.columns.get("task")
        if isinstance(task, str) and task in names:
            tasks.setdefault(task, example.id)
        for text in _asked(example):
            if _key(text) in asked:
                same.setdefault(text, example.id)
        for message in _messages(example):
            shared.update(*(runs.get(run, ()) for run in _runs(message.content)))
    sharing = Counter(str(held_out[number].columns["task"]) for number in shared)
    return Overlap(tasks=tasks, same=same, sharing=dict(sorted(sharing.items())))


def kept_apart(held_out: Sequence[Example], training: Iterable[Example]) -> Mapping[str, int]:
    """How many held-out questions share a run of words with training data, by task, where nothing is worse.

    Args:
        held_out, training: as for `overlap`.

    Raises:
        DataError: a held-out task or one of its messages is trained on.
    """
    found = overlap(held_out, training)
    for task, example in found.tasks.items():
        raise DataError(
            f"the task '{task}' is held out, and training example '{example}' is of it (column task); leave the task "
            "out of the training data, or do not hold it out"
        )
    for text, example in found.same.items():
        more = f", and {len(found.same) - 1} more like it" if len(found.same) > 1 else ""
        raise DataError(
            f"training example '{example}' asks {shown(text)}, which stands in a held-out task{more}; leave it out of "
            "the training data, or do not hold that task out"
        )
    return found.sharing


def shared_text(sharing: Mapping[str, int]) -> str:
    """One line on what is shared, for people."""
    counts = ", ".join(f"{count} of '{task}'" for task, count in sharing.items())
    return f"held-out questions that share {RUN} words in a row with the training data: {counts}"


def _messages(example: Example) -> Iterator[Message]:
    yield from example.prompt
    for completion in example.completions:
        yield from completion.messages


def _asked(example: Example) -> Iterator[str]:
    return (message.content for message in _messages(example) if message.role == "user")


def _key(text: str) -> str:
    return " ".join(text.split()).casefold()


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = normalised(text)
    return (tuple(words[start : start + RUN]) for start in range(len(words) - RUN + 1))
