"""The tasks of reasoning-gym, an optional package, and the verifiers that come with them.

A task makes questions from a seed and judges answers to them: a verifier knows all right answers (of several shortest
paths, say), and how near a wrong one is. The package is the extra `evals`. Nothing of it is copied here.

Some verifiers run parts of the answer as Python (`eval`, SymPy's `parse_expr`). What a model writes is then executed
with the rights of this process, or computes forever; `executing` finds them in the package's source, and the grader
refuses them unless it is allowed to.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.metadata
import inspect
import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Protocol, cast

from burnish.config import nearest
from burnish.errors import ConfigError, MissingExtra

_EXECUTING = ("eval", "exec", "parse_expr", "sympify")
_OWN = ("seed", "size")


class Task(Protocol):
    """A task of reasoning-gym with its settings."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The entry at `index`: `question`, `answer`, `metadata`."""

    def score_answer(self, answer: str | None, entry: dict[str, Any]) -> float:
        """The verifier: 1 for a right answer, less for others."""


def task_named(name: str, settings: Mapping[str, Any], *, seed: int = 0, size: int = 1) -> Task:
    """A task.

    Args:
        name: as reasoning-gym calls it, such as `chain_sum`.
        settings: of the task, such as `{"max_terms": 3}`; `seed` and `size` are not among them.
        seed: entry i is drawn from seed + i, so that seeds near each other give the same entries.
        size: how many entries the task is told to have.

    Raises:
        MissingExtra: reasoning-gym is not installed.
        ConfigError: there is no such task, or its settings are wrong.
    """
    gym, tasks = _library()
    if name not in tasks:
        raise ConfigError([f"reasoning-gym has no task '{name}'; {nearest(name, tasks)}"])
    known = [field.name for field in dataclasses.fields(tasks[name][1]) if field.name not in _OWN]
    mistakes = [
        f"task_settings: '{key}' is set by the stage; use --seed and --count"
        if key in _OWN
        else f"task_settings: the task '{name}' has no setting '{key}'; {nearest(key, known)}"
        for key in settings
        if key not in known
    ]
    if mistakes:
        raise ConfigError(mistakes)
    try:
        return cast(Task, gym.create_dataset(name, **settings, seed=seed, size=size))
    except (AssertionError, TypeError, ValueError) as error:
        raise ConfigError(
            [f"task_settings: the task '{name}' refuses them: {error or type(error).__name__}"]
        ) from error


def verifier(name: str, settings: Mapping[str, Any]) -> Task:
    """The task whose `score_answer` judges answers to entries that `task_named` drew with these settings; kept.

    Raises:
        MissingExtra, ConfigError: as `task_named` does.
    """
    return _verifier(name, json.dumps(dict(settings), sort_keys=True))


def library_version() -> str:
    """The installed version of reasoning-gym.

    Raises:
        MissingExtra: it is not installed.
    """
    _library()
    return importlib.metadata.version("reasoning-gym")


def executing(task: Task) -> str | None:
    """The function by which the verifier of a task may run an answer as code, None if none is seen.

    Looked for in the text of the modules that define the task's class: what `score_answer` calls, and what that calls.
    A call on something other than the answer counts too; the text does not say what is passed.
    """
    return _executing(type(task))


@lru_cache(maxsize=64)
def _executing(cls: type) -> str | None:
    nodes = (node for tree in _sources(cls) for node in ast.walk(tree))
    functions = {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}
    waiting, seen = ["score_answer"], {"score_answer"}
    while waiting:
        for called in _calls(functions[waiting.pop()]):
            if called in _EXECUTING and called not in functions:
                return called
            if called in functions and called not in seen:
                seen.add(called)
                waiting.append(called)
    return None


@lru_cache(maxsize=64)
def _verifier(name: str, settings: str) -> Task:
    return task_named(name, json.loads(settings))


def _library() -> tuple[Any, Mapping[str, tuple[type, type]]]:
    """The package, and its tasks by name: (class, class of the settings)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # a dependency of it leaves a file open as it is imported
            import reasoning_gym
            from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise MissingExtra("reasoning-gym", "evals") from error
    return reasoning_gym, DATASETS


def _sources(cls: type) -> Iterator[ast.Module]:
    """The modules of a class and of what it inherits from, base classes first, the standard library left out."""
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] not in sys.stdlib_module_names:
            yield ast.parse(inspect.getsource(sys.modules[base.__module__]))


def _calls(function: ast.FunctionDef) -> Iterator[str]:
    """The names of what a function calls."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id
            elif isinstance(node.func, ast.Attribute):
                yield node.func.attr
