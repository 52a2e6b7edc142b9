"""Tokens of texts, where somebody names a tokenizer: counted when a document is read, and again when it was edited.

Which tokenizer, and how it is loaded, is said by whoever starts the run: the data engine knows none. Without one,
texts are measured in bytes and in words between white space alone, which cost nothing beside the rest.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

WORDS = "words between white space"
"""The unit of a run that names no tokenizer."""


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """A tokenizer to count by.

    Attributes:
        name: as the recipe says it, and as `load` takes it.
        digest: stands for its vocabulary and rules.
        load: gives what counts the tokens of a text; a plain function of a module, so that another process finds it.
    """

    name: str
    digest: str
    load: Callable[[str], Callable[[str], int]]

    def counts(self, texts: Sequence[str]) -> np.ndarray:
        """Tokens of each text, (n,) int64."""
        return np.fromiter(map(_loaded(self), texts), np.int64, len(texts))

    @property
    def unit(self) -> str:
        """What is counted, for people."""
        return f"tokens of {self.name}"


@functools.lru_cache(maxsize=4)
def _loaded(tokens: Tokens) -> Callable[[str], int]:
    """What counts; loaded once per process."""
    return tokens.load(tokens.name)
