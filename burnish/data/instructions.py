"""Instruction data from many tasks: wordings, how much of each task, reasoning, and tasks that training never sees.

    trained on  rows, and wordings of them (`burnish.data.wordings`)      ──► examples to train on
    held out    questions, and rows that are shown as worked examples ──► the same questions with and without shots

Each row is put in one of its task's wordings, drawn by keys; in the next pass over the task it is drawn anew. A share
of the draws takes a reasoned wording, where the task has one and the row has its fields (the lifecycle document,
sections 3.5 to 3.7; Wei et al. 2022, FLAN; Chung et al. 2022).

How often a task is drawn follows from its size by a cap and a temperature (`burnish.data.mixing.weights`), in whole
numbers that sum to the total: each gets its share rounded down, and what is left goes to the largest remainders. A row
comes again only when all rows of its task were drawn.

With shots, an example has other rows of the task in front, each as a turn with its answer. They are never asked.
Questions of a held-out task carry its `metric`, by which answers to them are scored (`burnish.evals.tasks`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from burnish.data.mixing.weights import tempered
from burnish.data.wordings import EXACT, Wording
from burnish.errors import DataError
from burnish.example import Completion, Example, Message
from burnish.numerics import generator_from


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task: its rows, and how they may be worded.

    Attributes:
        name: of the task.
        rows: fields by name; each suits every plain wording.
        plain, reasoned: wordings; at least one plain one.
        metric: how answers are scored.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    plain: tuple[Wording, ...]
    reasoned: tuple[Wording, ...]
    metric: str = EXACT

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows, start=1):
            for wording in self.plain:
                if not wording.suits(row):
                    lacks = sorted(name for name in wording.fields if row.get(name) is None)
                    raise DataError(
                        f"task '{self.name}', row {number} has no {', '.join(lacks)}, which the wording "
                        f"{wording.prompt!r} reads; it has {', '.join(sorted(row))}"
                    )


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
    size = len(task.rows)
    orders = [_order(task, turn, seed) for turn in range(-(-count // size))]
    places = (divmod(draw, size) for draw in range(count))
    return [_example(task, orders[turn], turn, place, reasoned=reasoned, seed=seed) for turn, place in places]


def held_out_examples(task: Task, count: int, *, shots: int, seed: int) -> list[Example]:
    """Examples of a task that training never sees: the same rows and wordings for any number of shots.

    The first `count` rows of an order by the seed are asked. The others, but for copies of asked ones, are the task's
    own training part: worked examples are drawn from them alone, anew for each question. The columns `metric` and
    `answer` say how an answer is scored, and against what.

    Raises:
        DataError: there are too few rows for questions and shots.
    """
    if len(task.rows) < count + shots:
        raise DataError(
            f"the held-out task '{task.name}' has {len(task.rows)} rows; {count} questions with {shots} shots need "
            f"{count + shots}. Lower held_out_count or shots"
        )
    order = _order(task, 0, seed)
    spare = _unlike(task, order[count:], order[:count]) if shots else ()
    if len(spare) < shots:
        raise DataError(
            f"the held-out task '{task.name}' has {len(spare)} rows that differ from those that are asked, for {shots} "
            "shots: the others are copies of questions. Lower held_out_count or shots"
        )
    asked = [_example(task, order, 0, draw, shots=shots, spare=spare, seed=seed) for draw in range(count)]
    return [_question(task, one, shots) for one in asked]


def _question(task: Task, example: Example, shots: int) -> Example:
    """The example with how it is scored, under an id of its own for each number of shots."""
    scored = {"metric": task.metric, "answer": example.completions[0].text}
    return replace(example, id=f"{example.id}/{shots}-shot", columns={**example.columns, **scored})


def _unlike(task: Task, rows: Sequence[int], others: Sequence[int]) -> list[int]:
    """Those of the rows that are asked in other words than the others: a copy would show a question with its answer."""
    keys = {_asked(task, row) for row in others}
    return [row for row in rows if _asked(task, row) not in keys]


def _asked(task: Task, row: int) -> tuple[str, ...]:
    """A row as a question, in every plain wording."""
    return tuple(wording.prompt.format_map(task.rows[row]) for wording in task.plain)


def _order(task: Task, turn: int, seed: int) -> list[int]:
    """The rows in the order of one pass over the task."""
    return torch.randperm(len(task.rows), generator=generator_from("rows", seed, task.name, turn)).tolist()


def _example(
    task: Task,
    order: Sequence[int],
    turn: int,
    draw: int,
    *,
    seed: int,
    shots: int = 0,
    spare: Sequence[int] = (),
    reasoned: float = 0.0,
) -> Example:
    """The `draw`-th row of a pass over the task, in a wording of its own."""
    generator = generator_from("wording", seed, task.name, turn, draw)
    row = task.rows[order[draw]]
    suiting = [wording for wording in task.reasoned if wording.suits(row)]
    thinks = bool(suiting) and float(torch.rand(1, generator=generator)) < reasoned
    wording = _drawn(suiting if thinks else task.plain, generator)
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
