"""The kinds of work: how many answers an item needs, what its judgements look like.

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

from burnish.studio.contents import Comparison, Content, Marks, Ranking, Rating, Review, Thumb, Writing
from burnish.studio.refusals import Invalid
from burnish.studio.tables import Kind


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
