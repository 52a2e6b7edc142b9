"""Numbers that can be added up over micro-batches and ranks before they are divided.

A metric carries its reduction as a type: `Sum`, `Mean` (a total and its weight), `Perplexity` (e to the power of a
mean), `Max`, `Spread` (a standard deviation), `Explained` (a share of variance). Averages of averages cannot be written
down. Values are floats, or CPU tensors where a metric is a vector (expert loads).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

Number = float | torch.Tensor

_LARGEST_EXPONENT = 709.0
"""Of e in a float."""


@dataclass(frozen=True)
class Sum:
    """A total."""

    total: Number

    def merge(self, other: Sum) -> Sum:
        """Both totals together."""
        return Sum(self.total + other.total)

    @property
    def value(self) -> Number:
        """The total."""
        return self.total


@dataclass(frozen=True)
class Mean:
    """A total and the weight to divide it by; NaN while the weight is 0."""

    total: Number
    weight: float

    def merge(self, other: Mean) -> Mean:
        """Both totals and both weights together."""
        return Mean(self.total + other.total, self.weight + other.weight)

    @property
    def value(self) -> Number:
        """The weighted mean."""
        return self.total / self.weight if self.weight else float("nan")


@dataclass(frozen=True)
class Perplexity:
    """e to the power of a mean: a total in nats and the weight to divide it by; NaN while the weight is 0."""

    nats: float
    weight: float

    def merge(self, other: Perplexity) -> Perplexity:
        """Both totals and both weights together; perplexities themselves have no average."""
        return Perplexity(self.nats + other.nats, self.weight + other.weight)

    @property
    def value(self) -> Number:
        """The perplexity; infinite where it is too large for a float."""
        if not self.weight:
            return float("nan")
        mean = self.nats / self.weight
        return math.exp(mean) if mean < _LARGEST_EXPONENT else math.inf


@dataclass(frozen=True)
class Max:
    """The largest value seen."""

    largest: float

    def merge(self, other: Max) -> Max:
        """The larger of both."""
        return Max(max(self.largest, other.largest))

    @property
    def value(self) -> Number:
        """The largest value."""
        return self.largest


@dataclass(frozen=True)
class Spread:
    """A population standard deviation, from moments that add up without cancellation (Chan et al. 1979, eq. 2.1).

    Attributes:
        count: how many values; the spread of none is NaN.
        mean: of the values.
        squares: sum of the squared distances from the mean.
    """

    count: float
    mean: float
    squares: float

    @classmethod
    def of(cls, values: torch.Tensor) -> Spread:
        """The spread of all numbers of a tensor."""
        numbers = values.detach().double()
        if not numbers.numel():
            return cls(0.0, 0.0, 0.0)
        mean = numbers.mean()
        return cls(float(numbers.numel()), float(mean), float((numbers - mean).square().sum()))

    def merge(self, other: Spread) -> Spread:
        """The spread of the values of both."""
        count = self.count + other.count
        if not count:
            return self
        apart = other.mean - self.mean
        squares = self.squares + other.squares + apart**2 * self.count * other.count / count
        return Spread(count, self.mean + apart * other.count / count, squares)

    @property
    def value(self) -> Number:
        """The standard deviation."""
        return math.sqrt(self.squares / self.count) if self.count else float("nan")


@dataclass(frozen=True)
class Explained:
    """The share of a target's variance that a prediction explains: 1 - Var(target - prediction) / Var(target).

    1 is a perfect prediction, 0 one no better than a constant, and below 0 one that is worse. NaN while the target does
    not vary.
    """

    target: Spread
    error: Spread

    @classmethod
    def of(cls, prediction: torch.Tensor, target: torch.Tensor) -> Explained:
        """What `prediction` explains of `target`, both of one shape."""
        return cls(Spread.of(target), Spread.of(target.detach().double() - prediction.detach().double()))

    def merge(self, other: Explained) -> Explained:
        """The share over the values of both."""
        return Explained(self.target.merge(other.target), self.error.merge(other.error))

    @property
    def value(self) -> Number:
        """The share."""
        return 1 - self.error.squares / self.target.squares if self.target.squares else float("nan")


Metric = Sum | Mean | Perplexity | Max | Spread | Explained


def merged(parts: Iterable[Mapping[str, Metric]]) -> dict[str, Metric]:
    """Add up metrics of the same name; a name may be missing in some of the parts."""
    result: dict[str, Metric] = {}
    for part in parts:
        for name, metric in part.items():
            old = result.get(name)
            if old is None:
                result[name] = metric
            elif type(old) is type(metric):
                result[name] = old.merge(metric)  # type: ignore[arg-type]
            else:
                raise TypeError(f"metric '{name}' is a {type(old).__name__} here and a {type(metric).__name__} there")
    return result


def values(metrics: Mapping[str, Metric]) -> dict[str, Number]:
    """The reduced value of each metric."""
    return {name: metric.value for name, metric in metrics.items()}
