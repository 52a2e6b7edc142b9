"""How strongly a rollout's rewards pay for the KL from the reference, and when the run has to end for it.

    fixed       the weight beta stays
    adaptive    beta <- beta (1 + e n / horizon),  e = clip((KL - target) / target, -0.2, 0.2)

after every rollout of n completions (Ziegler et al. 2019, section 2.2): above the target the KL gets dearer, below it
cheaper, by at most a fifth per `horizon` completions. Their K_beta = 0.1 is n / horizon, so the speed does not depend
on how many completions one rollout has; n may not be above the horizon.

`budget` is a hard limit. A penalty can always be outbid by a reward; once the KL of a rollout is above the budget, the
run must not take another update. KL is in nats per completion, from the reference (`kl_k1_per_completion`).

The weight belongs to the KL inside the reward (`advantages.token_rewards`). That of a KL term in the loss is a setting
of the objective and stays.

Worked: target 6, horizon 1000, beta 0.1. A rollout of 100 completions at 9 nats: e = 0.5, cut to 0.2, and beta becomes
0.1 (1 + 0.2 * 0.1) = 0.102. At 5.4 nats: e = -0.1, and beta becomes 0.1 (1 - 0.1 * 0.1) = 0.099.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from burnish.config import setting, settings
from burnish.divergences import Estimator
from burnish.errors import DataError

LARGEST_ERROR = 0.2
"""Ziegler et al. 2019: no error counts for more."""


@settings
class FixedKL:
    """A price that stays."""

    kind: Literal["fixed"] = setting("fixed", "a weight that stays")
    weight: float = setting(0.05, "beta, reward taken away per nat", ge=0)
    estimator: Estimator = setting("k1", "of the KL in the reward; k1 alone has the gradient of that KL")
    budget: float | None = setting(None, "KL per completion at which the run ends; none: no limit", unit="nats", gt=0)


@settings
class AdaptiveKL:
    """A price that holds a KL."""

    kind: Literal["adaptive"] = setting("adaptive", "a weight that follows the KL that is measured")
    weight: float = setting(0.05, "beta of the first rollout", gt=0)
    target: float = setting(6.0, "KL to hold, per completion", unit="nats", gt=0)
    horizon: int = setting(10_000, "completions over which the weight moves", unit="completions", ge=1)
    estimator: Estimator = setting("k1", "of the KL in the reward; k1 alone has the gradient of that KL")
    budget: float | None = setting(None, "KL per completion at which the run ends; none: no limit", unit="nats", gt=0)


KLControl = FixedKL | AdaptiveKL
"""What the KL from the reference costs, and its limit."""


class KLController:
    """The weight of the KL as a run goes on.

    Args:
        control: the settings.

    Attributes:
        weight: beta of the next rollout.
        kl: of the last rollout, nats per completion; 0 before the first.
    """

    def __init__(self, control: KLControl) -> None:
        self.control = control
        self.weight = control.weight
        self.kl = 0.0

    def update(self, kl: float, num_completions: int) -> None:
        """Hear the KL of a rollout, after its rewards are made.

        Args:
            kl: mean over its completions, nats per completion.
            num_completions: how many it had.

        Raises:
            DataError: the KL is not finite, or the rollout has more completions than the horizon.
        """
        if not math.isfinite(kl):
            raise DataError(f"the KL of a rollout is {kl}; its weight cannot follow that")
        self.kl = kl
        if isinstance(self.control, AdaptiveKL):
            if num_completions > self.control.horizon:
                raise DataError(
                    f"a rollout of {num_completions} completions is above the horizon of {self.control.horizon}: beta "
                    f"would jump; set horizon to {num_completions} or more, 10000 is usual"
                )
            error = (kl - self.control.target) / self.control.target
            cut = max(-LARGEST_ERROR, min(LARGEST_ERROR, error))
            self.weight *= 1 + cut * num_completions / self.control.horizon

    def spent(self) -> str:
        """Why the run must end, "" while the KL is within the budget."""
        if self.control.budget is None or self.kl <= self.control.budget:
            return ""
        return (
            f"the KL from the reference is {self.kl:.4g} nats per completion, above the budget of "
            f"{self.control.budget:g}"
        )

    def state(self) -> dict[str, Any]:
        """Everything that decides what comes next, as JSON."""
        return {"weight": self.weight, "kl": self.kl}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.weight, self.kl = float(state["weight"]), float(state["kl"])
