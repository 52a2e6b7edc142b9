"""Graders by name, with their settings.

    --grader maths                                             one grader
    --grader length --grading.length.limit 300                 with settings of its own
    --grader weighted --grading.weights.maths 1 --grading.weights.length 0.2
    --grader my_grader.py:brevity                              a user's own

Stages, rollouts and evaluation take a grader's name from the settings and grades from `verdict` and `graded_all`, so
that whatever goes wrong inside a grader names the answer it went wrong on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType, MappingProxyType
from typing import cast

from burnish.config import imported_code, nearest, setting, settings
from burnish.errors import ConfigError
from burnish.graders.extraction import extracted
from burnish.graders.format import FormatGrader
from burnish.graders.maths import MathsGrader
from burnish.graders.numbers import Number
from burnish.graders.own import own_grader
from burnish.graders.penalties import LengthPenalty, RepetitionPenalty
from burnish.graders.phrasing import LowerCase
from burnish.graders.reasoning import AnswerFormatGrader, ReasoningGrader
from burnish.graders.shapes import Bullets
from burnish.graders.verdicts import OnFailure, graded_all, verdict
from burnish.graders.verifiers import Task, library_version
from burnish.graders.weighted import Weighted, weight_mistakes
from burnish.protocols import Grader
from burnish.store import Code

__all__ = [
    "GRADERS",
    "WEIGHTED",
    "Entry",
    "GraderSettings",
    "Grading",
    "OnFailure",
    "graded_all",
    "grader_code",
    "grader_named",
    "graders_named",
    "part_name",
    "verdict",
]

WEIGHTED = "weighted"
"""The name under which several graders are summed."""


@settings
class GraderSettings:
    """Settings of graders that have some; settings of a grader that is not used are refused."""

    length: LengthPenalty | None = setting(None, "of 'length', the penalty on long answers")
    repetition: RepetitionPenalty | None = setting(None, "of 'repetition', the penalty on repeated words")
    reasoning: ReasoningGrader | None = setting(None, "of 'reasoning', the verifiers of reasoning-gym")


@settings
class Grading(GraderSettings):
    """The settings of one grader, which may be a weighted sum of several."""

    weights: Mapping[str, float] | None = setting(None, "of 'weighted': the graders to sum, each with its weight")
    on_failure: OnFailure = setting(
        "stop", "what an answer gets on which a grader fails: stop the run, or a score of zero, counted as 'failed'"
    )

    def __post_init__(self) -> None:
        if self.weights is not None and (mistakes := weight_mistakes(self.weights)):
            raise ValueError("; ".join(mistakes))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A grader of the library.

    Attributes:
        make: makes it with its settings.
        code: where its rules are written; belongs to the identity of what it judged.
    """

    make: Callable[[GraderSettings], Grader]
    code: tuple[Code, ...]


def _reasoning(given: GraderSettings) -> Grader:
    library_version()  # a missing package is told before any work
    return given.reasoning or ReasoningGrader()


_EXTRACTION = cast(FunctionType, extracted)

GRADERS: Mapping[str, Entry] = {
    "format": Entry(make=lambda _: FormatGrader(), code=(FormatGrader, LowerCase, Bullets)),
    "maths": Entry(make=lambda _: MathsGrader(), code=(MathsGrader, Number, _EXTRACTION)),
    "reasoning": Entry(make=_reasoning, code=(ReasoningGrader, Number, _EXTRACTION, Task)),
    "answer-format": Entry(make=lambda _: AnswerFormatGrader(), code=(AnswerFormatGrader, Number, _EXTRACTION)),
    "length": Entry(make=lambda given: given.length or LengthPenalty(), code=(LengthPenalty,)),
    "repetition": Entry(make=lambda given: given.repetition or RepetitionPenalty(), code=(RepetitionPenalty,)),
}
"""The graders of the library by name; `weighted` and a user's own come on top."""

_NONE: Mapping[str, Grader] = MappingProxyType({})


def grader_named(name: str, grading: Grading | None = None, also: Mapping[str, Grader] = _NONE) -> Grader:
    """The grader of that name.

    Args:
        name: of a grader of the library, `weighted`, one of `also`, or a user's own, `path/to/file.py:name` or
            `package.module:name`.
        grading: settings; None is all defaults.
        also: graders that a stage brings, such as a reward model, by the name under which they may be chosen.

    Raises:
        ConfigError: there is none of that name, or a setting is missing or read by none of the graders in use; lists
            every mistake.
        MissingExtra: the grader needs a package that is not installed.
    """
    grading = grading or Grading()
    if name != WEIGHTED:
        mistake = f"grading.weights is given, and the grader is '{name}'; only '{WEIGHTED}' reads it"
        return graders_named([name], grading, also, [mistake] * (grading.weights is not None))[name]
    if grading.weights is None:
        raise ConfigError([f"the grader '{WEIGHTED}' needs its parts: --grading.weights.NAME WEIGHT, for each of them"])
    made = graders_named([*grading.weights], grading, also)
    parts = {part_name(one, [*made]): (grader, grading.weights[one]) for one, grader in made.items()}
    return Weighted(parts, grading.on_failure)


def graders_named(
    names: Sequence[str],
    given: GraderSettings | None = None,
    also: Mapping[str, Grader] = _NONE,
    mistakes: Sequence[str] = (),
) -> dict[str, Grader]:
    """Several graders by name.

    Args:
        names: as for `grader_named`, without `weighted`.
        given: settings; each has to belong to one of `names`.
        also: as for `grader_named`.
        mistakes: found before; reported together with those found here.

    Raises:
        ConfigError, MissingExtra: as `grader_named` does.
    """
    given = given or GraderSettings()
    found = [*mistakes, *_unread(names, given)]
    made: dict[str, Grader] = {}
    for name in names:
        try:
            made[name] = _single(name, given, also)
        except ConfigError as error:
            found += error.mistakes
    if found:
        raise ConfigError(found)
    return made


def part_name(name: str, names: Sequence[str]) -> str:
    """How a part is called in logs: a user's own by its name in the file, unless another part has that name."""
    short = name.rpartition(":")[2]
    return short if [one.rpartition(":")[2] for one in names].count(short) == 1 else name


def grader_code(name: str, grading: Grading | None = None) -> tuple[Code, ...]:
    """Classes and functions whose source decides what the grader of that name gives: for `Stage.code()`.

    Graders that a stage brings itself are left out; the stage names their source.

    Raises:
        ConfigError: a user's own grader is not there.
    """
    weights = grading.weights if grading is not None else None
    code: list[Code] = [Weighted] if name == WEIGHTED else []
    for one in (weights or ()) if name == WEIGHTED else (name,):
        if one in GRADERS:
            code += GRADERS[one].code
        elif ":" in one:
            code.append(imported_code(one))
    return tuple(dict.fromkeys(code))


def _single(name: str, given: GraderSettings, also: Mapping[str, Grader]) -> Grader:
    if name in also:
        return also[name]
    if name in GRADERS:
        return GRADERS[name].make(given)
    if ":" in name:
        return own_grader(name)
    known = [*GRADERS, *also, WEIGHTED]
    hint = "a weighted sum has no weighted sums as parts" if name == WEIGHTED else nearest(name, known)
    raise ConfigError([f"no grader is called '{name}'; {hint}"])


def _unread(names: Sequence[str], given: GraderSettings) -> list[str]:
    """Settings that no grader in use reads."""
    by_name = {"length": given.length, "repetition": given.repetition, "reasoning": given.reasoning}
    return [
        f"settings of the grader '{one}' are given, and it is not used"
        for one, value in by_name.items()
        if value is not None and one not in names
    ]
