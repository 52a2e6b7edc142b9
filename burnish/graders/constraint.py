"""What every format constraint offers; the kinds are in `phrasing.py` and `shapes.py`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from burnish.graders.words import plain


class Constraint(ABC):
    """A rule on the form of an answer.

    Attributes:
        kind: the name under which it is known.
        min_words: words that the content of an answer needs.
        min_new_words: different words it needs that the prompt has not.
    """

    kind: str
    min_words: ClassVar[int] = 8
    min_new_words: ClassVar[int] = 4

    @abstractmethod
    def fault(self, text: str) -> str | None:
        """What is wrong with `text`, None if the constraint holds."""

    def content(self, text: str) -> str:
        """The part of `text` that is the writer's own: its words are counted and must name the topic."""
        return plain(text)
