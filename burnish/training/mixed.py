"""The source of pretraining from token files: segments of several domains, drawn by a mixture.

Batch k is a function of the seed and k: draw i of the run is a domain and a number (`burnish.data.mixing.draws`), the
number is an epoch and a place in it, and the place goes to a segment by the order of that epoch
(`burnish.data.mixing.order`). So a run goes on at any batch without going through those before it, and nothing is held
but the number of the next batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.batch import Tree
from burnish.data.mixing.draws import Draws
from burnish.data.mixing.order import shuffled_place
from burnish.data.tokens.segments import Segments
from burnish.numerics import seed_from
from burnish.training.source import Feedback


class Mixed:
    """Segments by a mixture; ends when every domain has reached its bound. The last batch may be smaller.

    Args:
        segments: of each domain, in the order of the domains of `draws`.
        draws: which domain comes when.
        batch_size: segments per update.
        seed: of the order of each domain's segments.
    """

    def __init__(self, segments: Sequence[Segments], draws: Draws, *, batch_size: int, seed: int) -> None:
        self.segments = segments
        self.draws = draws
        self.batch_size = batch_size
        self.seed = seed
        self.batch = 0

    def next(self, feedback: Feedback) -> Sequence[Tree] | None:
        """The trees of batch k of the run, None after the last."""
        drawn = self.drawn()
        return None if drawn is None else [tree for _, trees in drawn for tree in trees]

    def drawn(self) -> list[tuple[int, list[Tree]]] | None:
        """Batch k of the run, segment by segment: the number of its domain, and its trees. None after the last."""
        first = self.batch * self.batch_size
        stop = first + self.batch_size if self.draws.count is None else min(first + self.batch_size, self.draws.count)
        if first >= stop:
            return None
        self.batch += 1
        return [(self.draws.at(draw)[0], self._trees(draw)) for draw in range(first, stop)]

    def state(self) -> dict[str, Any]:
        """The number of the next batch."""
        return {"batch": self.batch}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the batch of that number."""
        self.batch = int(state["batch"])

    def _trees(self, draw: int) -> list[Tree]:
        domain, before = self.draws.at(draw)
        segments = self.segments[domain]
        epoch, place = divmod(before, len(segments))
        seed = seed_from(self.seed, "segments", self.draws.domains[domain].name, epoch)
        return segments.trees(shuffled_place(place, len(segments), seed))
