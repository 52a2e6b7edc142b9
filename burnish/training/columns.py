"""Numbers of every completion, computed in one pass without gradient: reference log-probs, scores of a reward model.

The reference of a preference run is the policy it started from, unless another is named. Its log-probs do not change
during the run, so no second model is held in memory: they are computed in one pass without gradient, by the same
numerics as in training, and kept for other runs (`burnish.store.columns`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from burnish.batch import Branch, Tree, TreeBatch
from burnish.training.parallel import Ranks
from burnish.training.plan import MicroBatch, plan


def completion_logps(
    module: nn.Module,
    trees: Sequence[Tree],
    *,
    budget: int,
    cost: Callable[[Sequence[Tree]], int],
    device: torch.device,
    ranks: Ranks | None = None,
) -> list[tuple[float, ...]]:
    """Summed log-prob of each completion of each tree, nats.

    Args:
        module: provides `logp`.
        trees: the data.
        budget: tokens that are computed together.
        cost: tokens that a group of trees takes.
        device: where the module is.
        ranks: who shares the work, all of whom call this; None computes all of it here.

    Raises:
        OverBudget: a tree does not fit.
    """

    def sums(batch: TreeBatch) -> Tensor:
        return batch.sum_C(module(batch, frozenset({"logp"}), {})["logp"])

    return _by_tree(module, trees, sums, budget=budget, cost=cost, device=device, ranks=ranks)


def completion_scores(
    part: nn.Module,
    trees: Sequence[Tree],
    *,
    budget: int,
    cost: Callable[[Sequence[Tree]], int],
    device: torch.device,
) -> list[tuple[float, ...]]:
    """Score of each completion of each tree, by the first head.

    Args:
        part: provides `score`.
        trees, budget, cost, device: as for `completion_logps`.

    Raises:
        OverBudget: a tree does not fit.
    """

    def score(batch: TreeBatch) -> Tensor:
        found: Tensor = part(batch, frozenset({"score"}), {})["score"]
        return found

    return _by_tree(part, trees, score, budget=budget, cost=cost, device=device)


def head_scores(
    part: nn.Module,
    trees: Sequence[Tree],
    *,
    budget: int,
    cost: Callable[[Sequence[Tree]], int],
    device: torch.device,
) -> list[tuple[tuple[float, ...], ...]]:
    """Scores of each completion of each tree by every head of an ensemble: `found[tree][completion][head]`.

    Args:
        part: provides `scores`.
        trees, budget, cost, device: as for `completion_logps`.

    Raises:
        OverBudget: a tree does not fit.
    """

    def scores(batch: TreeBatch) -> Tensor:
        found: Tensor = part(batch, frozenset({"scores"}), {})["scores"]
        return found

    rows = _by_tree(part, trees, scores, budget=budget, cost=cost, device=device)
    return [tuple(tuple(heads) for heads in row) for row in rows]


@torch.no_grad()
def _by_tree(
    module: nn.Module,
    trees: Sequence[Tree],
    value_C: Callable[[TreeBatch], Tensor],
    *,
    budget: int,
    cost: Callable[[Sequence[Tree]], int],
    device: torch.device,
    ranks: Ranks | None = None,
) -> list[Any]:
    """What `value_C` gives for each completion (a number, or a list of them), tree by tree, in the order of `trees`."""
    index, count = (0, 1) if ranks is None else (ranks.index, ranks.count)
    module.eval()
    numbered = [replace(tree, id=str(index)) for index, tree in enumerate(with_shared_columns(trees))]
    found: dict[str, tuple[Any, ...]] = {}
    for micro in plan(numbered, budget=budget, coupling="group", ranks=count, cost=cost)[index]:
        batch = Tree.collate(micro.items).to(device)
        values = value_C(batch).tolist()
        for tree in micro.items:
            found[tree.id] = tuple(values[: len(tree.branches)])
            del values[: len(tree.branches)]
    for own in [found] if ranks is None else ranks.gathered(found):
        found |= own
    return [found[tree.id] for tree in numbered]


@torch.no_grad()
def token_rows(
    module: nn.Module,
    output: str,
    trees: Sequence[Tree],
    *,
    micros: Callable[[Sequence[Tree]], Sequence[Sequence[MicroBatch[Tree]]]],
    device: torch.device,
    ranks: Ranks,
) -> list[list[list[float]]]:
    """A number of every scored token: `found[tree][completion][token]`, of token t what predicts it.

    Args:
        module: provides `output`, (N,).
        output: its name, such as `logp` or `value`.
        trees: every token of their completions has a weight.
        micros: cuts them for every rank as the update will, so that the numbers are the update's to the last bit.
        device: where the module is.
        ranks: who shares the work; all of them call this.
    """
    module.eval()
    counts = [len(tree.branches) for tree in trees]
    starts = [sum(counts[:index]) for index in range(len(counts))]
    places = [[float(start + offset) for offset in range(count)] for start, count in zip(starts, counts, strict=True)]
    found: dict[int, list[float]] = {}
    for micro in micros(with_column(trees, "place", places))[ranks.index]:
        batch = Tree.collate(micro.items).to(device)
        values = module(batch, frozenset({output}), {})[output].split(batch.num_scored_C().long().tolist())
        for place, row in zip(batch.columns["place"].long().tolist(), values, strict=True):
            found[place] = row.tolist()
    for own in ranks.gathered(found):
        found |= own
    return [[found[start + offset] for offset in range(count)] for start, count in zip(starts, counts, strict=True)]


def with_column(trees: Sequence[Tree], name: str, values: Sequence[Sequence[float]]) -> list[Tree]:
    """The trees with one more number on each completion."""
    return [
        replace(
            tree,
            branches=tuple(
                replace(branch, columns={**branch.columns, name: value})
                for branch, value in zip(tree.branches, row, strict=True)
            ),
        )
        for tree, row in zip(trees, values, strict=True)
    ]


def with_shared_columns(trees: Sequence[Tree]) -> list[Tree]:
    """The trees with the columns that every completion carries: data may bring a score or a rank in some rows only."""
    carried = [branch.columns.keys() for tree in trees for branch in tree.branches]
    shared = set.intersection(*map(set, carried)) if carried else set()
    if all(len(names) == len(shared) for names in carried):
        return list(trees)
    return [replace(tree, branches=tuple(_only(branch, shared) for branch in tree.branches)) for tree in trees]


def _only(branch: Branch, names: set[str]) -> Branch:
    return replace(branch, columns={name: value for name, value in branch.columns.items() if name in names})


def trees_digest(trees: Sequence[Tree]) -> str:
    """A digest of all tokens and weights, in order."""
    digest = hashlib.sha256()
    for tree in trees:
        branches = [(list(branch.tokens), list(branch.weights)) for branch in tree.branches]
        digest.update(json.dumps([list(tree.prompt), branches]).encode())
    return digest.hexdigest()
