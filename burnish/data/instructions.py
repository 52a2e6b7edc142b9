"""Instruction data from many tasks: wordings, how much of each task, reasoning, and tasks that training never sees.

    sentiment:
      plain:
        - {prompt: "{text}\n\nIs this good or bad?", answer: "{label}"}
        - {prompt: "How does the writer feel? {text}", answer: "{label}"}
      reasoned:
        - {prompt: "{text}\n\nGood or bad? Think first.", answer: "{why} So it is {label}."}

A wording names fields of the task's rows in braces. Each row is put in one of its task's wordings, drawn by keys; in
the next pass over the task it is drawn anew. A share of the draws takes a reasoned wording, where the task has one and
the row has its fields (the lifecycle document, sections 3.5 to 3.7; Wei et al. 2022, FLAN; Chung et al. 2022).

How often a task is drawn follows from its size by a cap and a temperature (`burnish.data.mixing.weights`), in whole
numbers that sum to the total: each gets its share rounded down, and what is left goes to the largest remainders. A row
comes again only when all rows of its task were drawn.

With shots, an example has other rows of the task in front, each as a turn with its answer. They are never asked.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from burnish.config import load_yaml
from burnish.data.mixing.weights import tempered
from burnish.errors import ConfigError, DataError
from burnish.example import Completion, Example, Message
from burnish.numerics import generator_from


@dataclass(frozen=True, kw_only=True)
class Wording:
    """A way to ask and to answer.

    Attributes:
        prompt, answer: texts with names of fields in braces.
    """

    prompt: str
    answer: str

    @property
    def fields(self) -> frozenset[str]:
        """The fields that it reads."""
        parts = (*string.Formatter().parse(self.prompt), *string.Formatter().parse(self.answer))
        return frozenset(name for _, name, _, _ in parts if name is not None)

    def suits(self, row: Mapping[str, Any]) -> bool:
        """Whether a row has all of them."""
        return all(row.get(name) is not None for name in self.fields)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task: its rows, and how they may be worded.

    Attributes:
        name: of the task.
        rows: fields by name; each suits every plain wording.
        plain, reasoned: wordings; at least one plain one.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    plain: tuple[Wording, ...]
    reasoned: tuple[Wording, ...]

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows, start=1):
            for wording in self.plain:
                if not wording.suits(row):
                    lacks = sorted(name for name in wording.fields if row.get(name) is None)
                    raise DataError(
                        f"task '{self.name}', row {number} has no {', '.join(lacks)}, which the wording "
                        f"{wording.prompt!r} reads; it has {', '.join(sorted(row))}"
                    )


def read_wordings(path: Path) -> dict[str, dict[str, tuple[Wording, ...]]]:
    """The wordings of each task, by `plain` and `reasoned`.

    Raises:
        ConfigError: lists everything that is not as the head of this file shows.
    """
    mistakes: list[str] = []
    found: dict[str, dict[str, tuple[Wording, ...]]] = {}
    for task, kinds in load_yaml(path).items():
        if not isinstance(kinds, Mapping) or not kinds.get("plain") or set(kinds) - {"plain", "reasoned"}:
            mistakes.append(f"{path}: task '{task}' needs a list 'plain', and may have a list 'reasoned'")
            continue
        found[task] = {kind: _wordings(kinds.get(kind) or [], f"{path}: {task}.{kind}", mistakes) for kind in _KINDS}
    if mistakes:
        raise ConfigError(mistakes)
    return found


_KINDS = ("plain", "reasoned")


def _wordings(rows: Any, where: str, mistakes: list[str]) -> tuple[Wording, ...]:
    wordings = []
    for number, row in enumerate(rows if isinstance(rows, list) else [rows]):
        texts = isinstance(row, Mapping) and set(row) == {"prompt", "answer"}
        if not texts or not all(isinstance(value, str) for value in row.values()):
            mistakes.append(f"{where}[{number}]: expected {{prompt: TEXT, answer: TEXT}}, found {row!r}")
            continue
        wording = Wording(prompt=row["prompt"], answer=row["answer"])
        try:
            plain = all(name.isidentifier() for name in wording.fields)
        except ValueError as error:
            mistakes.append(f"{where}[{number}]: {error}; write a brace of the text twice")
            continue
        if not plain:
            names = ", ".join(sorted(wording.fields))
            mistakes.append(f"{where}[{number}]: braces hold names of fields only, found {names}")
            continue
        wordings.append(wording)
    return tuple(wordings)


def task_counts(sizes: Mapping[str, int], total: int, *, temperature: float, cap: int | None) -> dict[str, int]:
    """How often each task is drawn; the counts sum to the total.

    Args:
        sizes: rows of each task, above 0.
        total: draws.
        temperature: tau, at least 1.
        cap: rows of a task that count at most.
    """
    shares = {name: total * one for name, one in tempered(sizes, temperature=temperature, cap=cap).items()}
    counts = {name: int(share + 1e-9) for name, share in shares.items()}
    left = sorted(shares, key=lambda name: (counts[name] - shares[name], name))
    for name in left[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def training_examples(task: Task, count: int, *, reasoned: float, seed: int) -> list[Example]:
    """So many draws of a task, each row once before any comes again.

    Args:
        task: to draw from.
        count: draws.
        reasoned: share of draws that take a reasoned wording where one suits.
        seed: of the draws.
    """
    return [
        _example(task, *divmod(draw, len(task.rows)), shots=0, reasoned=reasoned, seed=seed) for draw in range(count)
    ]


def held_out_examples(task: Task, count: int, *, shots: int, seed: int) -> list[Example]:
    """Examples of a task that training never sees: the same rows and wordings for any number of shots.

    Raises:
        DataError: there are too few rows for questions and shots.
    """
    if len(task.rows) < count + shots:
        raise DataError(
            f"the held-out task '{task.name}' has {len(task.rows)} rows; {count} questions with {shots} shots need "
            f"{count + shots}. Lower held_out_count or shots"
        )
    return [_example(task, 0, draw, shots=shots, reasoned=0.0, seed=seed, asked=count) for draw in range(count)]


def _example(task: Task, turn: int, draw: int, *, shots: int, reasoned: float, seed: int, asked: int = 0) -> Example:
    """The `draw`-th row of a pass over the task, in a wording of its own."""
    order = torch.randperm(len(task.rows), generator=generator_from("rows", seed, task.name, turn)).tolist()
    generator = generator_from("wording", seed, task.name, turn, draw)
    row = task.rows[order[draw]]
    suiting = [wording for wording in task.reasoned if wording.suits(row)]
    thinks = bool(suiting) and float(torch.rand(1, generator=generator)) < reasoned
    wording = _drawn(suiting if thinks else task.plain, generator)
    spare = order[asked:]
    before = [task.rows[spare[n]] for n in torch.randperm(len(spare), generator=generator).tolist()[:shots]]
    prompt = [message for one in before for message in _turn(wording, one)]
    question, answer = _turn(wording, row)
    return Example(
        id=f"{task.name}/{order[draw]}/{turn}",
        prompt=(*prompt, question),
        completions=(Completion(messages=(answer,)),),
        columns={"task": task.name, "wording": wording.prompt, "reasoned": thinks, "shots": shots},
    )


def _turn(wording: Wording, row: Mapping[str, Any]) -> tuple[Message, Message]:
    question, answer = wording.prompt.format_map(row), wording.answer.format_map(row)
    return Message(role="user", content=question), Message(role="assistant", content=answer)


def _drawn(wordings: Sequence[Wording], generator: torch.Generator) -> Wording:
    return wordings[int(torch.randint(len(wordings), (1,), generator=generator))]
