"""`burnish instructions`: data for instruction tuning, from the rows of many tasks and several wordings of each.

    burnish instructions --data mood=m.jsonl topic=t.jsonl --wordings wordings.yaml --held_out topic --out runs/mix
    burnish sft --model runs/base --data runs/mix --held_out_data runs/mix/zero_shot --out runs/tuned

`burnish.data.instructions` says how rows are worded and mixed. Tasks named in `held_out` are kept out of training
entirely; their questions stand in `zero_shot/` and, the same ones with worked examples in front, in `few_shot/`. Given
to `sft` as `held_out_data`, either shows during training what is learned for tasks that training never sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import FunctionType
from typing import Any, ClassVar, cast

import torch

from burnish.config import setting, settings
from burnish.data.instructions import Task, held_out_examples, read_wordings, task_counts, training_examples
from burnish.data.row import Row
from burnish.data.streams import DataSettings, streams
from burnish.errors import ConfigError, DataError
from burnish.example import Example, write_jsonl
from burnish.numerics import generator_from
from burnish.stages.artefact import write_examples
from burnish.stages.curate import Paths
from burnish.stages.stage import Plan, Stage, Work
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
    shots: int = setting(3, "worked examples in front of a few-shot question", ge=1)
    count: int | None = setting(None, "examples; the capped sizes of the tasks together if not given", ge=1)
    temperature: float = setting(1.0, "1 in proportion to size, large for equal shares", ge=1)
    cap: int | None = setting(None, "rows of a task that count at most", unit="rows", ge=1)
    reasoned: float = setting(0.5, "share of examples that reason, of tasks that have such wordings", ge=0, le=1)
    seed: int = setting(0, "of rows, wordings and order")

    def plan(self) -> Plan:
        """Read rows and wordings, and count."""
        counts = self._counts(self._tasks())
        lines = [f"{name}: {count} examples" for name, count in counts.items()]
        lines += [f"{name}: held out, {self.held_out_count} questions" for name in self.held_out]
        return Plan(lines=tuple(lines), facts={"examples": sum(counts.values()), "counts": counts})

    def run(self, work: Work) -> None:
        """Write the examples, and the questions of held-out tasks."""
        tasks = self._tasks()
        counts = self._counts(tasks)
        drawn = [
            example
            for name, count in counts.items()
            for example in training_examples(tasks[name], count, reasoned=self.reasoned, seed=self.seed)
        ]
        order = torch.randperm(len(drawn), generator=generator_from("instructions", self.seed)).tolist()
        write_examples(work, [drawn[place] for place in order])
        if self.held_out:
            self._write_held_out(work, tasks)
        thinking = sum(bool(example.columns["reasoned"]) for example in drawn)
        work.record({"instructions": {"counts": counts, "reasoned": thinking, "held_out": list(self.held_out)}})
        work.say(f"{len(drawn):,} examples of {len(counts)} tasks, {thinking:,} of them reason")

    def code(self) -> tuple[Code, ...]:
        """What words and mixes."""
        return (Task, *(cast(FunctionType, part) for part in (task_counts, training_examples, held_out_examples)))

    def _write_held_out(self, work: Work, tasks: Mapping[str, Task]) -> None:
        for folder, shots in ((ZERO_SHOT, 0), (FEW_SHOT, self.shots)):
            found: list[Example] = []
            for name in self.held_out:
                found += held_out_examples(tasks[name], self.held_out_count, shots=shots, seed=self.seed)
            (work.out / folder).mkdir(exist_ok=True)
            write_jsonl(work.out / folder / "examples.jsonl", found)

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
            ConfigError: a task has no wordings.
            DataError: a task has no rows, or one lacks a field that a wording reads.
        """
        wordings = read_wordings(Path(self.wordings).expanduser())
        if without := [name for name in self.data if name not in wordings]:
            raise ConfigError([f"{self.wordings}: no wordings for the task '{name}'" for name in without])
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
