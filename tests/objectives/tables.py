"""Batches written as tables of log-probs, so that a loss can be computed without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from burnish.batch import Branch, Tree, TreeBatch, pack

Answer = Sequence[float]
"""The log-prob of each token of an answer, nats."""


def branch(
    answer: Answer, *, first_token: int = 10, weights: Sequence[float] | None = None, **columns: float
) -> Branch:
    """An answer of as many tokens as there are log-probs."""
    tokens = [first_token + place for place in range(len(answer))]
    return Branch(tokens=tokens, weights=weights or [1.0] * len(answer), columns=columns)


def pair(name: str, chosen: Answer, rejected: Answer, reference: tuple[float, float] | None = None) -> Tree:
    """A preference pair; `reference` holds the log-probs of both answers under the reference."""
    columns: list[dict[str, float]] = [{"rank": 0.0}, {"rank": 1.0}]
    if reference is not None:
        for own, value in zip(columns, reference, strict=True):
            own["reference_logp"] = value
    answers = (branch(chosen, first_token=10, **columns[0]), branch(rejected, first_token=30, **columns[1]))
    return Tree(id=name, prompt=[1, 2], branches=answers)


def batch_of(trees: Sequence[Tree], logps: Mapping[str, Sequence[Answer]]) -> tuple[TreeBatch, Tensor]:
    """The batch of `trees`, and the log-probs (N,) of its scored tokens, which ask for a gradient.

    Args:
        trees: in the order in which they are packed.
        logps: per tree, the answers' log-probs in the order of its branches.
    """
    values = [
        value
        for tree in trees
        for own, answer in zip(tree.branches, logps[tree.id], strict=True)
        for value, weight in zip(answer, own.weights, strict=True)
        if weight > 0
    ]
    return pack(trees), torch.tensor(values, dtype=torch.float64, requires_grad=True)
