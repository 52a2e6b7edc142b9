"""Rules of attention that both layouts are tested with."""

from __future__ import annotations

from dataclasses import replace

import torch

from burnish.models.attention import Rules

PLAIN = Rules(scaling=None, window=None, soft_cap=None, sinks=None, dropout=0.0)
SINKS = torch.tensor([-1.0, 0.0, 1.0, 3.0])
RULES = {
    "plain": PLAIN,
    "scaling": replace(PLAIN, scaling=0.9),
    "window": replace(PLAIN, window=3),
    "soft cap": replace(PLAIN, soft_cap=0.7),
    "sinks": replace(PLAIN, sinks=SINKS),
    "all": Rules(scaling=1.3, window=2, soft_cap=1.1, sinks=SINKS, dropout=0.0),
}
