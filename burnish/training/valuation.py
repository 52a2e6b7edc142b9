"""What methods make of graded groups: advantages for policy gradients, pairs for online DPO.

    scores ─┬─ less the KL from the reference, token by token ─┬─ a baseline from the answers beside (group methods)
            └─ as they are (KL in the loss, or none)           └─ GAE over the critic's values (PPO)

Log-probs and values are computed with the micro-batches that the update will use, so that the ratio of a policy that
has not moved is exactly 1 in float32. A rollout that is worth one update, and of which no KL is wanted, skips the pass
for `old_logp`: the objective then takes its own log-probs, detached.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from burnish.batch import Branch, Tree
from burnish.config import setting, settings
from burnish.divergences import estimated
from burnish.sampling.advantages import gae, group_advantages, token_rewards, whitened
from burnish.sampling.kl_control import KLController
from burnish.training.columns import with_column
from burnish.training.groups import Group

Row = Sequence[float]
"""A number for each token of an answer."""

TokenRows = Callable[[Sequence[Tree]], Sequence[Sequence[Row]]]
"""Numbers of every token: for each tree and each of its answers a row, computed as the update will compute them."""


@dataclass(kw_only=True)
class Measured:
    """What is computed on the trainer's own path before a rollout is trained on.

    Attributes:
        policy: log-probs under the policy as it is now.
        reference: log-probs under the reference; None if no KL is wanted.
        critic: the values of the states before each token; None without a critic.
    """

    policy: TokenRows
    reference: TokenRows | None = None
    critic: TokenRows | None = None


@settings
class GroupBaseline:
    """Advantages of an answer from those beside it; every token of an answer has the same."""

    baseline: Literal["normalised", "mean_only", "leave_one_out", "rollout_mean", "none"] = setting(
        "normalised",
        "normalised: (reward - mean of the group) / its standard deviation; mean_only: without the division; "
        "leave_one_out: less the mean of the others in the group; rollout_mean: less the mean of the whole rollout; "
        "none: the reward itself",
    )


@settings
class GAE:
    """Advantages of each token from a critic (Schulman et al. 2016)."""

    discount: float = setting(1.0, "gamma: what a reward one token later is worth", gt=0, le=1)
    trace: float = setting(0.95, "lambda: 0 trusts the critic, 1 the reward that came", ge=0, le=1)
    whiten: bool = setting(True, "shift and scale advantages to mean 0 and spread 1 over the tokens of a rollout")


Advantages = GroupBaseline | GAE


class PolicyValuation:
    """Advantages for policy gradients.

    Args:
        measured: the trainer's own path.
        advantages: how they are made; GAE needs `measured.critic`.
        kl: what the KL from the reference costs in the reward, and its limit.
        updates: updates that a rollout is worth; one needs no `old_logp`.
    """

    def __init__(self, measured: Measured, advantages: Advantages, kl: KLController, *, updates: int) -> None:
        self.measured = measured
        self.advantages = advantages
        self.kl = kl
        self.updates = updates

    def valued(self, batches: Sequence[Sequence[Group]]) -> tuple[list[list[Tree]], dict[str, float]]:
        """Trees with every column that a policy-gradient objective may read, and figures."""
        trees = [tree for batch in batches for tree in self._measured([group.tree for group in batch])]
        groups = [group for batch in batches for group in batch]
        rewards = [self._rewards(tree, group.scores) for tree, group in zip(trees, groups, strict=True)]
        figures = self._hear(trees)
        if isinstance(self.advantages, GAE):
            trees, more = _by_critic(trees, rewards, self.advantages)
        else:
            trees, more = _by_rivals(trees, rewards, self.advantages), {}
        ends = [sum(len(batch) for batch in batches[: index + 1]) for index in range(len(batches))]
        cut = [trees[end - len(batch) : end] for end, batch in zip(ends, batches, strict=True)]
        return cut, {**figures, **more}

    def spent(self) -> str:
        """Says so when the rollout is further from the reference than the budget allows."""
        return self.kl.spent()

    def state(self) -> dict[str, Any]:
        """The controller's."""
        return self.kl.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with the controller where it was."""
        self.kl.restore(state)

    def _measured(self, trees: Sequence[Tree]) -> list[Tree]:
        """The trees of one update with what is computed on the trainer's path."""
        found = list(trees)
        reference, critic = self.measured.reference, self.measured.critic
        if self.updates > 1 or reference is not None:
            found = with_rows(found, "old_logp", self.measured.policy(trees))
        if reference is not None:
            found = with_rows(found, "reference_logp", reference(trees))
        if critic is not None:
            found = with_rows(found, "old_value", critic(trees))
        return found

    def _hear(self, trees: Sequence[Tree]) -> dict[str, float]:
        """Figures of the KL from the reference; the controller changes its weight for the next rollout by them."""
        if self.measured.reference is None:
            return {}
        ratios = [_log_ratio(branch) for tree in trees for branch in tree.branches]
        figures = {"kl": statistics.fmean(float(ratio.sum()) for ratio in ratios), "kl_weight": self.kl.weight}
        self.kl.update(figures["kl"], len(ratios))
        return figures if self.kl.weight else {"kl": figures["kl"]}

    def _rewards(self, tree: Tree, scores: Sequence[float]) -> list[list[float]]:
        """The reward of each token of each answer: the score on the last one, the KL's price on all."""
        return [
            token_rewards(score, self._kl_row(branch), self.kl.weight)
            for branch, score in zip(tree.branches, scores, strict=True)
        ]

    def _kl_row(self, branch: Branch) -> list[float]:
        """The KL of each token by the estimator of the settings; zeros where it costs nothing."""
        if not self.kl.weight:
            return [0.0] * len(branch.tokens)
        row: list[float] = estimated(_log_ratio(branch), self.kl.control.estimator).tolist()
        return row


class PairValuation:
    """Pairs for online DPO (Guo et al. 2024): the best against the worst answer of each group.

    Args:
        reference: log-probs under the reference, None where the objective needs none.
    """

    def __init__(self, reference: TokenRows | None) -> None:
        self.reference = reference

    def valued(self, batches: Sequence[Sequence[Group]]) -> tuple[list[list[Tree]], dict[str, float]]:
        """A pair of every group that has a difference; of equal scores the answer that was drawn first stands."""
        pairs = [[_pair(group) for group in batch if not group.all_equal] for batch in batches]
        found = [self._with_reference(batch) for batch in pairs if batch]
        gaps = [max(group.scores) - min(group.scores) for batch in batches for group in batch]
        return found, {"pairs": sum(map(len, found)), "reward_gap": statistics.fmean(gaps)}

    def spent(self) -> str:
        """Pairs have no budget."""
        return ""

    def state(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to go on with."""

    def _with_reference(self, trees: Sequence[Tree]) -> list[Tree]:
        if self.reference is None:
            return list(trees)
        sums = [[sum(row) for row in rows] for rows in self.reference(trees)]
        return with_column(trees, "reference_logp", sums)


def _pair(group: Group) -> Tree:
    """The best and the worst answer, ranked, without what was noted on their tokens."""
    order = sorted(range(len(group.scores)), key=lambda place: (-group.scores[place], place))
    chosen, rejected = order[0], next(p for p in order if group.scores[p] == min(group.scores))
    branches = [
        replace(group.tree.branches[place], columns={"rank": float(rank)}, token_columns={})
        for rank, place in enumerate((chosen, rejected))
    ]
    return replace(group.tree, branches=tuple(branches))


def _by_rivals(trees: Sequence[Tree], rewards: Sequence[Sequence[Row]], how: GroupBaseline) -> list[Tree]:
    """Each answer's whole reward less a baseline, on every one of its tokens."""
    sums = [[sum(row) for row in rows] for rows in rewards]
    if how.baseline == "none":
        advantages = sums
    elif how.baseline == "rollout_mean":
        mean = statistics.fmean(reward for row in sums for reward in row)
        advantages = [[reward - mean for reward in row] for row in sums]
    else:
        advantages = [group_advantages(row, how.baseline) for row in sums]
    spread = [
        [[advantage] * len(branch.tokens) for advantage, branch in zip(row, tree.branches, strict=True)]
        for row, tree in zip(advantages, trees, strict=True)
    ]
    return with_rows(trees, "advantage", spread)


def _by_critic(
    trees: Sequence[Tree], rewards: Sequence[Sequence[Row]], how: GAE
) -> tuple[list[Tree], dict[str, float]]:
    """Advantages and returns of each token."""
    found = [
        [
            gae(row, branch.token_columns["old_value"], discount=how.discount, trace=how.trace)
            for row, branch in zip(rows, tree.branches, strict=True)
        ]
        for tree, rows in zip(trees, rewards, strict=True)
    ]
    flat = [advantages for rows in found for advantages, _ in rows]
    each = iter(whitened(flat) if how.whiten else flat)
    advantages = [[next(each) for _ in rows] for rows in found]
    returns = [[target for _, target in rows] for rows in found]
    values = [value for tree in trees for branch in tree.branches for value in branch.token_columns["old_value"]]
    targets = [value for rows in returns for row in rows for value in row]
    figures = {"value": statistics.fmean(values), "return": statistics.fmean(targets)}
    return with_rows(with_rows(trees, "advantage", advantages), "return", returns), figures


def _log_ratio(branch: Branch) -> torch.Tensor:
    """log pi - log reference of each token, on the policy's own samples."""
    columns = branch.token_columns
    return torch.tensor(columns["old_logp"]) - torch.tensor(columns["reference_logp"])


def with_rows(trees: Sequence[Tree], name: str, rows: Sequence[Sequence[Row]]) -> list[Tree]:
    """The trees with one more number on each token."""
    return [
        replace(
            tree,
            branches=tuple(
                replace(branch, token_columns={**branch.token_columns, name: tuple(row)})
                for branch, row in zip(tree.branches, of_tree, strict=True)
            ),
        )
        for tree, of_tree in zip(trees, rows, strict=True)
    ]
