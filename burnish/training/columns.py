"""Columns that are computed once, before training, with the model as it starts: reference log-probs.

The reference of a preference run is the policy it started from. Its log-probs do not change during the run, so no
second model is held in memory: they are computed in one pass without gradient, by the same part and numerics as in
training, and kept beside the run. With an adapter the pass runs with the adapter off.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from burnish.batch import Tree
from burnish.training.plan import plan


@torch.no_grad()
def completion_logps(
    module: nn.Module,
    trees: Sequence[Tree],
    *,
    budget: int,
    cost: Callable[[Sequence[Tree]], int],
    device: torch.device,
) -> list[tuple[float, ...]]:
    """Summed log-prob of each completion of each tree, nats.

    Args:
        module: provides `logp`.
        trees: the data.
        budget: tokens that are computed together.
        cost: tokens that a group of trees takes.
        device: where the module is.

    Raises:
        OverBudget: a tree does not fit.
    """
    module.eval()
    numbered = [replace(tree, id=str(index)) for index, tree in enumerate(trees)]
    found: dict[str, tuple[float, ...]] = {}
    for micro in plan(numbered, budget=budget, coupling="group", cost=cost)[0]:
        batch = Tree.collate(micro.items).to(device)
        sums = batch.sum_C(module(batch, frozenset({"logp"}), {})["logp"]).tolist()
        for tree in micro.items:
            found[tree.id] = tuple(sums[: len(tree.branches)])
            del sums[: len(tree.branches)]
    return [found[tree.id] for tree in numbered]


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


def kept(path: Path, identity: Mapping[str, Any], compute: Callable[[], list[tuple[float, ...]]]) -> list[Any]:
    """What `compute` gives, kept in a file and read back where the identity is the same.

    Args:
        path: of the file.
        identity: everything that the values depend on, as JSON.
        compute: makes the values.
    """
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    if path.is_file():
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["key"] == key:
            return list(record["values"])
    values = compute()
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(json.dumps({"key": key, "values": values}), encoding="utf-8")
    beside.replace(path)
    return values


def trees_digest(trees: Sequence[Tree]) -> str:
    """A digest of all tokens and weights, in order."""
    digest = hashlib.sha256()
    for tree in trees:
        branches = [(list(branch.tokens), list(branch.weights)) for branch in tree.branches]
        digest.update(json.dumps([list(tree.prompt), branches]).encode())
    return digest.hexdigest()
