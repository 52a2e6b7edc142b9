"""How probable a model finds documents: bits per byte, perplexity, and both by the number of tokens seen before.

    bits per byte    -sum_t log2 p(x_t | x_<t) / bytes of the documents in UTF-8
    perplexity       exp(-mean_t log p(x_t | x_<t))         compares only models with the same tokens

A document is its tokens and its end token; in front stands the token that predicts the first one. Bits per byte divide
by all bytes, so models with other tokens compare too, and the end token costs what it costs.

A model that sees `window` tokens at a time reads a longer document in windows. Each begins with `overlap` tokens that
were predicted before, so that the tokens behind them are predicted from that many at least:

    f 1 2 3 4 5 6 7 8 9        window 5, overlap 2: f [1 2 3 4] | 3 4 [5 6 7] | 6 7 [8 9]      in brackets the predicted

The interval is that of a ratio over documents: sum of bits / sum of bytes, by the variance of its residuals (Cochran
1977, Sampling Techniques, section 6.3). It says how far other documents of the kind would differ, not how far another
training run would.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from burnish.batch import Branch, Tree
from burnish.stats import Interval, mean_interval


@dataclass(frozen=True, kw_only=True)
class Text:
    """A document to measure on.

    Attributes:
        id: its name.
        tokens: ids, the end token included, (t,).
        first: the token that predicts the first one.
        num_bytes: of the text in UTF-8.
    """

    id: str
    tokens: np.ndarray
    first: int
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a model found of a document.

    Attributes:
        id, num_bytes: of the document.
        nats: -log p of each token, (t,).
        seen: tokens that it was predicted from, (t,).
    """

    id: str
    num_bytes: int
    nats: np.ndarray
    seen: np.ndarray


def windows(text: Text, *, window: int, overlap: int) -> list[Tree]:
    """A document in windows, as trees whose prompts are what is not predicted in them.

    Args:
        text: the document.
        window: tokens in a row, at least 2.
        overlap: of them, predicted in the window before; at least 1, the last one, below `window`.
    """
    tokens = [text.first, *text.tokens.tolist()]
    trees: list[Tree] = []
    start, stop = 1, min(window, len(tokens))
    while start < len(tokens):
        begin = max(0, start - overlap)
        branch = Branch(tokens=tokens[start:stop], weights=[1.0] * (stop - start))
        trees.append(Tree(id=f"{text.id}[{start - 1}]", prompt=tokens[begin:start], branches=(branch,)))
        start, stop = stop, min(stop + window - overlap, len(tokens))
    return trees


def measured(text: Text, trees: Sequence[Tree], logps: Sequence[Sequence[float]]) -> Measured:
    """What the windows of a document say together.

    Args:
        text: the document.
        trees: its windows.
        logps: log-prob of each predicted token, window by window.
    """
    seen = [np.arange(len(row)) + len(tree.prompt) for tree, row in zip(trees, logps, strict=True)]
    nats = -np.array([value for row in logps for value in row], dtype=float)
    return Measured(id=text.id, num_bytes=text.num_bytes, nats=nats, seen=np.concatenate(seen))


def text_scores(found: Sequence[Measured]) -> dict[str, Any]:
    """The figures of `scores.json`.

    Shape: `bits_per_byte` with `estimate`, `low`, `high` and `count` (documents), `nats_per_token`, `perplexity`,
    `documents`, `tokens`, `bytes`, and `by_position`: rows with `from` and `to` (tokens seen before, `to` excluded),
    `tokens` and `nats_per_token`, each twice as wide as the one before.
    """
    nats, seen = np.concatenate([one.nats for one in found]), np.concatenate([one.seen for one in found])
    mean = float(nats.mean())
    bits = bits_per_byte([float(one.nats.sum()) for one in found], [one.num_bytes for one in found])
    return {
        "bits_per_byte": dataclasses.asdict(bits),
        "nats_per_token": mean,
        "perplexity": math.exp(mean),
        "documents": len(found),
        "tokens": len(nats),
        "bytes": sum(one.num_bytes for one in found),
        "by_position": _by_position(nats, seen),
    }


def bits_per_byte(nats: Sequence[float], num_bytes: Sequence[int]) -> Interval:
    """The ratio with its interval, for nats or differences of nats of the same documents.

    Args:
        nats: of each document; two documents or more.
        num_bytes: of each document.
    """
    bits, size = np.asarray(nats) / math.log(2), np.asarray(num_bytes, dtype=float)
    ratio = float(bits.sum() / size.sum())
    return mean_interval((ratio + (bits - ratio * size) * len(size) / size.sum()).tolist())


def document_rows(found: Sequence[Measured]) -> list[Mapping[str, Any]]:
    """The rows of `documents.jsonl`: what each document cost, so that models can be compared document by document."""
    return [
        {"id": one.id, "bytes": one.num_bytes, "tokens": len(one.nats), "nats": float(one.nats.sum())} for one in found
    ]


def _by_position(nats: np.ndarray, seen: np.ndarray) -> list[dict[str, Any]]:
    rows = []
    for power in range(int(seen.max()).bit_length()):
        low, high = 1 << power, 2 << power
        inside = (seen >= low) & (seen < high)
        if inside.any():
            mean = float(nats[inside].mean())
            rows.append({"from": low, "to": high, "tokens": int(inside.sum()), "nats_per_token": mean})
    return rows
