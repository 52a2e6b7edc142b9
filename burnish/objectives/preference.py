"""What the objectives on preference pairs share: who is chosen, and what is always logged.

A pair is a tree with two completions of rank 0 (chosen) and 1 (rejected). The chosen answer's log-prob often falls
while the margin grows, and answers drift in length; both are invisible in the loss, so they are logged for every pair
objective, as sums over the answer's tokens in nats and as token counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from burnish.batch import Tree, TreeBatch
from burnish.errors import DataError
from burnish.metrics import Mean, Metric


def check_pairs(items: Sequence[Tree]) -> None:
    """Require two completions of rank 0 and 1 with different tokens in every tree.

    Raises:
        DataError: names the example and what it has.
    """
    for tree in items:
        ranks = sorted(branch.columns.get("rank", -1.0) for branch in tree.branches)
        if ranks != [0.0, 1.0]:
            found = ", ".join(f"{rank:g}" if rank >= 0 else "none" for rank in ranks)
            raise DataError(
                f"example '{tree.id}' has {len(tree.branches)} completions of ranks ({found}); "
                "a preference pair has two, chosen (rank 0) and rejected (rank 1)"
            )
        if tuple(tree.branches[0].tokens) == tuple(tree.branches[1].tokens):
            raise DataError(f"example '{tree.id}': chosen and rejected are the same; it says nothing about preference")
        if any(branch.num_scored == 0 for branch in tree.branches):
            raise DataError(f"example '{tree.id}': one of its two answers has no supervised token")


def num_pairs(batch: TreeBatch) -> float:
    """Pairs in a batch of pairs."""
    return batch.num_completions / 2


def split_pairs(value_C: Tensor, batch: TreeBatch) -> tuple[Tensor, Tensor]:
    """A value per completion as (chosen, rejected), each of shape (pairs,)."""
    order = torch.argsort(2 * batch.tree_C + batch.columns["rank"].long())
    return value_C[order[0::2]], value_C[order[1::2]]


def pair_metrics(
    logp_C: Tensor, reward_C: Tensor, batch: TreeBatch, *, log_ratio_C: Tensor | None
) -> Mapping[str, Metric]:
    """The metrics of every pair objective.

    Args:
        logp_C: log-prob of each completion, nats.
        reward_C: implicit reward of each completion.
        batch: the pairs.
        log_ratio_C: log-prob minus the reference's, for the KL proxy of the lifecycle document (section 4.7, step 3.5);
            None if there is no reference.
    """
    count = num_pairs(batch)
    chosen, rejected = split_pairs(reward_C.detach(), batch)
    margin = chosen - rejected
    means = {"margin": margin, "accuracy": (margin > 0).float() + 0.5 * (margin == 0).float()}
    for name, value_C in {"reward": reward_C, "logp": logp_C, "length": batch.num_scored_C()}.items():
        means[f"{name}_chosen"], means[f"{name}_rejected"] = split_pairs(value_C.detach(), batch)
    metrics: dict[str, Metric] = {name: Mean(float(value.sum()), count) for name, value in means.items()}
    if log_ratio_C is not None:
        metrics["kl_proxy"] = Mean(float(log_ratio_C.detach().abs().sum()), 2 * count)
    return metrics
