"""The trainer: `step(batch)` is exactly one update, `run(source)` is a for loop over a source.

One update, in order:

    plan        cut the global batch into micro-batches; every rank makes the same plan
    weights     add up what each term is divided by over the whole global batch, before any forward pass
    statistics  only if the objective asks: a pass without gradient over the global batch
    backward    for each micro-batch: parts forward, loss terms divided by the global weights, backward
    penalty     only if the objective has one: once per update
    update      clip by the global gradient norm, AdamW on the float32 masters, round into the parameters

No method subclasses this. What differs between methods is the objective (what is computed) and the source (on what). A
non-finite loss or gradient stops the run before the update and names the examples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from burnish.batch import Item
from burnish.config import setting, settings
from burnish.errors import NonFinite, TrainingError
from burnish.metrics import Metric, Number, Sum, merged, values
from burnish.numerics import seed_from
from burnish.objectives.objective import Objective
from burnish.training.eight_bits import large_matrices
from burnish.training.muon import Muon, hidden_matrices
from burnish.training.optimizer import AdamW, MasterOptimizer
from burnish.training.parallel import Ranks, whole
from burnish.training.part import Part, provided_by, reads_of, trainable_parameters
from burnish.training.plan import MicroBatch, ample, packed_cost, plan
from burnish.training.schedule import Constant, Schedule
from burnish.training.source import Feedback, Source
from burnish.training.totals import metrics_of, numbers_of, require_finite, share_of_loss, whole_norm

ItemT = TypeVar("ItemT", bound=Item)


@settings
class Updates:
    """How an update is made."""

    optimizer: AdamW = setting(AdamW(), "AdamW's numbers")
    muon: Muon | None = setting(None, "Muon for the matrices of the layers, AdamW for the rest; none is AdamW for all")
    schedule: Schedule = setting(Constant(), "how the learning rate changes", discriminator="kind")
    clip_norm: float = setting(1.0, "largest norm of the whole gradient; 0 does not clip", ge=0)
    token_budget: int = setting(4096, "tokens that one micro-batch may hold", unit="tokens", ge=1)
    fill: int | None = setting(
        None,
        "tokens up to which examples are put together in a micro-batch; none: on a CPU as many as keep it busy, on a "
        "GPU token_budget",
        unit="tokens",
        ge=1,
    )
    micro_batch_size: int | None = setting(None, "examples that one micro-batch may hold", unit="examples", ge=1)


@dataclass(frozen=True, kw_only=True)
class Probe(Generic[ItemT]):
    """A function that looks at the training every so many updates; what it returns joins that update's metrics."""

    every: int
    look: Callable[[Trainer[ItemT]], Mapping[str, float]]


@dataclass
class _Pending:
    """What backward passes have gathered since the last update."""

    metrics: list[Mapping[str, Metric]] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    num_micros: int = 0
    num_tokens: int = 0
    seconds: float = 0.0


class Trainer(Generic[ItemT]):
    """Updates parts by an objective.

    Args:
        parts: by name; outputs of earlier parts are given to later ones.
        objective: what is computed.
        updates: how an update is made.
        steps: length of the run, for the schedule.
        seed: of dropout, where a part has any.
        cost: tokens that a group of items takes in the layout that the parts use.
        ranks: the processes that share the work.
        device: where batches are computed.

    Attributes:
        num_updates: updates done.

    Raises:
        TrainingError: an output that the objective reads is provided by no part or by two, a part that is not frozen
            provides nothing that is read, or nothing is trainable.
    """

    def __init__(
        self,
        parts: Mapping[str, Part],
        objective: Objective,
        updates: Updates,
        *,
        steps: int,
        seed: int = 0,
        cost: Callable[[Sequence[ItemT]], int] = packed_cost,
        ranks: Ranks | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.parts = dict(parts)
        self.objective = objective
        self.updates = updates
        self.steps = steps
        self.seed = seed
        self.cost = cost
        self.ranks = ranks or Ranks()
        self.device = device or torch.device("cpu")
        self.num_updates = 0
        self._pending = _Pending()
        self._fill = updates.fill or ample(max(map(_num_weights, self.parts.values()), default=0), self.device)
        self._reads = reads_of(self.parts, objective)
        self.optimizers = {
            name: _optimizer_of(part, trainable, updates)
            for name, part in self.parts.items()
            if not part.frozen and (trainable := trainable_parameters(part.module))
        }
        if not self.optimizers:
            raise TrainingError(
                "nothing is trainable: every part is frozen or has no parameter that requires a gradient"
            )

    def run(
        self,
        source: Source[ItemT],
        *,
        probes: Iterable[Probe[ItemT]] = (),
        after: Callable[[Mapping[str, float]], bool] | None = None,
        feedback: Feedback | None = None,
    ) -> None:
        """Update until `steps` updates are done, the source ends, or `after` says stop.

        Args:
            source: yields global batches.
            probes: functions that look at the training every so many updates.
            after: called with the metrics of each update; True stops the run.
            feedback: the metrics of the update before, when a run is resumed.
        """
        probes = tuple(probes)
        feedback = feedback or {}
        while self.num_updates < self.steps:
            batch = source.next(feedback)
            if batch is None:
                return
            metrics = dict(self.step(batch))
            for probe in probes:
                if self.num_updates % probe.every == 0 or self.num_updates == self.steps:
                    metrics |= probe.look(self)
            feedback = metrics
            if after is not None and after(metrics):
                return

    def step(self, batch: Sequence[ItemT]) -> Mapping[str, float]:
        """Exactly one update on a global batch; returns its metrics.

        Raises:
            NonFinite: a loss or gradient is not finite; nothing was updated.
            OverBudget: a group does not fit into a micro-batch.
        """
        self.forward_backward(batch)
        return self.optimizer_step()

    def forward_backward(self, batch: Sequence[ItemT]) -> None:
        """Add the gradient of a global batch; may be called several times before `optimizer_step`.

        Raises:
            NonFinite: the loss is not finite; everything gathered since the last update is dropped.
            OverBudget: a group does not fit into a micro-batch; nothing was added.
        """
        started = time.perf_counter()
        every_rank = self.plan(batch)
        weights = self._weights(every_rank)
        own = every_rank[self.ranks.index]
        statistics = self._statistics(own)
        try:
            self._backward(own, weights, statistics)
        except BaseException:
            self._drop()
            raise
        for name, weight in weights.items():
            self._pending.weights[name] = self._pending.weights.get(name, 0.0) + weight
        self._pending.ids.extend(item.id for item in batch)
        self._pending.seconds += time.perf_counter() - started

    def _backward(
        self, own: list[MicroBatch[ItemT]], weights: Mapping[str, float], statistics: Mapping[str, Number]
    ) -> None:
        """Forward and backward of this rank's micro-batches."""
        self._train(True)
        for number, micro in enumerate(own, start=self._pending.num_micros):
            collated = _collate(micro.items).to(self.device)
            with self._randomness(number):
                loss = self.objective.loss(self._outputs(collated), collated, statistics)
            scaled = share_of_loss(loss.terms, weights)
            require_finite(scaled, loss.terms, collated.ids)
            (scaled * 0.0 if micro.spare else scaled).backward()
            if not micro.spare:
                self._pending.metrics.append(metrics_of(loss, self.objective.weights(collated)))
                self._pending.num_tokens += collated.num_tokens
        self._pending.num_micros += len(own)

    def optimizer_step(self) -> Mapping[str, float]:
        """Update from the gradients gathered so far; returns the metrics of the update.

        Raises:
            NonFinite: the gradient is not finite; nothing was updated, and the gradient is dropped.
            TrainingError: there is no gradient.
        """
        started = time.perf_counter()
        if not self._pending.ids:
            raise TrainingError("optimizer_step needs a forward_backward before it")
        for optimizer in self.optimizers.values():
            self.ranks.sum_gradients(optimizer.masters.values())
        penalty = self._penalty()
        gradients = [gradient for optimizer in self.optimizers.values() for gradient in optimizer.gradients()]
        if not gradients:
            raise TrainingError("no parameter got a gradient; was another trainer made for the same parts since?")
        norm = whole_norm(gradients)
        if not torch.isfinite(norm):
            shown = ", ".join(self._pending.ids[:8])
            self._drop()
            raise NonFinite(f"the gradient norm of update {self.num_updates + 1} is {float(norm)}; examples: {shown}")
        if self.updates.clip_norm and norm > self.updates.clip_norm:
            for gradient in gradients:
                gradient.mul_(self.updates.clip_norm / norm)
        factor = self.updates.schedule.factor(self.num_updates, self.steps)
        rates = {name: optimizer.step(factor) for name, optimizer in self.optimizers.items()}
        self.num_updates += 1
        pending, self._pending = self._pending, _Pending()
        metrics = self._reduced(pending, penalty)
        seconds = pending.seconds + time.perf_counter() - started
        metrics |= {"grad_norm": float(norm), "learning_rate": next(iter(rates.values()))}
        metrics |= {f"learning_rate_{name}": rate for name, rate in rates.items()} if len(rates) > 1 else {}
        metrics["seconds"] = seconds
        metrics["tokens_per_second"] = metrics["tokens"] / seconds
        return metrics

    def plan(self, batch: Sequence[ItemT]) -> list[list[MicroBatch[ItemT]]]:
        """The micro-batches of every rank, as an update on `batch` would run them.

        Raises:
            OverBudget: a group does not fit into a micro-batch.
        """
        return plan(
            batch,
            budget=self.updates.token_budget,
            fill=self._fill,
            most_items=self.updates.micro_batch_size,
            coupling=self.objective.coupling,
            ranks=self.ranks.count,
            cost=self.cost,
        )

    @torch.no_grad()
    def evaluate(self, items: Sequence[ItemT]) -> dict[str, float]:
        """Loss and metrics on `items`, without an update."""
        every_rank = self.plan(items)
        own = every_rank[self.ranks.index]
        statistics = self._statistics(own)
        self._train(False)
        found: list[Mapping[str, Metric]] = []
        for micro in own:
            collated = _collate(micro.items).to(self.device)
            loss = self.objective.loss(self._outputs(collated), collated, statistics)
            if not micro.spare:
                found.append(metrics_of(loss, self.objective.weights(collated)))
        return numbers_of(self.ranks.merged(merged(found)))

    def _penalty(self) -> Tensor | None:
        """Add the gradient of the objective's penalty, once per update; returns its value."""
        penalty = self.objective.penalty({name: part.module for name, part in self.parts.items()})
        if penalty is None:
            return None
        penalty = whole(penalty)
        value = penalty.detach()
        if not torch.isfinite(value):
            shown = ", ".join(self._pending.ids[:8])
            self._drop()
            raise NonFinite(f"the penalty of update {self.num_updates + 1} is {float(value)}; examples: {shown}")
        penalty.backward()
        return value

    def _drop(self) -> None:
        """Forget what was gathered since the last update, so that an error leaves nothing for the next one."""
        self._pending = _Pending()
        for optimizer in self.optimizers.values():
            optimizer.drop_gradients()

    def _weights(self, every_rank: list[list[MicroBatch[ItemT]]]) -> dict[str, float]:
        """What each term is divided by: counted over all micro-batches of all ranks."""
        total: dict[str, float] = {}
        for micro in (micro for own in every_rank for micro in own if not micro.spare):
            for name, weight in self.objective.weights(_collate(micro.items)).items():
                total[name] = total.get(name, 0.0) + weight
        return total

    def _statistics(self, own: list[MicroBatch[ItemT]]) -> Mapping[str, Number]:
        if not self.objective.has_statistics:
            return {}
        self._train(False)
        found: list[Mapping[str, Metric]] = []
        with torch.no_grad():
            for micro in own:
                collated = _collate(micro.items).to(self.device)
                outputs = self._outputs(collated)
                if not micro.spare:
                    found.append(self.objective.statistics(outputs, collated))
        return values(self.ranks.merged(merged(found)))

    def _outputs(self, batch: Any) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = {}
        for name, part in self.parts.items():
            with torch.no_grad() if part.frozen else nullcontext():
                wanted = self._reads[name] or (provided_by(part) if part.frozen else frozenset())
                given = part.module(batch, wanted, outputs)
            # A frozen part may hand out a parameter itself (its output weights), which no_grad does not detach.
            outputs |= {key: value.detach() for key, value in given.items()} if part.frozen else given
        return outputs

    def _train(self, mode: bool) -> None:
        for part in self.parts.values():
            part.module.train(mode and not part.frozen)

    def _randomness(self, micro: int) -> AbstractContextManager[None]:
        """Dropout, where a part has any, is a function of the seed, the update and the micro-batch's place in the plan,
        which is dealt out in turn: so it does not depend on the number of ranks."""
        place = micro * self.ranks.count + self.ranks.index
        return _seeded(seed_from(self.seed, "dropout", self.num_updates, 0, place))

    def _reduced(self, pending: _Pending, penalty: Tensor | None) -> dict[str, float]:
        mine = merged([*pending.metrics, {"tokens": Sum(float(pending.num_tokens))}])
        metrics = numbers_of(self.ranks.merged(mine))
        metrics |= {f"weight_{name}": 0.0 for name, weight in pending.weights.items() if weight == 0}
        if penalty is not None:
            metrics["penalty"] = float(penalty)
            metrics["loss"] += metrics["penalty"]
        return metrics


def _optimizer_of(part: Part, trainable: Mapping[str, nn.Parameter], updates: Updates) -> MasterOptimizer:
    """A part with numbers of its own has no Muon."""
    settings, muon = part.optimizer or updates.optimizer, None if part.optimizer else updates.muon
    return MasterOptimizer(
        trainable,
        settings,
        part.exact,
        muon=muon,
        by_muon=hidden_matrices(part.module) if muon is not None else (),
        large=large_matrices(part.module) if settings.moments != "float32" else (),
    )


def _num_weights(part: Part) -> int:
    return 0 if part.frozen else sum(parameter.numel() for parameter in part.module.parameters())


class _seeded(AbstractContextManager[None]):  # noqa: N801
    """Run with torch's global generator seeded, and put it back as it was."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __enter__(self) -> None:
        self.fork = torch.random.fork_rng(devices=range(torch.cuda.device_count()))
        self.fork.__enter__()
        torch.manual_seed(self.seed)

    def __exit__(self, *_: object) -> None:
        self.fork.__exit__(None, None, None)


def _collate(items: Sequence[ItemT]) -> Any:
    return type(items[0]).collate(items)
