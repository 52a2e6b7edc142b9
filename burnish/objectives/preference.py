"""What the preference objectives share: who is chosen, what is refused, and what is always logged.

A pair is a tree with two completions of rank 0 (chosen) and 1 (rejected), a ranking one with K of different ranks. The
chosen answer's log-prob often falls while the margin grows, and answers drift in length; both are invisible in the
loss, so they are logged for every objective, as sums over the answer's tokens in nats and as token counts:

    reward_chosen, reward_rejected    the implicit reward, as the objective defines it
    logp_chosen, logp_rejected        log-prob
    length_chosen, length_rejected    scored tokens
    gain_chosen, gain_rejected        log-ratio to the reference: what the answer has gained (+) or lost (-)
    margin, accuracy                  reward of the better less the worse; share of pairs ranked right, ties a half
    kl_proxy                          mean absolute log-ratio (lifecycle document, section 4.7, step 3.5)

In a ranking the best answer is chosen and the others are rejected; margin and accuracy are over all its pairs. An
answer without a rival is chosen or rejected by its label (KTO). Gains and kl_proxy need a reference.
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
            raise DataError(
                f"example '{tree.id}' has {len(tree.branches)} completions of ranks ({_shown(ranks)}); "
                "a preference pair has two, chosen (rank 0) and rejected (rank 1)"
            )
        if tuple(tree.branches[0].tokens) == tuple(tree.branches[1].tokens):
            raise DataError(
                f"example '{tree.id}': chosen and rejected are the same; it says nothing about preference: leave it "
                "out (if they differ in the data, truncation made them equal: raise text.max_tokens)"
            )
        if any(branch.num_scored == 0 for branch in tree.branches):
            raise DataError(f"example '{tree.id}': one of its two answers has no supervised token")
        check_whole(tree)


def check_rankings(items: Sequence[Tree]) -> None:
    """Require at least two completions, all of different rank and different tokens, in every tree.

    Raises:
        DataError: names the example and what it has.
    """
    for tree in items:
        ranks = sorted(branch.columns.get("rank", -1.0) for branch in tree.branches)
        if len(ranks) < 2 or ranks[0] < 0:
            raise DataError(
                f"example '{tree.id}' has {len(ranks)} completions of ranks ({_shown(ranks)}); "
                "a ranking has at least two, each with a rank, 0 the best"
            )
        if len(set(ranks)) < len(ranks):
            raise DataError(
                f"example '{tree.id}' has ties, ranks ({_shown(ranks)}); Plackett-Luce has no probability for a tie: "
                "keep one of the answers that share a rank, or make pairs of the answers that differ and use dpo"
            )
        if len({tuple(branch.tokens) for branch in tree.branches}) < len(ranks):
            raise DataError(f"example '{tree.id}': two of its answers are the same, and have different ranks")
        if any(branch.num_scored == 0 for branch in tree.branches):
            raise DataError(f"example '{tree.id}': one of its {len(ranks)} answers has no supervised token")
        check_whole(tree)


def check_whole(tree: Tree) -> None:
    """Require that every token counts whole or not at all: the log-prob of an answer is a plain sum.

    Raises:
        DataError: names the example and the weight.
    """
    for branch in tree.branches:
        if part := [weight for weight in branch.weights if 0 < weight < 1]:
            raise DataError(
                f"example '{tree.id}' has a turn of weight {part[0]:g}; a preference counts a turn whole or not at "
                "all: give it the weight 1 or 0 (weights between are for sft)"
            )


def num_pairs(batch: TreeBatch) -> float:
    """Pairs in a batch of pairs."""
    return batch.num_completions / 2


def split_pairs(value_C: Tensor, batch: TreeBatch) -> tuple[Tensor, Tensor]:
    """A value per completion as (chosen, rejected), each of shape (pairs,)."""
    order = torch.argsort(2 * batch.tree_C + batch.columns["rank"].long())
    return value_C[order[0::2]], value_C[order[1::2]]


def better_CC(batch: TreeBatch) -> Tensor:
    """Whether completion i ranks above completion j of the same tree. (C, C) bool"""
    rank_C = batch.columns["rank"]
    return (batch.tree_C[:, None] == batch.tree_C) & (rank_C[:, None] < rank_C)


def known_log_ratio(logp_C: Tensor, batch: TreeBatch) -> Tensor | None:
    """Log-prob less the reference's, or None where the batch has no reference."""
    reference_C = batch.columns.get("reference_logp")
    return None if reference_C is None else logp_C - reference_C


def pair_metrics(
    logp_C: Tensor, reward_C: Tensor, batch: TreeBatch, *, log_ratio_C: Tensor | None
) -> Mapping[str, Metric]:
    """The metrics of every objective on pairs and rankings.

    Args:
        logp_C: log-prob of each completion, nats.
        reward_C: implicit reward of each completion.
        batch: the pairs or rankings.
        log_ratio_C: log-prob minus the reference's; None if there is no reference.
    """
    better = better_CC(batch)
    first, second = better.nonzero(as_tuple=True)
    margin = reward_C.detach()[first] - reward_C.detach()[second]
    chosen_C = ~better.any(0)
    return {
        **margin_metrics(margin),
        **side_metrics(logp_C, reward_C, batch, chosen_C=chosen_C, rejected_C=~chosen_C, log_ratio_C=log_ratio_C),
    }


def margin_metrics(margin: Tensor) -> dict[str, Metric]:
    """Mean margin, and the share of positive ones; a margin of 0 counts one half."""
    right = (margin > 0).float() + 0.5 * (margin == 0).float()
    return {"margin": _mean(margin), "accuracy": _mean(right)}


def side_metrics(
    logp_C: Tensor,
    reward_C: Tensor,
    batch: TreeBatch,
    *,
    chosen_C: Tensor,
    rejected_C: Tensor,
    log_ratio_C: Tensor | None,
) -> dict[str, Metric]:
    """Means over the chosen and over the rejected completions, each counted by itself.

    Args:
        logp_C, reward_C: of each completion.
        batch: gives the lengths.
        chosen_C, rejected_C: which completions are which, bool; one that is neither is left out.
        log_ratio_C: log-prob minus the reference's; None if there is no reference.
    """
    values = {"reward": reward_C, "logp": logp_C, "length": batch.num_scored_C()}
    if log_ratio_C is not None:
        values["gain"] = log_ratio_C
    found: dict[str, Metric] = {}
    for name, value_C in values.items():
        found[f"{name}_chosen"] = _mean(value_C.detach()[chosen_C])
        found[f"{name}_rejected"] = _mean(value_C.detach()[rejected_C])
    if log_ratio_C is not None:
        found["kl_proxy"] = _mean(log_ratio_C.detach()[chosen_C | rejected_C].abs())
    return found


def _mean(value: Tensor) -> Mean:
    return Mean(float(value.sum()), float(len(value)))


def _shown(ranks: Sequence[float]) -> str:
    return ", ".join(f"{rank:g}" if rank >= 0 else "none" for rank in ranks)
