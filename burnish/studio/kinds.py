"""The kinds of work: what a project's options say, how many answers an item needs, what its judgements look like.

| kind        | answers | content            |  what several people's judgements come to (`agreed.py`)           |
|-------------|---------|--------------------|-------------------------------------------------------------------|
| reformulate | 0       | `Writing`          | each stands for itself                                            |
| create      | 0       | `Writing`          | each stands for itself; items are made as they are needed         |
| evaluate    | 0       | `Review`           | a majority's verdict, or the text that a majority proposes        |
| demonstrate | 0       | `Writing`          | each stands for itself                                            |
| compare     | 2       | `Comparison`       | a majority's side or tie                                          |
| rank        | 2 to 20 | `Ranking`          | the mean of the ranks                                             |
| rate        | 1 to 20 | `Rating`           | the mean of the scores                                            |
| thumbs      | 1       | `Thumb`            | a majority's word                                                 |
| spans       | 1 to 20 | `Marks`            | each stands for itself                                            |
| arena       | -       | votes of their own | each stands for itself                                            |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from burnish.config import dump, load, setting, settings
from burnish.errors import ConfigError
from burnish.studio.contents import Comparison, Content, Marks, Ranking, Rating, Review, Thumb, Writing
from burnish.studio.refusals import Invalid
from burnish.studio.tables import Kind


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


@dataclass(frozen=True, kw_only=True)
class KindOfWork:
    """What one kind of work asks for.

    Attributes:
        name: the kind.
        content: the class of its judgements; None for the arena.
        fewest, most: how many answers an item has.
        writes: whether people write text, which then stands for itself.
        made_on_demand: whether items are made when somebody asks for one.
    """

    name: Kind
    content: type[Content] | None
    fewest: int = 0
    most: int = 0
    writes: bool = False
    made_on_demand: bool = False


_MANY = 20
KINDS: Mapping[str, KindOfWork] = {
    kind.name: kind
    for kind in (
        KindOfWork(name="reformulate", content=Writing, writes=True),
        KindOfWork(name="create", content=Writing, writes=True, made_on_demand=True),
        KindOfWork(name="evaluate", content=Review),
        KindOfWork(name="demonstrate", content=Writing, writes=True),
        KindOfWork(name="compare", content=Comparison, fewest=2, most=2),
        KindOfWork(name="rank", content=Ranking, fewest=2, most=_MANY),
        KindOfWork(name="rate", content=Rating, fewest=1, most=_MANY),
        KindOfWork(name="thumbs", content=Thumb, fewest=1, most=1),
        KindOfWork(name="spans", content=Marks, fewest=1, most=_MANY),
        KindOfWork(name="arena", content=None),
    )
}


def kind_named(name: str) -> KindOfWork:
    """The kind of that name.

    Raises:
        Invalid: there is none.
    """
    if name not in KINDS:
        raise Invalid("kind", f"found the kind of work '{name}'; expected one of {', '.join(KINDS)}")
    return KINDS[name]


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
