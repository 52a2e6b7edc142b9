"""The source of denoising: texts in a new order every pass, each corrupted anew, as a function of the seed and k."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.models.corrupted import Corrupted
from burnish.objectives.denoising import Denoising, Text
from burnish.text.pieces import Pieces
from burnish.training.source import Feedback, Shuffled


class Corrupting:
    """Yields corrupted texts.

    Args:
        texts: to corrupt.
        objective: corrupts them.
        pieces: the vocabulary.
        batch_size: texts per update.
        seed: of the order and of what is hidden.

    Raises:
        DataError: there is no text, one is too short, or the vocabulary lacks a special token.
    """

    def __init__(
        self, texts: Sequence[Text], objective: Denoising, pieces: Pieces, *, batch_size: int, seed: int
    ) -> None:
        objective.require(pieces, texts)
        self.objective, self.pieces, self.seed = objective, pieces, seed
        self._texts: Shuffled[Any] = Shuffled(texts, batch_size=batch_size, seed=seed)

    def next(self, feedback: Feedback) -> Sequence[Corrupted]:
        """Batch k of the run."""
        number = self._texts.batch
        texts: Sequence[Text] = self._texts.next(feedback)
        return [
            self.objective.corrupted(text, self.pieces, self.seed, "corrupt", number, place)
            for place, text in enumerate(texts)
        ]

    def state(self) -> dict[str, Any]:
        """The number of the next batch."""
        return self._texts.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the batch of that number."""
        self._texts.restore(state)


def held_out_texts(texts: Sequence[Text], objective: Denoising, pieces: Pieces) -> list[Corrupted]:
    """Texts to look at, corrupted once and for all: the same places at every look and in every run."""
    objective.require(pieces, texts)
    return [objective.corrupted(text, pieces, "held out") for text in texts]
