"""`burnish word-tasks`: rows of small tasks on words, with their wordings, to try instruction tuning on.

    burnish word-tasks --rows 400 --out runs/words
    burnish instructions --data first=runs/words/first.jsonl last=runs/words/last.jsonl \
        --wordings runs/words/wordings.yaml --held_out last --out runs/mix

Writes a file `TASK.jsonl` for each task, and `wordings.yaml`. What the tasks are stands in `synth/word_tasks.py`.
"""

from __future__ import annotations

import json
from types import FunctionType
from typing import ClassVar, cast

import yaml

from burnish.config import nearest, setting, settings
from burnish.errors import ConfigError
from burnish.stages.stage import Plan, Stage, Work
from burnish.store import Code
from burnish.synth.word_tasks import WORD_TASKS, Fields, rows_of, wordings_of

WORDINGS = "wordings.yaml"


@settings
class WordTasksStage(Stage):
    """Write rows of small tasks on words."""

    verb: ClassVar[str] = "word-tasks"

    tasks: tuple[str, ...] = setting((), "only these tasks; none given means all")
    rows: int = setting(400, "rows of each task; fewer where a task has fewer different ones", unit="rows", ge=1)
    seed: int = setting(0, "another seed gives other rows", ge=0)

    def plan(self) -> Plan:
        """Draw the rows and count them."""
        counts = {name: len(rows) for name, rows in self._drawn().items()}
        lines = tuple(f"{name}: {count} rows" for name, count in counts.items())
        return Plan(lines=lines, facts={"rows": counts})

    def run(self, work: Work) -> None:
        """Write the rows and the wordings."""
        drawn = self._drawn()
        for name, rows in drawn.items():
            lines = [json.dumps(row) + "\n" for row in rows]
            (work.out / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        wordings = {name: wordings_of(name) for name in drawn}
        (work.out / WORDINGS).write_text(yaml.safe_dump(wordings, sort_keys=False, width=120), encoding="utf-8")
        work.record({"rows": {name: len(rows) for name, rows in drawn.items()}})
        work.say(f"{sum(map(len, drawn.values())):,} rows of {len(drawn)} tasks in {work.out}")

    def code(self) -> tuple[Code, ...]:
        """What makes the rows."""
        return (cast(FunctionType, rows_of),)

    def _drawn(self) -> dict[str, list[Fields]]:
        """The rows by task.

        Raises:
            ConfigError: there is no such task.
        """
        if unknown := [name for name in self.tasks if name not in WORD_TASKS]:
            raise ConfigError([f"tasks: there is no task '{name}'; {nearest(name, WORD_TASKS)}" for name in unknown])
        return {name: rows_of(name, self.rows, seed=self.seed) for name in self.tasks or WORD_TASKS}
