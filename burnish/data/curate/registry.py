"""The steps by kind, named and not imported, and plain data as a step.

A step of one's own needs no entry: `kind: path/to/file.py:Class` in a recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import pydantic

from burnish.config import dump, imported, is_settings, load, nearest
from burnish.data.curate.step import CorpusStep, RowStep, Step
from burnish.errors import ConfigError, shown

_STEPS = "burnish.data.curate.steps"

STEPS: Mapping[str, str] = {
    "sample": f"{_STEPS}.sample:Sample",
    "urls": f"{_STEPS}.urls:Urls",
    "language": f"{_STEPS}.language:Language",
    "gopher-quality": f"{_STEPS}.gopher_quality:GopherQuality",
    "gopher-repetition": f"{_STEPS}.gopher_repetition:GopherRepetition",
    "c4": f"{_STEPS}.c4:C4",
    "fineweb-quality": f"{_STEPS}.fineweb:FineWebQuality",
    "toxic-words": f"{_STEPS}.toxic_words:ToxicWords",
    "toxicity": f"{_STEPS}.toxicity:Toxicity",
    "pii": f"{_STEPS}.pii:Pii",
    "decontamination": f"{_STEPS}.decontamination:Decontamination",
    "exact-dedup": f"{_STEPS}.exact:ExactDedup",
    "minhash-dedup": f"{_STEPS}.minhash:MinHashDedup",
    "substring-dedup": f"{_STEPS}.substring:SubstringDedup",
    "perplexity": f"{_STEPS}.perplexity:Perplexity",
    "quality": f"{_STEPS}.quality:Quality",
}
"""kind -> `module:Class`, in the order of a usual pipeline."""


def step_class(kind: str) -> type[Step]:
    """The class of a step.

    Args:
        kind: one of `STEPS`, or `path/to/file.py:Class`, or `package.module:Class`.

    Raises:
        ConfigError: there is none, or what is named is no step.
    """
    if kind not in STEPS and ":" not in kind:
        raise ConfigError([f"there is no step '{kind}'; {nearest(kind, STEPS)}"])
    cls = imported(STEPS.get(kind, kind))
    if not issubclass(cls, (RowStep, CorpusStep)) or not is_settings(cls):
        raise ConfigError(
            [f"'{kind}' is no step; mark the class @settings and let it inherit from RowStep or CorpusStep"]
        )
    return cls


def step_from(value: Any) -> Any:
    """A step from plain data; a step is passed on as it is.

    Raises:
        ValueError: lists the mistakes.
    """
    if isinstance(value, Step):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
        raise ValueError(f"found {shown(value)}; expected a step such as {{kind: exact-dedup}}")
    try:
        return load(step_class(value["kind"]), value, source=value["kind"])
    except ConfigError as error:
        raise ValueError("; ".join(error.mistakes)) from error


OneStep = Annotated[pydantic.InstanceOf[Step], pydantic.BeforeValidator(step_from)]
"""The type of a setting that holds a step."""


def steps_from(values: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """Steps from plain data, as `dump` gives it."""
    return tuple(step_from(value) for value in values)


def plain_steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Steps as plain data; `steps_from` reads them back."""
    return [dump(step) for step in steps]


def step_names(steps: Sequence[Step]) -> tuple[str, ...]:
    """How the ledger and the commands call each step: its kind, or the name of its class if it is a user's own.

    The second of one name ends in `-2`.
    """
    short = [step.kind.rpartition(":")[2] for step in steps]
    before = [short[:place].count(name) for place, name in enumerate(short)]
    return tuple(name if count == 0 else f"{name}-{count + 1}" for name, count in zip(short, before, strict=True))
