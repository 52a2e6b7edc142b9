"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024, eq. 8): single answers, each desirable or not.

    r(x, y) = log pi(y|x) - log ref(y|x)
    z       = max(0, mean of r(x_i, y_j) over mismatched pairs, j != i)                 an estimate of KL(pi || ref)
    v       = lambda_D sigmoid(beta (r - z)) if y is desirable, lambda_U sigmoid(beta (z - r)) if not
    L       = mean of lambda_y - v

An answer is a gain or a loss measured from the reference point z, which has no gradient. beta stands once, on r - z
(the lifecycle document's r already holds it; see `docs/errata.md`). Where a policy raises everything, z rises with it
and desirable answers stop counting as gains. The paper wants lambda_D n_D / (lambda_U n_U) between 1 and 4/3 for n_D
desirable and n_U undesirable answers.

The pool. z is a `statistic`: it is computed before the first backward pass over the whole global batch. Each example
brings mismatched answers, answers of other examples behind its own prompt (`with_mismatched`), as many as make `pool`
of them in every global batch: pool / batch_size each. So z is a mean over `pool` pairs whatever the batch size, the
micro-batches and the number of processes are. In evaluation the pool is that of all the examples looked at.

The cost. Let a prompt have p and an answer a tokens, and m = pool / batch_size. The tree computes the prompt once, so
an update computes p + (1 + m) a tokens per example, forward in the pre-pass, then forward and backward: 4/3 times the
work of one pass, and (1 + m) times the answers. At m = 1 and p = a that is twice the work of a loss without z, and the
reference pass is one and a half times as long. No token is scored to its loss, so nothing flows back through a
mismatched answer, but its micro-batch is computed backward with the rest.

Pairs may be given too: a chosen answer counts as desirable, a rejected one as not.

Worked: beta 0.5, z = 1, lambda 1. A desirable answer with r = 3: 1 - sigmoid(1) = 0.2689414. An undesirable one with
r = 0: 1 - sigmoid(0.5) = 0.3775407. Their mean is 0.3232410.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from burnish.batch import Branch, Tree, TreeBatch
from burnish.config import setting, settings
from burnish.errors import DataError
from burnish.metrics import Mean, Metric, Number, Sum
from burnish.numerics import seed_from
from burnish.objectives.objective import Coupling, Loss, Objective, Outputs
from burnish.objectives.preference import check_whole, margin_metrics, side_metrics

TRIES = 1000
"""Draws for one mismatched answer before the data are refused: the prompts are then nearly all the same."""


@settings
class KTO(Objective):
    """Make desirable answers likelier and undesirable ones less so, measured from how far the policy has moved."""

    kind: Literal["kto"] = setting("kto", "Kahneman-Tversky optimisation")
    beta: float = setting(0.1, "risk aversion; larger saturates sooner and stays closer to the reference", gt=0)
    desirable_weight: float = setting(1.0, "lambda_D, of gains", ge=0)
    undesirable_weight: float = setting(1.0, "lambda_U, of losses", ge=0)
    pool: int = setting(16, "mismatched pairs behind the KL term; a multiple of the batch size", unit="pairs", ge=1)

    coupling: ClassVar[Coupling] = "completion"

    def __post_init__(self) -> None:
        if self.desirable_weight == self.undesirable_weight == 0:
            raise ValueError("desirable_weight and undesirable_weight are both 0; nothing would be learned")

    @property
    def needs(self) -> tuple[str, ...]:
        """`label` and `mismatched`, which `with_mismatched` makes, and `reference_logp`."""
        return ("label", "mismatched", "reference_logp")

    def check(self, items: Sequence[Tree]) -> None:
        """Every answer must be labelled desirable (1) or not (0), or be one of a pair, and have a supervised token."""
        for tree in items:
            labels_of(tree)
            if any(branch.num_scored == 0 for branch in tree.branches):
                raise DataError(f"example '{tree.id}' has an answer without a supervised token")
            check_whole(tree)

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        """The number of answers that are not mismatched."""
        return {"kto": float((batch.columns["mismatched"] == 0).sum())}

    def statistics(self, outputs: Outputs, batch: TreeBatch) -> Mapping[str, Metric]:
        """The mean log-ratio of the mismatched pairs."""
        log_ratio_C = batch.sum_C(outputs["logp"].detach()) - batch.columns["reference_logp"]
        pool = log_ratio_C[batch.columns["mismatched"] == 1]
        return {"kl": Mean(float(pool.sum()), float(len(pool)))}

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        """The summed loss of the answers."""
        logp_C = batch.sum_C(outputs["logp"])
        log_ratio_C = logp_C - batch.columns["reference_logp"]
        scored_C, desirable_C = batch.columns["mismatched"] == 0, batch.columns["label"] == 1
        sign_C = torch.where(desirable_C, 1.0, -1.0)
        weight_C = torch.where(desirable_C, self.desirable_weight, self.undesirable_weight)
        zero = _reference_point(statistics)
        utility_C = sign_C * self.beta * (log_ratio_C - zero)
        loss_C = weight_C * torch.sigmoid(-utility_C)  # lambda - lambda sigmoid(utility), without cancellation
        metrics = self._metrics(logp_C, log_ratio_C, utility_C, loss_C, batch, zero)
        return Loss(terms={"kto": loss_C[scored_C].sum()}, metrics=metrics)

    def _metrics(
        self, logp_C: Tensor, log_ratio_C: Tensor, utility_C: Tensor, loss_C: Tensor, batch: TreeBatch, zero: float
    ) -> Mapping[str, Metric]:
        """What all objectives log; a margin is an answer's distance to the right side of the reference point."""
        scored_C, desirable_C = batch.columns["mismatched"] == 0, batch.columns["label"] == 1
        chosen_C, rejected_C = scored_C & desirable_C, scored_C & ~desirable_C
        sides = side_metrics(
            logp_C, self.beta * log_ratio_C, batch, chosen_C=chosen_C, rejected_C=rejected_C, log_ratio_C=log_ratio_C
        )
        losses: dict[str, Metric] = {
            name: Mean(float(loss_C.detach()[mask].sum()), float(mask.sum()))
            for name, mask in (("loss_chosen", chosen_C), ("loss_rejected", rejected_C))
        }
        count = float(scored_C.sum())
        pool: dict[str, Metric] = {"kl": Mean(zero * count, count), "pool": Sum(float((~scored_C).sum()))}
        return {**margin_metrics(utility_C.detach()[scored_C]), **sides, **losses, **pool}


def _reference_point(statistics: Mapping[str, Number]) -> float:
    """z, never below 0."""
    mean = float(statistics["kl"])
    if math.isnan(mean):
        raise DataError(
            "KTO found no finite log-ratio of mismatched answers in the batch; fill the column 'mismatched' with "
            "with_mismatched before training"
        )
    return max(0.0, mean)


def labels_of(tree: Tree) -> list[float]:
    """The label of each answer: 1 desirable, 0 not. In a pair the chosen answer is desirable, the rejected one not.

    Raises:
        DataError: an answer has no label and is not one of a pair, or its label is neither 0 nor 1.
    """
    labels = [branch.columns.get("label") for branch in tree.branches]
    ranks = [branch.columns.get("rank", -1.0) for branch in tree.branches]
    if labels and all(label is None for label in labels) and sorted(ranks) == [0.0, 1.0]:
        return [1.0 - rank for rank in ranks]
    for label in labels or [None]:
        if label not in (0.0, 1.0):
            found = "no label" if label is None else f"the label {label:g}"
            raise DataError(
                f"example '{tree.id}' has an answer with {found}; KTO needs true (desirable) or false on every answer, "
                "or pairs of a chosen and a rejected one"
            )
    return [float(label) for label in labels if label is not None]


def with_mismatched(
    trees: Sequence[Tree], *, pool: int, batch_size: int, seed: int, max_tokens: int | None = None
) -> list[Tree]:
    """The trees with labels, and with answers of other trees behind each prompt, which only feed the KL term.

    Call it on the data before the reference pass. Which answers a tree gets is a function of the seed, of its place
    and of the data, never of the batches. An answer to the same prompt is not mismatched and is not taken.

    Args:
        trees: labelled answers or pairs.
        pool: mismatched pairs in a global batch (`KTO.pool`).
        batch_size: trees in a global batch.
        seed: of the draw.
        max_tokens: longest prompt with one answer; a mismatched answer is cut at its end to fit. None for no limit.

    Returns:
        Trees whose branches carry `label` and `mismatched` (0 on their own answers, 1 on the others', which come last).

    Raises:
        DataError: the pool is no multiple of the batch size, a label is missing, or there is nothing to mismatch.
    """
    if pool % batch_size:
        allowed = f"{batch_size * (pool // batch_size)} or " if pool > batch_size else ""
        raise DataError(
            f"objective.pool is {pool} and train.batch_size is {batch_size}; every example brings equally many "
            f"mismatched answers, so set objective.pool to {allowed}{batch_size * (pool // batch_size + 1)}"
        )
    labelled = [_labelled(tree) for tree in trees]
    prompts = Counter(tuple(tree.prompt) for tree in trees)
    found = []
    for place, tree in enumerate(labelled):
        if prompts[tuple(tree.prompt)] == len(trees):
            raise DataError(f"example '{tree.id}': every example has its prompt, so no answer can be mismatched to it")
        draw = random.Random(seed_from(seed, "mismatched", place))
        others = [_mismatched(tree, labelled, draw, max_tokens) for _ in range(pool // batch_size)]
        found.append(replace(tree, branches=(*tree.branches, *others)))
    return found


def _labelled(tree: Tree) -> Tree:
    branches = []
    for branch, label in zip(tree.branches, labels_of(tree), strict=True):
        if "reference_logp" in branch.columns:
            raise DataError(f"example '{tree.id}' has reference log-probs already; mismatched answers need theirs too")
        branches.append(replace(branch, columns={"label": label, "mismatched": 0.0}))
    return replace(tree, branches=tuple(branches))


def _mismatched(tree: Tree, trees: Sequence[Tree], draw: random.Random, max_tokens: int | None) -> Branch:
    """An answer to another prompt, drawn with replacement, as one behind the prompt of `tree`."""
    for _ in range(TRIES):
        other = trees[draw.randrange(len(trees))]
        branch = _beginning(other.branches[draw.randrange(len(other.branches))], max_tokens, len(tree.prompt))
        if tuple(other.prompt) != tuple(tree.prompt) and branch.num_scored:
            return replace(branch, columns={**branch.columns, "mismatched": 1.0})
    raise DataError(f"example '{tree.id}': {TRIES} draws found no answer to another prompt that fits behind its own")


def _beginning(branch: Branch, max_tokens: int | None, num_before: int) -> Branch:
    """What of an answer fits behind a prompt of `num_before` tokens."""
    room = len(branch.tokens) if max_tokens is None else max(0, max_tokens - num_before)
    kept = {name: values[:room] for name, values in branch.token_columns.items()}
    return replace(branch, tokens=branch.tokens[:room], weights=branch.weights[:room], token_columns=kept)
