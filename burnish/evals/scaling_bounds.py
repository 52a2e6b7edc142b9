"""Constants of a fitted scaling law that lie at a bound of the search: the runs do not determine them.

    alpha, beta    between FLATTEST and STEEPEST
    A, B, L_inf    above 0; they count as 0 where their term is less than NOTICEABLE of every run's loss

Where the best fit lies at a bound, the constant says where the search ended and nothing about the runs. Losses that
differ between the smallest size and the next one, and no further, are fitted the better the steeper alpha is; losses
that are still far above their limit are fitted by any limit that is small enough.

What this deliberately does not do: call a constant inside the bounds well determined. Its interval says how well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.evals.scaling_law import ScalingLaw, TrainedRun
from burnish.stats import Interval

FLATTEST = 1e-3
"""Lower bound of the exponents; there, losses do not fall."""

STEEPEST = 5.0
"""Upper bound of the exponents."""

NOTICEABLE = 1e-3
"""Part of a loss: the fit takes differences below it (its delta) for scatter."""

_CLOSE = 1e-3
"""Part of a bound by which a constant may miss it."""

_TOGETHER = {
    **dict.fromkeys(("A", "alpha"), ("A", "alpha", "a")),
    **dict.fromkeys(("B", "beta"), ("B", "beta", "a")),
    "L_inf": ("L_inf",),
}
"""Constants that rest on a bound together: a factor and its exponent with the growth of the best size."""

_ADVICE = {
    **dict.fromkeys(("A", "alpha"), "so do a and every planned size; add sizes between which the losses differ"),
    **dict.fromkeys(("B", "beta"), "so do a and every planned size; add numbers of tokens between which they differ"),
    "L_inf": "so does the loss foretold beyond the runs; add larger sizes on more tokens",
}


@dataclass(frozen=True, kw_only=True)
class AtBound:
    """A constant at a bound.

    Attributes:
        constant: as `ScalingLaw.constants` calls it.
        value: that the fit gave.
        bound: of the search.
    """

    constant: str
    value: float
    bound: float

    def __str__(self) -> str:
        return (
            f"{self.constant} is {self.value:.4g}, at the bound of the search ({self.bound:g}): the ladder does not "
            f"determine it. It rests on the bound, and {_ADVICE[self.constant]}"
        )


def at_bounds(law: ScalingLaw, runs: Sequence[TrainedRun]) -> tuple[AtBound, ...]:
    """The constants of a law that lie at a bound.

    Args:
        law: fitted.
        runs: that it was fitted to.
    """
    exponents = {"alpha": law.size_exponent, "beta": law.token_exponent}
    steep = [AtBound(constant=name, value=value, bound=STEEPEST) for name, value in exponents.items() if _steep(value)]
    terms = {
        "A": (law.size_factor, max(law.by_size(run.parameters) / run.loss for run in runs)),
        "B": (law.token_factor, max(law.by_tokens(run.tokens) / run.loss for run in runs)),
        "L_inf": (law.limit, max(law.limit / run.loss for run in runs)),
    }
    gone = [
        AtBound(constant=name, value=value, bound=0.0) for name, (value, share) in terms.items() if share < NOTICEABLE
    ]
    return (*steep, *gone)


def undetermined(found: Sequence[AtBound]) -> frozenset[str]:
    """Every constant that rests on a bound, those included that go with one."""
    return frozenset(name for one in found for name in _TOGETHER[one.constant])


def unplannable(found: Sequence[AtBound]) -> str:
    """Why no budget can be planned for, "" if it can."""
    names = [one.constant for one in found if "a" in _TOGETHER[one.constant]]
    return f"the best size rests on {' and '.join(names)}, which the ladder does not determine" if names else ""


def open_ends(constants: Mapping[str, Interval], found: Sequence[AtBound]) -> list[str]:
    """Sentences on intervals that end at a bound while their estimate does not.

    Args:
        constants: by name, with their intervals.
        found: constants whose estimates lie at a bound.
    """
    said = []
    for name, what in (("alpha", "parameters"), ("beta", "tokens")):
        interval = constants[name]
        if name in {one.constant for one in found}:
            continue
        if _steep(interval.high):
            said.append(
                f"{name}'s interval ends at the bound of the search ({STEEPEST:g}): in some drawings of the runs "
                f"nothing else determines it, so read {interval.low:.4g} or more"
            )
        if interval.low <= FLATTEST * (1 + _CLOSE):
            said.append(
                f"{name}'s interval ends at the bound of the search ({FLATTEST:g}): in some drawings of the runs "
                f"the losses do not fall as {what} grow"
            )
    return said


def _steep(exponent: float) -> bool:
    return exponent >= STEEPEST * (1 - _CLOSE)
