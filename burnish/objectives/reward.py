"""Reward models: Bradley-Terry on pairs and on rankings (Bradley and Terry 1952; Ouyang et al. 2022, eq. 1).

    P(i beats j) = sigmoid(r_i - r_j)        L = - log sigmoid(r_i - r_j - m_ij)      over pairs with i ranked above j

A ranking of K answers makes up to K (K - 1) / 2 pairs; answers of equal rank make none. They stay in one batch, as the
prompt is shared. How pairs of different prompts weigh is a choice:

    average "prompt"   the pairs of a prompt are averaged first, so that every prompt counts the same (InstructGPT)
    average "pair"     every pair counts the same, so a ranking of 4 counts six times as much as a pair

The margin m_ij (Llama 2, Touvron et al. 2023, eq. 2) asks for more than being right: a constant, plus a multiple of
the difference of the data's own scores. With label smoothing eps a share eps of the labels is taken to be flipped.
Scores are fixed only up to a number per prompt; centring adds eta (r_i + r_j)^2 and pulls them to 0 (Eisenstein et al.
2023, section 3). With several heads, each learns by itself: every term is the mean over heads.

What this does not do: the likelihood of a whole ranking (Plackett-Luce) is another loss; at K = 2 they are the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from burnish.batch import Tree, TreeBatch
from burnish.config import setting, settings
from burnish.errors import DataError
from burnish.metrics import Max, Mean, Metric, Number, Sum
from burnish.objectives.objective import Coupling, Loss, Objective, Outputs


class Pairs(NamedTuple):
    """The pairs of a batch, P of them.

    Attributes:
        better_P, worse_P: indices of completions, int64.
        weight_P: what each pair counts, float32.
    """

    better_P: Tensor
    worse_P: Tensor
    weight_P: Tensor


@settings
class BradleyTerry(Objective):
    """Score the better answer above the worse one."""

    kind: Literal["bradley_terry"] = setting("bradley_terry", "a reward model on pairs and rankings")
    average: Literal["prompt", "pair"] = setting(
        "prompt", "prompt: every prompt counts the same, whatever its number of answers; pair: every pair does"
    )
    margin: float = setting(0.0, "the better score has to be larger by this", ge=0)
    score_margin: float = setting(0.0, "and by this times the difference of the data's own scores", ge=0)
    centring: float = setting(0.0, "eta: pulls the sum of a pair's scores to 0; 0.01 is usual", ge=0)
    label_smoothing: float = setting(0.0, "share of labels taken to be flipped", ge=0, lt=0.5)

    coupling: ClassVar[Coupling] = "group"

    @property
    def reads(self) -> tuple[str, ...]:
        """The scores by every head."""
        return ("scores",)

    @property
    def needs(self) -> tuple[str, ...]:
        """`score`, where the margin is made of the data's own."""
        return ("score",) if self.score_margin else ()

    def check(self, items: Sequence[Tree]) -> None:
        """Every tree must be a ranking that says something.

        Raises:
            DataError: names the example: fewer than two answers, one without rank or without a supervised token, all
                tied, the same answer twice with different ranks, or scores that contradict the ranks.
        """
        for tree in items:
            _check_ranking(tree)
            if self.score_margin:
                _check_scores(tree)

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        """The number of prompts, or of pairs."""
        weight = float(self.pairs(batch).weight_P.sum())
        return {"bradley_terry": weight} | ({"centring": weight} if self.centring else {})

    def pairs(self, batch: TreeBatch) -> Pairs:
        """The pairs of a batch and what they count."""
        better, worse = ranked_pairs(batch)
        count_G = torch.bincount(batch.tree_C[better], minlength=len(batch.ids)).clamp(min=1)
        weight = 1.0 / count_G[batch.tree_C[better]] if self.average == "prompt" else torch.ones(len(better))
        return Pairs(better, worse, weight.to(batch.weight_N))

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        """The summed loss of the pairs, and their summed centring term."""
        scores_CK = outputs["scores"]
        pairs = self.pairs(batch)
        better_PK, worse_PK = scores_CK[pairs.better_P], scores_CK[pairs.worse_P]
        logit_PK = better_PK - worse_PK - self._margin_P(pairs, batch)[:, None]
        keep, flip = 1 - self.label_smoothing, self.label_smoothing
        loss_PK = -(keep * logsigmoid(logit_PK) + flip * logsigmoid(-logit_PK))
        terms = {"bradley_terry": (pairs.weight_P * loss_PK.mean(1)).sum()}
        if self.centring:
            square_PK = (better_PK + worse_PK) ** 2
            terms["centring"] = self.centring * (pairs.weight_P * square_PK.mean(1)).sum()
        return Loss(terms=terms, metrics=reward_metrics(scores_CK.detach(), pairs, batch))

    def _margin_P(self, pairs: Pairs, batch: TreeBatch) -> Tensor:
        margin = torch.full_like(pairs.weight_P, self.margin)
        if self.score_margin:
            score_C = batch.columns["score"]
            margin = margin + self.score_margin * (score_C[pairs.better_P] - score_C[pairs.worse_P])
        return margin


def ranked_pairs(batch: TreeBatch) -> tuple[Tensor, Tensor]:
    """Indices of the better and the worse completion of every two of one prompt whose ranks differ. (P,), (P,)"""
    rank_C = batch.columns["rank"]
    same = batch.tree_C[:, None] == batch.tree_C[None, :]
    better, worse = (same & (rank_C[:, None] < rank_C[None, :])).nonzero(as_tuple=True)
    return better, worse


def reward_metrics(scores_CK: Tensor, pairs: Pairs, batch: TreeBatch) -> Mapping[str, Metric]:
    """What is logged of a reward model; means over pairs carry the pairs' weights.

    accuracy is the share of pairs scored the right way round, where equal scores count half. With several heads it is
    their mean accuracy; `accuracy_of_mean` is that of the mean of their scores, and `spread` the mean over answers of
    the standard deviation over heads.
    """
    better_PK, worse_PK = scores_CK[pairs.better_P], scores_CK[pairs.worse_P]
    length_C = batch.num_scored_C()
    means_P = {
        "accuracy": _won(better_PK - worse_PK).mean(1),
        "margin": (better_PK - worse_PK).mean(1),
        "score_chosen": better_PK.mean(1),
        "score_rejected": worse_PK.mean(1),
        "length_chosen": length_C[pairs.better_P],
        "length_rejected": length_C[pairs.worse_P],
    }
    if scores_CK.shape[1] > 1:
        means_P["accuracy_of_mean"] = _won((better_PK - worse_PK).mean(1))
    weight = float(pairs.weight_P.sum())
    metrics: dict[str, Metric] = {
        name: Mean(float((pairs.weight_P * value_P).sum()), weight) for name, value_P in means_P.items()
    }
    metrics["score"] = Mean(float(scores_CK.mean(1).sum()), float(len(scores_CK)))
    if scores_CK.shape[1] > 1:
        metrics["spread"] = Mean(float(scores_CK.std(1, correction=0).sum()), float(len(scores_CK)))
    metrics["largest_score"] = Max(float(scores_CK.abs().max()))
    metrics["pairs"] = Sum(float(len(pairs.better_P)))
    return metrics


def _won(margin: Tensor) -> Tensor:
    return (margin > 0).to(margin) + 0.5 * (margin == 0).to(margin)


def _check_ranking(tree: Tree) -> None:
    ranks = [branch.columns.get("rank") for branch in tree.branches]
    if len(ranks) < 2 or None in ranks:
        shown = ", ".join("none" if rank is None else f"{rank:g}" for rank in ranks)
        raise DataError(
            f"example '{tree.id}' has {len(ranks)} answers of ranks ({shown}); a reward model needs two or more, each "
            "with a rank: pairs with `chosen` and `rejected`, or `completions` with `ranks` or `scores`"
        )
    for number, branch in enumerate(tree.branches):
        if branch.num_scored == 0:
            raise DataError(f"example '{tree.id}': answer {number} is empty, it has no supervised token to score")
    if len(set(ranks)) == 1:
        raise DataError(f"example '{tree.id}': all {len(ranks)} answers have the same rank; leave it out")
    for (i, one), (j, other) in itertools.combinations(enumerate(tree.branches), 2):
        if tuple(one.tokens) == tuple(other.tokens) and ranks[i] != ranks[j]:
            raise DataError(
                f"example '{tree.id}': answers {i} and {j} are the same and have different ranks; it says nothing "
                "about preference (if they differ in the data, truncation made them equal: raise text.max_tokens)"
            )


def _check_scores(tree: Tree) -> None:
    for one, other in itertools.permutations(tree.branches, 2):
        if "score" not in one.columns or "score" not in other.columns:
            return  # the stage says that a column is missing
        if one.columns["rank"] < other.columns["rank"] and one.columns["score"] < other.columns["score"]:
            raise DataError(
                f"example '{tree.id}': an answer of rank {one.columns['rank']:g} has the score "
                f"{one.columns['score']:g}, below the {other.columns['score']:g} of rank {other.columns['rank']:g}; "
                "score_margin needs scores that agree with the ranks"
            )
