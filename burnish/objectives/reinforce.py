"""REINFORCE (Williams 1992): raise the log-prob of a completion by how much better it was than expected.

    L = - mean over tokens of  A_t log pi(y_t | x, y_<t)

The gradient of the expected reward is E[R grad log pi(y)], and a baseline that does not depend on the completion may be
taken from R without changing its mean: A = R - b. The rollout source makes the advantages; with the mean reward of the
prompt's *other* completions as the baseline this is RLOO (Ahmadian et al. 2024):

    A_i = R_i - 1/(G - 1) sum over j != i of R_j

There is no ratio and no clipping, so a rollout is worth one update: on a second one the gradient would be that of
another policy than the one that sampled. `average` constant divides by the completions and a constant alone, as in the
equation above; the others divide by lengths that were sampled, see `policy_gradient.py`.

Worked: two completions of one token with log-probs -1 and -2, rewards 1 and 0. Leave-one-out advantages are 1 and -1:
L = -(1 * -1 + -1 * -2) / 2 = -0.5, and the gradient of the log-probs is (-0.5, +0.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from burnish.batch import TreeBatch
from burnish.config import setting, settings
from burnish.metrics import Number
from burnish.objectives.objective import Loss, Outputs
from burnish.objectives.policy_gradient import PolicyGradient
from burnish.objectives.policy_metrics import policy_metrics


@settings
class Reinforce(PolicyGradient):
    """Make completions likelier by their advantage."""

    kind: Literal["reinforce"] = setting("reinforce", "REINFORCE, and RLOO with leave-one-out advantages")

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        """The terms on the policy, summed over tokens."""
        surrogate_N = batch.token_columns["advantage"] * outputs["logp"]
        terms = self.policy_terms(surrogate_N, outputs, batch)
        return Loss(terms=terms, metrics=policy_metrics(outputs, batch, max_importance=self.max_importance))
