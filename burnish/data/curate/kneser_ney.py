"""A byte n-gram model with interpolated Kneser-Ney smoothing (Kneser and Ney 1995; Chen and Goodman 1999, section 2.8).

    p_k(w | h) = (c(h w) - D_k) / c(h .) + D_k N(h .) / c(h .) · p_(k-1)(w | h')      h' is h without its first byte
    p_k(w | h) = p_(k-1)(w | h')                                                    where h was never seen
    p_0(w)     = 1 / 256

c counts occurrences at the highest order; below, the different bytes that stand in front of the n-gram. N(h .) is how
many different bytes follow h. The discount is D_k = n_1 / (n_1 + 2 n_2), where n_i n-grams have the count i; 1/2 if
n_1 or n_2 is 0, which only tiny samples have.

Bytes rather than words: the alphabet is closed, so nothing is unknown, any script works, a trusted sample of a megabyte
is enough, and an n-gram of at most 8 bytes is one 64-bit number, exact and without collisions. A text begins with
padding, a byte that UTF-8 does not have, so each n-gram is full. The last byte of an n-gram is the lowest of its
number: the number without it is the context, and the low bits are the n-gram of the order below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.data.curate.atomic import whole

MAX_ORDER = 8
_BYTE = np.uint64(8)
_PADDING = 255
_PIECE = 1 << 20
"""Bytes of a text that are looked at together, so that memory does not grow with a text."""


@dataclass(frozen=True)
class Level:
    """What is known of one order.

    Attributes:
        grams: the n-grams that were seen, ascending, (g,) uint64.
        log_p: ln p of each, interpolated with the orders below, (g,) float32.
        contexts: the contexts that were seen, ascending, (c,) uint64.
        log_rest: ln of what is left to the order below in each context, (c,) float32.
    """

    grams: np.ndarray
    log_p: np.ndarray
    contexts: np.ndarray
    log_rest: np.ndarray


@dataclass(frozen=True)
class NGrams:
    """A trained model; `levels[k - 1]` is of order k."""

    levels: tuple[Level, ...]

    @property
    def order(self) -> int:
        """Bytes in the longest n-gram."""
        return len(self.levels)

    def log_likelihoods(self, texts: Sequence[str]) -> np.ndarray:
        """Natural logarithm of the probability of each text, (n,) float64."""
        sums = np.zeros(len(texts))
        for group in _groups([text.encode() for text in texts], self.order - 1):
            windows = [_windows(piece, self.order, begins) for _, piece, begins in group]
            different, places = np.unique(np.concatenate(windows), return_inverse=True)
            of_piece = np.repeat(np.arange(len(group)), [len(found) for found in windows])
            parts = np.bincount(of_piece, weights=self._log_p(different)[places], minlength=len(group))
            for (row, _, _), part in zip(group, parts.tolist(), strict=True):
                sums[row] += part
        return sums

    def _log_p(self, windows: np.ndarray) -> np.ndarray:
        """ln p of the last byte of each window after the others, (w,) float64."""
        found = np.full(len(windows), -np.log(256.0))
        for order, level in enumerate(self.levels, start=1):
            grams = windows & _mask(order)
            at, is_context = _places(level.contexts, grams >> _BYTE)
            found = found + np.where(is_context, level.log_rest[at], 0.0)
            at, is_gram = _places(level.grams, grams)
            found = np.where(is_gram, level.log_p[at], found)
        return found

    def save(self, path: Path) -> None:
        """Write the model; the same model gives the same bytes."""
        arrays = {f"{name}{k}": array for k, level in enumerate(self.levels) for name, array in vars(level).items()}
        with whole(path) as beside, beside.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> NGrams:
        """Read a model that `save` wrote."""
        names = ("grams", "log_p", "contexts", "log_rest")
        with np.load(path, allow_pickle=False) as held:
            orders = len(held.files) // len(names)
            return cls(tuple(Level(*(held[f"{name}{k}"] for name in names)) for k in range(orders)))


def trained(texts: Sequence[str], order: int) -> NGrams:
    """Train a model.

    Args:
        texts: at least one byte of text in all. One 64-bit number per byte is sorted in memory.
        order: bytes in the longest n-gram, 1 to 8.
    """
    windows = np.concatenate([_windows(text.encode(), order, begins=True) for text in texts])
    counted = [np.unique(windows, return_counts=True)]
    for lower in range(order - 1, 0, -1):
        counted.append(np.unique(counted[-1][0] & _mask(lower), return_counts=True))
    levels: list[Level] = []
    below = np.array([1 / 256])
    for number, (grams, counts) in enumerate(reversed(counted), start=1):
        at = np.searchsorted(levels[-1].grams, grams & _mask(number - 1)) if levels else np.zeros(len(grams), np.int64)
        level, below = _level(grams, counts, below[at])
        levels.append(level)
    return NGrams(tuple(levels))


def _level(grams: np.ndarray, counts: np.ndarray, below: np.ndarray) -> tuple[Level, np.ndarray]:
    """One order, and the probability of each of its n-grams, (g,) float64.

    Args:
        grams, counts: the n-grams, ascending, and what is counted of each.
        below: the probability of each by the order below, (g,).
    """
    discount = _discount(counts)
    contexts, starts, sizes = np.unique(grams >> _BYTE, return_index=True, return_counts=True)
    totals = np.add.reduceat(counts, starts)
    rest = discount * sizes / totals
    p = (counts - discount) / np.repeat(totals, sizes) + np.repeat(rest, sizes) * below
    return Level(grams, np.log(p).astype(np.float32), contexts, np.log(rest).astype(np.float32)), p


def _discount(counts: np.ndarray) -> float:
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return once / (once + 2 * twice) if once and twice else 0.5


def _mask(order: int) -> np.uint64:
    return np.uint64((1 << 8 * order) - 1)


def _places(known: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where in `known` each number stands, and whether it does."""
    at = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return at, known[at] == asked


def _windows(data: bytes, order: int, begins: bool) -> np.ndarray:
    """For each byte the n-gram that ends with it, (b,) uint64.

    Args:
        data: a text; or, if it does not begin one, `order - 1` bytes of context before what is looked at.
        order: bytes in an n-gram.
        begins: whether the text begins here.
    """
    front = bytes([_PADDING] * (order - 1)) if begins else b""
    padded = np.frombuffer(front + data, np.uint8).astype(np.uint64)
    count = len(padded) - order + 1
    found = np.zeros(count, np.uint64)
    for shift in range(order):
        found = (found << _BYTE) | padded[shift : shift + count]
    return found


def _groups(data: Sequence[bytes], context: int) -> Iterator[list[tuple[int, bytes, bool]]]:
    """The texts in pieces (row, bytes, whether the text begins there), some megabytes at a time.

    How a text is cut follows from the text alone, so its sum is the same beside any others.
    """
    group: list[tuple[int, bytes, bool]] = []
    size = 0
    for row, text in enumerate(data):
        for start in range(0, len(text), _PIECE):
            group.append((row, text[max(start - context, 0) : start + _PIECE], start == 0))
            size += len(group[-1][1])
            if size >= 4 * _PIECE:
                yield group
                group, size = [], 0
    if group:
        yield group
