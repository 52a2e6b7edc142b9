"""What a project may say about its kind of work: scales, labels, reasons, ties, lengths, models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.config import dump, load, setting, settings
from burnish.errors import ConfigError
from burnish.studio.refusals import Invalid


@settings
class Options:
    """What a project's kind of work may be told; a kind reads those that concern it."""

    scales: tuple[str, ...] = setting(("helpful", "honest", "harmless", "coherent"), "rate: names of the scales")
    highest: int = setting(5, "rate: the best score; the worst is 1", ge=2, le=10)
    ties: bool = setting(True, "compare: whether a tie may be said")
    strengths: int = setting(3, "compare: how many strengths of preference there are; 1 asks for none", ge=1, le=5)
    labels: tuple[str, ...] = setting(("good", "wrong", "unclear", "harmful"), "spans: what a span may be marked as")
    reasons: tuple[str, ...] = setting(
        ("unclear", "not a prompt", "wrong language", "harmful", "duplicate", "personal data"),
        "evaluate, skip, flag: reasons offered",
    )
    longest: int = setting(20_000, "most characters of a text that somebody writes", unit="characters", ge=1)
    models: tuple[str, ...] = setting((), "arena: names of the models")

    def __post_init__(self) -> None:
        for name in ("scales", "labels", "reasons", "models"):
            values = {"scales": self.scales, "labels": self.labels, "reasons": self.reasons, "models": self.models}[
                name
            ]
            if len(set(values)) != len(values) or not all(value.strip() for value in values):
                raise ValueError(f"{name}: each needs a name of its own; found {', '.join(values)}")


def options_from(data: Mapping[str, Any]) -> Options:
    """Read a project's options.

    Raises:
        Invalid: lists what is wrong with them.
    """
    try:
        return load(Options, data)
    except ConfigError as error:
        raise Invalid("options", "; ".join(error.mistakes)) from error


def options_dict(options: Options) -> dict[str, Any]:
    """The options as the database and the browser have them."""
    plain: dict[str, Any] = dump(options)
    return plain
