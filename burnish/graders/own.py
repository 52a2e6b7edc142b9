"""A user's own grader by name: `path/to/file.py:name` or `package.module:name`.

    def brevity(example, completion):              # a function that gives a number, or a Grade
        return -len(completion.text) / 1000

    class Brevity:                                 # or a class that is made without arguments
        def grade(self, example, completion): ...

A class with `grades(answers)` beside `grade` judges many answers at once (`burnish.protocols.BatchGrader`).
"""

from __future__ import annotations

import inspect
from types import FunctionType

from burnish.config import imported_code
from burnish.errors import ConfigError, GraderError
from burnish.example import Completion, Example
from burnish.protocols import Grade, Grader


class FunctionGrader:
    """A function as a grader.

    Args:
        function: takes an example and a completion; gives a number, or true and false for 1 and 0, or a `Grade`.
        name: how messages call it.
    """

    def __init__(self, function: FunctionType, name: str) -> None:
        self._function = function
        self._name = name

    def grade(self, example: Example, completion: Completion) -> Grade:
        """What the function gives.

        Raises:
            GraderError: it failed, or gave something else; names the function, the example and the cause.
        """
        place = f"the grader {self._name} on example '{example.id}'"
        try:
            value = self._function(example, completion)
        except Exception as error:
            raise GraderError(f"{place}: {type(error).__name__}: {error}") from error
        if isinstance(value, Grade):
            return value
        if not isinstance(value, (bool, int, float)):
            raise GraderError(f"{place} gave {value!r}; expected a number or a burnish.protocols.Grade")
        return Grade(score=float(value))


def own_grader(spec: str) -> Grader:
    """The grader that `spec` names.

    Args:
        spec: `path/to/file.py:name` (relative to the working directory) or `package.module:name`, of a function or of a
            class.

    Raises:
        ConfigError: there is no such name, or what it names is no grader; says what one looks like.
    """
    member = imported_code(spec)
    if isinstance(member, FunctionType):
        _takes_two(member, spec)
        return FunctionGrader(member, spec)
    try:
        made = member()
    except TypeError as error:
        raise ConfigError([f"'{spec}' cannot be made without arguments: {error}"]) from error
    if not isinstance(made, Grader):
        raise ConfigError([f"'{spec}' is no grader; give the class a method grade(self, example, completion) -> Grade"])
    return made


def _takes_two(function: FunctionType, spec: str) -> None:
    try:
        inspect.signature(function).bind("example", "completion")
    except TypeError as error:
        wanted = f"{spec.rpartition(':')[2]}(example, completion)"
        raise ConfigError([f"'{spec}' cannot be called as {wanted}: {error}"]) from None
