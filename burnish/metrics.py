"""Numbers that can be added up over micro-batches and ranks before they are divided.

A metric carries its reduction as a type: `Sum`, `Mean` (a total and its weight), `Max`. Averages of averages cannot be
written down. Values are floats, or CPU tensors where a metric is a vector (expert loads).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

Number = float | torch.Tensor


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


Metric = Sum | Mean | Max


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
