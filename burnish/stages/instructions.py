"""`burnish instructions`: data for instruction tuning, from the rows of many tasks and several wordings of each.

    burnish instructions --data mood=m.jsonl topic=t.jsonl --wordings wordings.yaml --held_out topic --out runs/mix
    burnish sft --model runs/base --data runs/mix --held_out_data runs/mix/zero_shot --out runs/tuned

`burnish.data.instructions` says how rows are worded and mixed. Tasks named in `held_out` are kept out of training
entirely, and a training example that asks one of their questions is refused; their questions stand in `zero_shot/` and,
the same ones with worked examples in front, in `few_shot/`. Given to `sft` as `held_out_data` they have their loss
measured during training; as `held_out_tasks` they are answered, and the answers scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import FunctionType
from typing import Any, ClassVar, cast

import torch

from burnish.config import setting, settings
from burnish.data.contamination import kept_apart, shared_text
from burnish.data.instructions import Task, held_out_examples, task_counts, training_examples
from burnish.data.row import Row
from burnish.data.streams import DataSettings, streams
from burnish.data.wordings import Wording, read_wordings
from burnish.errors import ConfigError, DataError
from burnish.example import Example, write_jsonl
from burnish.numerics import generator_from
from burnish.stages.artefact import write_examples
from burnish.stages.curate import Paths
from burnish.stages.stage import Plan, Stage, Work
from burnish.stages.task_questions import metric_fault
from burnish.store import Code

ZERO_SHOT, FEW_SHOT = "zero_shot", "few_shot"


@settings
class InstructionsStage(Stage):
    """Mix tasks into instruction data."""

    verb: ClassVar[str] = "instructions"

    data: Paths = setting(..., "rows of each task, by its name", source=True)
    wordings: str = setting(..., "YAML file of the wordings of each task", source=True)
    held_out: tuple[str, ...] = setting((), "tasks that training never sees")
    held_out_count: int = setting(100, "questions of each held-out task", unit="questions", ge=1)
    shots: tuple[int, ...] = setting(
        (3,), "worked examples in front of a few-shot question; several numbers ask it several times", min_length=1
    )
    count: int | None = setting(None, "examples; the capped sizes of the tasks together if not given", ge=1)
    temperature: float = setting(1.0, "1 in proportion to size, large for equal shares", ge=1)
    cap: int | None = setting(None, "rows of a task that count at most", unit="rows", ge=1)
    reasoned: float = setting(0.5, "share of examples that reason, of tasks that have such wordings", ge=0, le=1)
    seed: int = setting(0, "of rows, wordings and order")

    def __post_init__(self) -> None:
        if wrong := [number for number in self.shots if number < 1]:
            raise ValueError(f"shots: found {wrong[0]}; expected 1 or more, questions without shots are made anyway")

    def plan(self) -> Plan:
        """Read rows and wordings, draw the questions of held-out tasks, and count."""
        tasks = self._tasks()
        counts = self._counts(tasks)
        asked = {folder: len(found) for folder, found in self._held_out(tasks).items()}
        lines = [f"{name}: {count} examples" for name, count in counts.items()]
        lines += [f"{name}: held out" for name in self.held_out]
        lines += [f"{folder}: {count} questions" for folder, count in asked.items()]
        return Plan(lines=tuple(lines), facts={"examples": sum(counts.values()), "counts": counts, **asked})

    def run(self, work: Work) -> None:
        """Write the examples, and the questions of held-out tasks.

        Raises:
            DataError: a held-out task has too few rows, or one of its questions is trained on; nothing is written.
        """
        tasks = self._tasks()
        counts = self._counts(tasks)
        drawn = [
            example
            for name, count in counts.items()
            for example in training_examples(tasks[name], count, reasoned=self.reasoned, seed=self.seed)
        ]
        held_out = self._held_out(tasks)
        sharing = kept_apart([one for found in held_out.values() for one in found], drawn) if self.held_out else {}
        if sharing:
            work.say(shared_text(sharing))
        order = torch.randperm(len(drawn), generator=generator_from("instructions", self.seed)).tolist()
        write_examples(work, [drawn[place] for place in order])
        for folder, found in held_out.items():
            (work.out / folder).mkdir(exist_ok=True)
            write_jsonl(work.out / folder / "examples.jsonl", found)
        thinking = sum(bool(example.columns["reasoned"]) for example in drawn)
        facts = {"counts": counts, "reasoned": thinking, "held_out": list(self.held_out), "sharing": dict(sharing)}
        work.record({"instructions": facts})
        work.say(f"{len(drawn):,} examples of {len(counts)} tasks, {thinking:,} of them reason")

    def code(self) -> tuple[Code, ...]:
        """What words and mixes."""
        parts = (task_counts, training_examples, held_out_examples, kept_apart)
        return (Task, Wording, *(cast(FunctionType, part) for part in parts))

    def _held_out(self, tasks: Mapping[str, Task]) -> dict[str, list[Example]]:
        """The questions of held-out tasks, by the folder that they are written into."""
        if not self.held_out:
            return {}
        numbers = {ZERO_SHOT: (0,), FEW_SHOT: tuple(dict.fromkeys(self.shots))}
        return {
            folder: [
                example
                for name in self.held_out
                for shots in shown
                for example in held_out_examples(tasks[name], self.held_out_count, shots=shots, seed=self.seed)
            ]
            for folder, shown in numbers.items()
        }

    def _counts(self, tasks: Mapping[str, Task]) -> dict[str, int]:
        """How often each task of the training is drawn.

        Raises:
            ConfigError: a held-out task does not exist, or none is left to train on.
        """
        if unknown := [name for name in self.held_out if name not in tasks]:
            raise ConfigError([f"held_out: there is no task '{unknown[0]}'; tasks are {', '.join(tasks)}"])
        sizes = {name: len(task.rows) for name, task in tasks.items() if name not in self.held_out}
        if not sizes:
            raise ConfigError([f"held_out: all {len(tasks)} tasks are held out; leave one to train on"])
        total = self.count or sum(size if self.cap is None else min(size, self.cap) for size in sizes.values())
        return task_counts(sizes, total, temperature=self.temperature, cap=self.cap)

    def _tasks(self) -> dict[str, Task]:
        """The tasks.

        Raises:
            ConfigError: a task has no wordings, or a metric that does not exist.
            DataError: a task has no rows, or one lacks a field that a wording reads.
        """
        wordings = read_wordings(Path(self.wordings).expanduser())
        if without := [name for name in self.data if name not in wordings]:
            raise ConfigError([f"{self.wordings}: no wordings for the task '{name}'" for name in without])
        faults = {name: metric_fault(wordings[name]["metric"]) for name in self.data}
        wrong = [f"{self.wordings}: {name}.metric: {fault}" for name, fault in faults.items() if fault]
        if wrong:
            raise ConfigError(wrong)
        return {name: Task(name=name, rows=_rows(name, path), **wordings[name]) for name, path in self.data.items()}


def _rows(name: str, path: str) -> list[Mapping[str, Any]]:
    """The rows of a task.

    Raises:
        DataError: a row cannot be read, or there is none.
    """
    found: list[Mapping[str, Any]] = []
    for _, rows in streams(DataSettings(path=path), lambda note: None):
        for row in rows:
            if not isinstance(row, Row):
                raise row
            found.append(row.values)
    if not found:
        raise DataError(f"the task '{name}' has no rows in {path}")
    return found
