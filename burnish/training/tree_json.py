"""Trees as JSON and back, to the bit: rollouts that wait to be trained on are part of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.batch import Branch, Tree


def tree_dict(tree: Tree) -> dict[str, Any]:
    """A tree as plain data; `tree_from` reads it back unchanged."""
    return {
        "id": tree.id,
        "prompt": list(tree.prompt),
        "branches": [
            {
                "tokens": list(branch.tokens),
                "weights": list(branch.weights),
                "columns": dict(branch.columns),
                "token_columns": {name: list(values) for name, values in branch.token_columns.items()},
            }
            for branch in tree.branches
        ],
    }


def tree_from(row: Mapping[str, Any]) -> Tree:
    """The tree that `tree_dict` wrote."""
    return Tree(
        id=row["id"],
        prompt=tuple(row["prompt"]),
        branches=tuple(
            Branch(
                tokens=tuple(branch["tokens"]),
                weights=tuple(branch["weights"]),
                columns=branch["columns"],
                token_columns={name: tuple(values) for name, values in branch["token_columns"].items()},
            )
            for branch in row["branches"]
        ),
    )
