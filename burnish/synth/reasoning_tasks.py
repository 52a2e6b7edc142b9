"""Prompts from a task of reasoning-gym, with what its verifier needs.

    prompt = question + how the answer is to be given

Test and training questions are apart twice over. They are drawn from different seeds, which alone would not do: entry
i of a task is drawn from seed + i, and a task with small numbers has few questions, which come again. So a question
also belongs to one of the splits by its own text (one in five is a test question), whatever was drawn from where. No
question comes twice in one call.

Prompt i is a function of the task, its settings, the seed, the split and i: longer data begins with the shorter one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from burnish.errors import ConfigError, DataError, shown
from burnish.example import Completion, Example, assistant, user
from burnish.graders.extraction import CLOSE, OPEN, Rule
from burnish.graders.verifiers import Task, task_named
from burnish.numerics import seed_from

Split = Literal["train", "test"]

INSTRUCTIONS: Mapping[Rule, str] = {
    "tag": f"Write the final answer between {OPEN} and {CLOSE}.",
    "last_line": "Write the final answer alone on the last line.",
    "last_number": "End with the number that is the answer.",
}
"""How the answer is asked for, by the rule by which it is read."""

TEST_SHARE = 5
"""One question in so many is a test question."""

_DRAWS = 40  # entries looked at for each prompt that is asked for
_LEAST_DRAWS = 1000


def reasoning_tasks(
    *,
    task: str,
    task_settings: Mapping[str, Any],
    count: int,
    split: Split,
    seed: int,
    answer_in: Rule,
    instruction: str | None = None,
    demonstrate: bool = False,
) -> list[Example]:
    """Draw `count` different questions of a task.

    Args:
        task: as reasoning-gym calls it.
        task_settings: its difficulty, such as `{"max_terms": 3, "max_digits": 1}`.
        count: how many.
        split: which questions.
        seed: another seed gives other questions of the same split.
        answer_in: where the graders look for the answer, and what the prompt asks for.
        instruction: asks for it in other words; "" leaves the question as it is. None takes `INSTRUCTIONS`.
        demonstrate: give each example its right answer, in the form asked for, as its completion.

    Returns:
        Examples, without completions unless they demonstrate. Columns: `task`, `task_settings`, `entry` (question,
        answer, metadata, as JSON has them), `answer_in`, `answer` (the reference), `kind` (the task's name), `split`.

    Raises:
        MissingExtra: reasoning-gym is not installed.
        ConfigError: the task or its settings are unknown, or give fewer different questions than asked for.
        DataError: the verifier cannot judge from an entry that was written as JSON.
    """
    asked = INSTRUCTIONS[answer_in] if instruction is None else instruction
    if answer_in == "tag" and instruction is not None and OPEN not in instruction:
        raise ConfigError(
            [f"instruction is {shown(instruction)}; with answer_in tag it has to name {OPEN} and {CLOSE}"]
        )
    columns = {
        "task": task,
        "task_settings": dict(task_settings),
        "answer_in": answer_in,
        "kind": task,
        "split": split,
    }
    prompts: list[Example] = []
    for entry in _entries(task, task_settings, count, split, seed):
        text = f"{entry['question'].strip()}\n{asked}" if asked else entry["question"]
        name = f"{task}-{split}-{seed}-{len(prompts)}"
        answer = entry["answer"]
        prompts.append(
            Example(
                id=name,
                prompt=(user(text),),
                completions=(demonstration(answer, answer_in),) if demonstrate else (),
                columns={**columns, "entry": entry, "answer": answer},
            )
        )
    return prompts


def demonstration(answer: str, answer_in: Rule) -> Completion:
    """The right answer alone, in the form that the prompt asks for."""
    return Completion(messages=(assistant(f"{OPEN}{answer}{CLOSE}" if answer_in == "tag" else answer),))


def split_of(question: str) -> Split:
    """The split to which a question belongs, by its text alone."""
    return "test" if seed_from("reasoning task", question) % TEST_SHARE == 0 else "train"


def _entries(
    name: str, task_settings: Mapping[str, Any], count: int, split: Split, seed: int
) -> Iterator[dict[str, Any]]:
    """Different entries of a split, as they are after JSON."""
    draws = max(_LEAST_DRAWS, _DRAWS * count)
    task = task_named(name, task_settings, seed=seed_from("reasoning task", seed, split) >> 32, size=draws)
    seen: set[str] = set()
    for index in range(draws):
        if len(seen) == count:
            return
        entry = task[index]
        if split_of(entry["question"]) == split and entry["question"] not in seen:
            seen.add(entry["question"])
            yield _as_json(entry, task, name)
    if len(seen) < count:
        raise ConfigError(
            [
                f"the task '{name}' with these settings gave {len(seen)} different questions of split '{split}' in "
                f"{draws} draws; ask for fewer than {count}, or widen task_settings"
            ]
        )


def _as_json(entry: Mapping[str, Any], task: Task, name: str) -> dict[str, Any]:
    """The parts of an entry that the verifier needs, written as JSON and read back.

    Raises:
        DataError: they cannot be written so, or the verifier then no longer accepts the right answer.
    """
    answer = entry["answer"]
    if not isinstance(answer, str):
        raise DataError(
            f"the task '{name}' states no right answer (found {shown(answer)}), so its verifier cannot be tried"
        )
    try:
        copy: dict[str, Any] = json.loads(
            json.dumps({part: entry[part] for part in ("question", "answer", "metadata")})
        )
    except TypeError as error:
        raise DataError(
            f"an entry of the task '{name}' cannot be written as JSON: {error}; choose another task"
        ) from error
    mark = task.score_answer(answer, copy)
    if mark != 1:
        raise DataError(
            f"the verifier of the task '{name}' gives the right answer {mark} after its entry was written as JSON; "
            "choose another task"
        )
    return copy
