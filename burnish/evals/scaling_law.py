"""A scaling law, what it foretells, and the size and tokens that a budget is best spent on.

    L(N, D) = A / N^alpha  +  B / D^beta  +  L_inf          (Hoffmann et al. 2022, arXiv:2203.15556, equation 2)

N counts all parameters (a matrix that is embeddings and head at once is counted once), D the tokens trained on, L is
the held-out loss in nats per token. Training costs C = 6 N D operations (Kaplan et al. 2020), the convention that the
published laws plan with; `burnish plan` counts the operations of a run more exactly. Under that constraint the loss is
least at (equation 4)

    N = G (C/6)^a    D = (C/6)^(1-a) / G    a = beta / (alpha + beta)    G = (alpha A / (beta B))^(1 / (alpha + beta))

`scaling_fit.py` estimates the constants from runs. What this deliberately does not do: foresee repeated data, other
learning rates, or another tokenizer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.errors import DataError

FLOPS_PER_PARAMETER_AND_TOKEN = 6.0

LEAST_RUNS, LEAST_SIZES = 6, 3
"""The law has five constants; three sizes and three numbers of tokens are needed to tell a power from its factor."""


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A run that a law is fitted to.

    Attributes:
        name: for messages.
        parameters: N.
        tokens: D.
        loss: held out, nats per token.
    """

    name: str
    parameters: float
    tokens: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class Best:
    """How a budget is best spent: N, D, and the loss that this foretells."""

    parameters: float
    tokens: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class ScalingLaw:
    """The constants of a law: A and alpha of the parameters, B and beta of the tokens, and L_inf."""

    size_factor: float
    size_exponent: float
    token_factor: float
    token_exponent: float
    limit: float

    def loss(self, parameters: float, tokens: float) -> float:
        """L(N, D)."""
        return self.by_size(parameters) + self.by_tokens(tokens) + self.limit

    def by_size(self, parameters: float) -> float:
        """A / N^alpha: what a size costs in loss."""
        return float(self.size_factor * parameters**-self.size_exponent)

    def by_tokens(self, tokens: float) -> float:
        """B / D^beta: what a number of tokens costs in loss."""
        return float(self.token_factor * tokens**-self.token_exponent)

    @property
    def growth(self) -> float:
        """a: the best size grows as budget^a, the best number of tokens as budget^(1 - a)."""
        return self.token_exponent / (self.size_exponent + self.token_exponent)

    def best(self, flops: float) -> Best:
        """The size and the tokens of least loss for a budget C."""
        product = flops / FLOPS_PER_PARAMETER_AND_TOKEN
        ratio = self.size_exponent * self.size_factor / (self.token_exponent * self.token_factor)
        parameters = ratio ** (1 / (self.size_exponent + self.token_exponent)) * product**self.growth
        tokens = product / parameters
        return Best(parameters=parameters, tokens=tokens, loss=self.loss(parameters, tokens))

    def flops_of(self, parameters: float) -> float:
        """The budget for which a size is best."""
        one = self.best(FLOPS_PER_PARAMETER_AND_TOKEN).parameters
        return float(FLOPS_PER_PARAMETER_AND_TOKEN * (parameters / one) ** (1 / self.growth))

    def constants(self) -> Mapping[str, float]:
        """By the names that papers give them, and the exponent of the best size."""
        return {
            "A": self.size_factor,
            "alpha": self.size_exponent,
            "B": self.token_factor,
            "beta": self.token_exponent,
            "L_inf": self.limit,
            "a": self.growth,
        }


def require_fitting(runs: Sequence[TrainedRun]) -> None:
    """Refuse runs that five constants cannot be told from.

    Raises:
        DataError: a number is not finite or not above 0, there are too few runs, sizes or numbers of tokens.
    """
    for run in runs:
        for name, value in (("parameters", run.parameters), ("tokens", run.tokens), ("loss", run.loss)):
            if not (math.isfinite(value) and value > 0):
                raise DataError(f"run '{run.name}': {name} is {value}; expected a finite number above 0")
    if len(runs) < LEAST_RUNS:
        raise DataError(
            f"there are {len(runs)} runs, and a scaling law has 5 constants; give {LEAST_RUNS} runs or more"
        )
    for name, values in (
        ("sizes (parameters)", {run.parameters for run in runs}),
        ("numbers of tokens", {run.tokens for run in runs}),
    ):
        if len(values) < LEAST_SIZES:
            found = ", ".join(f"{value:,.0f}" for value in sorted(values))
            raise DataError(
                f"the runs have {len(values)} different {name} ({found}); a power and its factor cannot be told apart "
                f"with fewer than {LEAST_SIZES}"
            )
