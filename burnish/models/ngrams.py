"""An n-gram model over token ids with modified, interpolated Kneser-Ney smoothing: what a small model has to beat.

    p_k(w | h) = (c(h w) - D(c(h w))) / c(h .)  +  g(h) p_(k-1)(w | h')        h' is h without its first token
    g(h)       = (D1 N1(h .) + D2 N2(h .) + D3 N3+(h .)) / c(h .)
    p_k(w | h) = p_(k-1)(w | h')        where nothing was seen after h
    p_0(w)     = 1 / vocabulary

    Y = n1 / (n1 + 2 n2)    D1 = 1 - 2 Y n2 / n1    D2 = 2 - 3 Y n3 / n2    D3 = 3 - 4 Y n4 / n3 (three and more)

Chen and Goodman 1998, TR-10-98, section 3 (modified Kneser-Ney). c counts occurrences at the highest order; below, the
different tokens that stand in front. N1, N2 and N3+ count the tokens that follow h once, twice, more often; n_i counts
the n-grams of an order whose count is i. Where a text has none of some count, or so few that a discount is not between
0 and its count, the order takes the discounts 1/2, 1, 3/2.

A document begins with `order - 1` places that hold no token, so every n-gram is full, and none reaches across
documents. An n-gram is known by the number of its context and its last token:

    number of "a b c"  =  place of (number of "a b", c) among all such pairs that were seen, in ascending order

so any order and any vocabulary fit 64 bits, exactly. In training the number of the n-gram that ends at a token is at
hand for each order, and with it what an n-gram is without its first token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_PLAIN = np.array([0.0, 0.5, 1.0, 1.5])
"""Discounts by count (0, 1, 2, more) where they cannot be estimated."""


@dataclass(frozen=True)
class Level:
    """What was seen of one order.

    Attributes:
        pairs: context number x (vocabulary + 1) + last token of each n-gram, ascending, (g,) int64.
        share: (c(h w) - D) / c(h .) of each, (g,) float64.
        left: g(h) by context number; 1 where nothing was seen after it, (c,) float64.
        discounts: of a count of 1, of 2, of more.
    """

    pairs: np.ndarray
    share: np.ndarray
    left: np.ndarray
    discounts: tuple[float, float, float]


@dataclass(frozen=True)
class TokenNGrams:
    """A trained model; `levels[k - 1]` is of order k.

    Attributes:
        levels: lowest order first.
        vocabulary: token ids lie below it; each has some probability, seen or not.
    """

    levels: tuple[Level, ...]
    vocabulary: int

    @property
    def order(self) -> int:
        """Tokens in the longest n-gram."""
        return len(self.levels)

    @property
    def num_ngrams(self) -> int:
        """N-grams of all orders."""
        return sum(len(level.pairs) for level in self.levels)

    def log_likelihoods(self, documents: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Natural logarithm of the probability of each token, given those before it in its document.

        Args:
            documents: token ids, (t,) each.
        """
        tokens, here = _padded(documents, self.order, self.vocabulary)
        base = np.int64(self.vocabulary + 1)
        ending = np.zeros(len(tokens), np.int64)  # number of the n-gram that ends at each place, -1 if never seen
        p = np.full(len(tokens), 1 / self.vocabulary)
        for level in self.levels:
            context = _shifted(ending)
            known = context >= 0
            pairs = np.where(known, context * base + tokens, -1)
            at = np.minimum(np.searchsorted(level.pairs, pairs), len(level.pairs) - 1)
            seen = level.pairs[at] == pairs
            left = np.where(known, level.left[np.maximum(context, 0)], 1.0)
            p = np.where(seen, level.share[at], 0.0) + left * p
            ending = np.where(seen, at, -1)
        logs = np.log(p[here])
        return np.split(logs, np.cumsum([len(document) for document in documents])[:-1])


def trained_ngrams(documents: Sequence[np.ndarray], *, order: int, vocabulary: int) -> TokenNGrams:
    """Count and smooth.

    Args:
        documents: token ids, (t,) each; at least one token in all. Some 100 bytes a token are held at the most.
        order: tokens in the longest n-gram, at least 1.
        vocabulary: how many ids there are; all lie below it.
    """
    tokens, here = _padded(documents, order, vocabulary)
    base = np.int64(vocabulary + 1)
    known: list[np.ndarray] = []  # pairs of each order
    shorter: list[np.ndarray] = []  # of each n-gram, the number without its first token
    ending = np.zeros(len(tokens), np.int64)
    for _ in range(order):
        pairs, first, numbers = np.unique(_shifted(ending) * base + tokens, return_index=True, return_inverse=True)
        known.append(pairs)
        shorter.append(ending[first])
        ending = numbers.reshape(-1)
    counts = np.bincount(ending[here], minlength=len(known[-1]))
    levels: list[Level] = []
    for place in range(order - 1, -1, -1):
        contexts = len(known[place - 1]) if place else 1
        levels.append(_level(known[place], counts, known[place] // base, contexts))
        if place:  # an n-gram that ends in the padding is no event, and gives none
            counts = np.bincount(shorter[place][counts > 0], minlength=contexts)
    return TokenNGrams(tuple(reversed(levels)), vocabulary)


def _level(pairs: np.ndarray, counts: np.ndarray, context: np.ndarray, contexts: int) -> Level:
    """One order.

    Args:
        pairs: its n-grams.
        counts: what is counted of each, (g,); 0 of those that end in the padding.
        context: number of the context of each, (g,).
        contexts: how many contexts there are.
    """
    by_count = _discounts(counts)
    taken = by_count[np.minimum(counts, 3)]
    totals = np.bincount(context, weights=counts, minlength=contexts)
    rest = np.bincount(context, weights=taken, minlength=contexts)
    nothing = totals == 0
    totals = np.where(nothing, 1.0, totals)
    left = np.where(nothing, 1.0, rest / totals)
    _, once, twice, more = by_count.tolist()
    return Level(pairs, (counts - taken) / totals[context], left, (once, twice, more))


def _discounts(counts: np.ndarray) -> np.ndarray:
    """What is taken off a count of 0, 1, 2, and of more, (4,)."""
    one, two, three, four = (int((counts == size).sum()) for size in (1, 2, 3, 4))
    if not (one and two and three and four):
        return _PLAIN
    y = one / (one + 2 * two)
    found = np.array([0.0, 1 - 2 * y * two / one, 2 - 3 * y * three / two, 3 - 4 * y * four / three])
    return found if ((found >= 0) & (found <= np.arange(4))).all() else _PLAIN


def _padded(documents: Sequence[np.ndarray], order: int, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """All documents in a row, each behind `order - 1` places without a token (the id `vocabulary`).

    Returns:
        tokens: (n,) int64.
        here: which of them are tokens of a document, (n,) bool.
    """
    front = np.full(order - 1, vocabulary, np.int64)
    parts = [part for document in documents for part in (front, document.astype(np.int64))]
    tokens = np.concatenate(parts)
    return tokens, tokens < vocabulary


def _shifted(ending: np.ndarray) -> np.ndarray:
    """What ends at the place before each; the first place has none, and a document's padding hides that."""
    return np.concatenate([np.zeros(1, np.int64), ending[:-1]])
