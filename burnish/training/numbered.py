"""A source whose batches carry their number: what noise is keyed by that must differ from pass to pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.batch import Tree
from burnish.training.columns import with_column
from burnish.training.source import Feedback, Source


class Numbered:
    """Yields what another source yields, with its number in a column of every completion.

    Args:
        source: of the trees.
        column: name of the column.
    """

    def __init__(self, source: Source[Tree], column: str) -> None:
        self._source = source
        self._column = column
        self._number = 0

    def next(self, feedback: Feedback) -> Sequence[Tree] | None:
        """Batch k of the run, numbered k from 0 on; None when there is nothing more to train on."""
        trees = self._source.next(feedback)
        if trees is None:
            return None
        number = float(self._number)
        self._number += 1
        return with_column(trees, self._column, [[number] * len(tree.branches) for tree in trees])

    def state(self) -> dict[str, Any]:
        """The number of the next batch, and what the other source says."""
        return {"number": self._number, "source": self._source.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the batch of that number."""
        self._number = int(state["number"])
        self._source.restore(state["source"])
