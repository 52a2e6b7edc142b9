"""Graders by name, and the one way to call them.

Stages, rollouts and evaluation take a grader's name from the settings and a verdict from `verdict`, so that whatever
goes wrong inside a grader names the example it went wrong on.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

from burnish.errors import ConfigError, GraderError
from burnish.example import Completion, Example
from burnish.graders.format import FormatGrader
from burnish.protocols import Grade, Grader

GRADERS: Mapping[str, Callable[[], Grader]] = {"format": FormatGrader}
"""What makes each grader."""


def grader_named(name: str) -> Grader:
    """The grader of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in GRADERS:
        near = difflib.get_close_matches(name, GRADERS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(GRADERS)}"
        raise ConfigError([f"no grader is called '{name}'; {hint}"])
    return GRADERS[name]()


def verdict(grader: Grader, example: Example, completion: Completion) -> Grade:
    """`grader`'s grade of a completion.

    Raises:
        GraderError: the grader failed; names the example and the cause.
    """
    try:
        return grader.grade(example, completion)
    except GraderError:
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise GraderError(f"{type(grader).__name__} failed on example '{example.id}': {cause}") from error
