"""Learning-rate schedules: a factor between 0 and 1 for each update, a function of the step alone.

    constant                 1 after the warmup
    linear                   falls from 1 to `final` over the rest of the run
    cosine                   final + (1 - final) (1 + cos(pi t)) / 2, t from 0 to 1 (lifecycle document, section 1.6)
    warmup-stable-decay      1, then a linear fall over the last share of the run (Hu et al. 2024)

The warmup rises linearly and its first update is not at zero: the factor of step s of w is (s + 1) / w, s from 0.
"""

from __future__ import annotations

import math
from typing import Literal

from burnish.config import setting, settings


@settings
class Constant:
    """Hold the rate after the warmup."""

    kind: Literal["constant"] = setting("constant", "hold the rate")
    warmup: int = setting(0, "updates over which the rate rises", unit="steps", ge=0)

    def factor(self, step: int, steps: int) -> float:
        """The factor of update `step` (from 0) of `steps`."""
        return _rise(step, self.warmup)


@settings
class Linear:
    """Fall to `final` in a straight line."""

    kind: Literal["linear"] = setting("linear", "fall in a straight line")
    warmup: int = setting(0, "updates over which the rate rises", unit="steps", ge=0)
    final: float = setting(0.0, "factor at the end of the run", ge=0, le=1)

    def factor(self, step: int, steps: int) -> float:
        """The factor of update `step` (from 0) of `steps`."""
        if step < self.warmup:
            return _rise(step, self.warmup)
        return 1 - (1 - self.final) * _progress(step, self.warmup, steps)


@settings
class Cosine:
    """Fall to `final` along half a cosine."""

    kind: Literal["cosine"] = setting("cosine", "fall along half a cosine")
    warmup: int = setting(0, "updates over which the rate rises", unit="steps", ge=0)
    final: float = setting(0.1, "factor at the end of the run", ge=0, le=1)

    def factor(self, step: int, steps: int) -> float:
        """The factor of update `step` (from 0) of `steps`."""
        if step < self.warmup:
            return _rise(step, self.warmup)
        wave = (1 + math.cos(math.pi * _progress(step, self.warmup, steps))) / 2
        return self.final + (1 - self.final) * wave


@settings
class WarmupStableDecay:
    """Hold the rate, then fall to `final` over the last share of the run."""

    kind: Literal["wsd"] = setting("wsd", "hold, then fall over the last share")
    warmup: int = setting(0, "updates over which the rate rises", unit="steps", ge=0)
    decay: float = setting(0.2, "share of the run that falls", gt=0, le=1)
    final: float = setting(0.0, "factor at the end of the run", ge=0, le=1)

    def factor(self, step: int, steps: int) -> float:
        """The factor of update `step` (from 0) of `steps`."""
        begin = steps - round(self.decay * steps)
        if step < max(self.warmup, begin):
            return _rise(step, self.warmup)
        return 1 - (1 - self.final) * _progress(step, max(self.warmup, begin), steps)


Schedule = Constant | Linear | Cosine | WarmupStableDecay


def _rise(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / warmup) if warmup else 1.0


def _progress(step: int, begin: int, steps: int) -> float:
    """0 at update `begin`, 1 at the update after the last."""
    return min(1.0, (step - begin) / max(1, steps - begin))
