"""How the rows of tasks are worded, read from a YAML file.

    sentiment:
      metric: normalised
      plain:
        - {prompt: "{text}\n\nIs this good or bad?", answer: "{label}"}
        - {prompt: "How does the writer feel? {text}", answer: "{label}"}
      reasoned:
        - {prompt: "{text}\n\nGood or bad? Think first.", answer: "{why} So it is {label}."}

A wording names fields of the task's rows in braces; a brace of the text is written twice. `metric` says how answers to
the task are scored where it is held out (`burnish.evals.tasks`).
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from burnish.config import load_yaml
from burnish.errors import ConfigError

EXACT = "exact"
"""The metric of a task that names none."""


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


class Wordings(TypedDict):
    """What a file of wordings says of a task."""

    plain: tuple[Wording, ...]
    reasoned: tuple[Wording, ...]
    metric: str


def read_wordings(path: Path) -> dict[str, Wordings]:
    """The wordings of each task, and its metric.

    Raises:
        ConfigError: lists everything that is not as the head of this file shows.
    """
    mistakes: list[str] = []
    found: dict[str, Wordings] = {}
    for task, kinds in load_yaml(path).items():
        if not isinstance(kinds, Mapping) or not kinds.get("plain") or set(kinds) - _KEYS:
            mistakes.append(
                f"{path}: task '{task}' needs a list 'plain', and may have a list 'reasoned' and a 'metric'"
            )
            continue
        where, metric = f"{path}: {task}", kinds.get("metric", EXACT)
        if not isinstance(metric, str):
            mistakes.append(f"{where}.metric: expected the name of a metric, found {metric!r}")
            continue
        found[task] = Wordings(
            plain=_wordings(kinds["plain"], f"{where}.plain", mistakes),
            reasoned=_wordings(kinds.get("reasoned") or [], f"{where}.reasoned", mistakes),
            metric=metric,
        )
    if mistakes:
        raise ConfigError(mistakes)
    return found


_KEYS = {"plain", "reasoned", "metric"}


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
