"""Trained pieces that stand in a transformers model beside its weights, and that can be switched off.

What peft wraps around a layer can be folded into its weights. The pieces here cannot: bottlenecks (bottleneck.py) are
layers of their own, prompts and prefixes (prompt.py, prefix.py) stand in front of the text. Switched off, the model is
bit for bit the one that they were put on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


class Attached(nn.Module):
    """A piece of an adapter.

    Attributes:
        on: whether it acts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on = True


def attached(model: nn.Module) -> list[Attached]:
    """The pieces that stand in a model, in its order."""
    return [module for module in model.modules() if isinstance(module, Attached)]


@contextmanager
def switched_off(model: nn.Module) -> Iterator[None]:
    """Run without the pieces; afterwards each is as it was."""
    pieces = [(piece, piece.on) for piece in attached(model)]
    try:
        for piece, _ in pieces:
            piece.on = False
        yield
    finally:
        for piece, on in pieces:
            piece.on = on
