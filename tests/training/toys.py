"""Toys for the tests of training: random trees, a tiny policy, ranks that are threads, gradients as one vector."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from burnish.batch import Branch, Tree
from burnish.metrics import Metric, merged
from burnish.models.language import LanguageModel, LayoutName
from burnish.numerics import generator_from
from burnish.training.parallel import Ranks
from burnish.training.part import Part
from burnish.training.trainer import Trainer
from tests.models.tiny import VOCABULARY, tiny_model


def policy(name: str = "llama", *, seed: int = 0, layout: LayoutName = "auto", dtype: torch.dtype = torch.float32):
    """A tiny language model whose weights all train."""
    part = LanguageModel(tiny_model(name, seed=seed), layout=layout)
    return part.requires_grad_(True).to(dtype)


def chats(count: int, *, seed: int = 0, completions: int = 1) -> list[Tree]:
    """Random trees with prompts of 1 to 5 and completions of 1 to 6 tokens."""
    generator = generator_from(seed, "chats")

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    def tokens(length: int) -> list[int]:
        return torch.randint(3, VOCABULARY, (length,), generator=generator).tolist()

    def answer() -> Branch:
        length = number(1, 6)
        return Branch(tokens=tokens(length), weights=[1.0] * length)

    return [
        Tree(id=f"chat-{index}", prompt=tokens(number(1, 5)), branches=tuple(answer() for _ in range(completions)))
        for index in range(count)
    ]


def pairs(count: int, *, seed: int = 0) -> list[Tree]:
    """Random preference pairs with reference log-probs."""
    ready = []
    for tree in chats(count, seed=seed, completions=2):
        chosen, rejected = tree.branches
        ready.append(
            Tree(
                id=tree.id.replace("chat", "pair"),
                prompt=tree.prompt,
                branches=(
                    Branch(
                        tokens=[*chosen.tokens, 3],
                        weights=[*chosen.weights, 1.0],
                        columns={"rank": 0.0, "reference_logp": -4.0 * len(chosen.tokens)},
                    ),
                    Branch(
                        tokens=rejected.tokens,
                        weights=rejected.weights,
                        columns={"rank": 1.0, "reference_logp": -4.0 * len(rejected.tokens)},
                    ),
                ),
            )
        )
    return ready


def weights_of(module: nn.Module) -> Tensor:
    """All parameters of a module as one vector."""
    return torch.cat([parameter.detach().float().flatten() for parameter in module.parameters()])


def gradient_of(trainer: Trainer[Any], part: str = "policy") -> Tensor:
    """The gathered gradient of a part as one vector; zeros where a parameter has none."""
    masters = trainer.optimizers[part].masters.values()
    return torch.cat([(torch.zeros_like(m) if m.grad is None else m.grad).flatten().clone() for m in masters])


def without_clocks(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics that two equal runs share."""
    return {name: value for name, value in metrics.items() if name not in ("seconds", "tokens_per_second")}


class Circle:
    """Where ranks that are threads of one process meet."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._barrier = threading.Barrier(count, timeout=30)
        self._table: list[Any] = [None] * count

    def gather(self, index: int, value: Any) -> list[Any]:
        """What every rank brought, in their order."""
        self._table[index] = value
        self._barrier.wait()
        found = list(self._table)
        self._barrier.wait()
        return found


class ThreadRanks(Ranks):
    """One rank of several that are threads; sums and gathers by a shared table."""

    def __init__(self, index: int, circle: Circle) -> None:
        self.index, self.count, self.circle = index, circle.count, circle

    def merged(self, mine: Mapping[str, Metric]) -> dict[str, Metric]:
        return merged(self.circle.gather(self.index, dict(mine)))

    def add_up(self, tensor: Tensor) -> None:
        total = torch.stack(self.circle.gather(self.index, tensor.clone())).sum(0)
        tensor.copy_(total)


def on_ranks(count: int, work: Callable[[Ranks], Any]) -> list[Any]:
    """What `work` gives on each of `count` ranks; a rank that fails raises here."""
    circle = Circle(count)
    results: list[Any] = [None] * count
    errors: list[BaseException] = []

    def one(index: int) -> None:
        try:
            results[index] = work(ThreadRanks(index, circle))
        except BaseException as error:
            errors.append(error)
            circle._barrier.abort()

    threads = [threading.Thread(target=one, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise next((e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0])
    return results


def parts_of(module: nn.Module) -> dict[str, Part]:
    """The parts of a run with a policy alone."""
    return {"policy": Part(module=module)}


class Shelf:
    """A source that yields given batches in order, and keeps the feedback that it hears."""

    def __init__(self, batches: Sequence[Sequence[Any]]) -> None:
        self.batches, self.place, self.heard = batches, 0, []

    def next(self, feedback: Mapping[str, float]):
        self.heard.append(dict(feedback))
        if self.place == len(self.batches):
            return None
        self.place += 1
        return self.batches[self.place - 1]

    def state(self) -> dict[str, Any]:
        return {"place": self.place}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.place = state["place"]
