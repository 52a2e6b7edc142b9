"""Which domain each draw of a run comes from: any draw can be asked for, and none depends on those before it.

    draws      | a a b a a b ... (65,536) | a b a a ... | a a ...
    phase 1: a and b                                    | phase 2: b is used up, a goes on alone

Draws come in blocks. Of a block, a domain has a whole number of draws (its weight times 65,536, rounded, at least 1),
spread evenly and placed by the seed. So how often a domain was drawn before a block is a product, and any draw is
found by making one block.

Epochs are bounded: a domain is drawn as often as its bound allows and no more. Then a phase ends; the others go on
with their weights in the same proportions. When the last domain is used up, the stream ends. A domain without a bound
never is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from burnish.data.mixing.weights import normalised
from burnish.numerics import generator_from

BLOCK = 65_536
"""Draws of a block; the finest weight is one of so many."""


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A domain as it is drawn from.

    Attributes:
        name: of the domain.
        num_segments: what one epoch has, at least 1.
        weight: its share of the draws, above 0; only the proportions count.
        max_epochs: bound of the epochs, None for no bound.
    """

    name: str
    num_segments: int
    weight: float
    max_epochs: float | None

    @property
    def most(self) -> int | None:
        """How often it may be drawn; at least once."""
        return None if self.max_epochs is None else max(int(self.max_epochs * self.num_segments), 1)


@dataclass(frozen=True, kw_only=True)
class _Phase:
    """Draws between two ends of domains.

    Attributes:
        number: of the phase.
        start, stop: draws; None for no end.
        used: how often each domain was drawn before.
        each: draws of a block by domain; 0 for those that are used up.
    """

    number: int
    start: int
    stop: int | None
    used: np.ndarray
    each: np.ndarray


@dataclass(frozen=True)
class _Block:
    """The domain of each draw of a block, and how many draws of that domain stand before it in the block."""

    domain: np.ndarray
    rank: np.ndarray


class Draws:
    """The draws of a run.

    Args:
        domains: at least one.
        seed: of the places in a block.

    Attributes:
        count: of all draws, None if there is no end.
        steady: draws until the first domain is used up, None if none ever is; only then do proportions change.
    """

    def __init__(self, domains: Sequence[Domain], *, seed: int) -> None:
        self.domains = tuple(domains)
        self.seed = seed
        self._made: tuple[tuple[int, int], _Block] | None = None
        self._phases = self._all_phases()
        self.count = self._phases[-1].stop
        self.steady = self._phases[0].stop

    def at(self, draw: int) -> tuple[int, int]:
        """The number of the domain of a draw, and how often that domain was drawn before.

        Raises:
            IndexError: the stream has ended by then.
        """
        phase = next((p for p in self._phases if p.stop is None or draw < p.stop), None)
        if phase is None or draw < 0:
            raise IndexError(f"there are {self.count} draws; found number {draw}")
        number, place = divmod(draw - phase.start, BLOCK)
        block = self._block(phase, number)
        domain = int(block.domain[place])
        return domain, int(phase.used[domain] + number * phase.each[domain] + block.rank[place])

    def _all_phases(self) -> list[_Phase]:
        phases: list[_Phase] = []
        start, used = 0, np.zeros(len(self.domains), np.int64)
        while True:
            each = self._each(used)
            phase = self._bounded(_Phase(number=len(phases), start=start, stop=None, used=used, each=each))
            phases.append(phase)
            if phase.stop is None:
                return phases
            start, used = phase.stop, self._used(phase, phase.stop)
            if all(one.most is not None and count >= one.most for one, count in zip(self.domains, used, strict=True)):
                return phases

    def _each(self, used: np.ndarray) -> np.ndarray:
        """Draws of a block for each domain that is not used up: largest remainders, at least 1."""
        left = {
            place: domain.weight
            for place, domain in enumerate(self.domains)
            if domain.most is None or used[place] < domain.most
        }
        exact = {place: weight * BLOCK for place, weight in normalised(left).items()}
        each = np.zeros(len(self.domains), np.int64)
        for place, value in exact.items():
            each[place] = max(int(value), 1)
        by_remainder = sorted(exact, key=lambda place: (int(exact[place]) - exact[place], place))
        for place in by_remainder[: max(BLOCK - int(each.sum()), 0)]:
            each[place] += 1
        each[int(each.argmax())] += BLOCK - int(each.sum())  # what rounding up to 1 took
        return each

    def _bounded(self, phase: _Phase) -> _Phase:
        """The phase up to the last draw of the first domain that is used up in it."""
        ends = []
        for place, domain in enumerate(self.domains):
            if domain.most is None or not phase.each[place]:
                continue
            number, rank = divmod(domain.most - int(phase.used[place]) - 1, int(phase.each[place]))
            block = self._block(phase, number)
            last = np.flatnonzero((block.domain == place) & (block.rank == rank))[0]
            ends.append(phase.start + number * BLOCK + int(last) + 1)
        stop = min(ends, default=None)
        return _Phase(number=phase.number, start=phase.start, stop=stop, used=phase.used, each=phase.each)

    def _used(self, phase: _Phase, draw: int) -> np.ndarray:
        """How often each domain was drawn before a draw of the phase."""
        number, place = divmod(draw - phase.start, BLOCK)
        part = np.bincount(self._block(phase, number).domain[:place], minlength=len(self.domains))
        return np.asarray(phase.used + number * phase.each + part)

    def _block(self, phase: _Phase, number: int) -> _Block:
        """A block; draw j of the n of a domain stands at (j + u) / n of it, with u from the seed."""
        key = (phase.number, number)
        if self._made is None or self._made[0] != key:
            generator = generator_from(self.seed, "mixture", *key)
            jitter = torch.rand(BLOCK, generator=generator, dtype=torch.float64).numpy()
            domain = np.repeat(np.arange(len(self.domains)), phase.each)
            rank = np.concatenate([np.arange(count) for count in phase.each])
            order = np.argsort((rank + jitter) / phase.each[domain], kind="stable")
            self._made = (key, _Block(domain[order], rank[order]))
        return self._made[1]
