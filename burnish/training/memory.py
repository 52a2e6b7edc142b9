"""What a training run holds at its peak, by part and by phase.

P weights, of which M are trained, in a compute dtype of c bytes (2 for bf16):

    weights        c P
    masters        4 M, where the compute dtype is not float32 (training/optimizer.py)
    gradients      4 M: accumulated in float32
    optimiser      8 M: two moments of AdamW; 2 M and a little in 8 bits; 4 M by Muon (optimizer.py: moment_bytes)
    activations    what the layers keep for the backward pass, by rehearsal (rehearsal.py)
    temporaries    the rest of the largest stretch of an update: chunks of logits, gradients on their way

An adapter trains M of a few percent, so masters, gradients and moments are small. A run has phases, and its peak is
that of the largest:

    load      the start model in float32
    train     an update on the largest micro-batch
    sample    the cache, a second copy of the weights where an adapter is folded in, and another in the order of the
              CPU's bf16 products (online training)
    save      masters and moments are still there; the finished model in float32, and read back to be compared

Divided among R ranks, weights, masters, gradients and moments are an R-th on each, and two layers and the head are
gathered at a time. Beside tensors there is the process itself: Python, torch, the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.training.rehearsal import Stretches

SLACK = 0.20
"""What the allocator holds beyond the tensors that are alive, as a share of them; see docs/plan.md for the fit."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What is held at the same time.

    Attributes:
        name: load, train, sample or save.
        parts: bytes by part, allocator and process included.
    """

    name: str
    parts: Mapping[str, int]

    @property
    def num_bytes(self) -> int:
        """All parts together."""
        return sum(self.parts.values())


@dataclass(frozen=True, kw_only=True)
class TrainedPart:
    """A model that is trained.

    Attributes:
        weights: P.
        trained: M.
        layer: weights of one layer.
        table: weights of the head.
        itemsize: c.
        stretches: of an update on the largest micro-batch.
        folds: whether an adapter is folded into the weights to sample.
        moments: bytes of the optimiser's state.
        spared: bytes that weights in 4 bits take less than c each.
    """

    weights: int
    trained: int
    layer: int
    table: int
    itemsize: int
    stretches: Stretches
    folds: bool
    moments: int
    spared: int = 0

    @property
    def full(self) -> bool:
        """Whether all weights are trained."""
        return self.trained == self.weights

    @property
    def masters(self) -> int:
        """Bytes of masters that are not the weights themselves."""
        return 0 if self.itemsize == 4 else 4 * self.trained


@dataclass(frozen=True, kw_only=True)
class Holding:
    """A run.

    Attributes:
        process: bytes of the process before any tensor.
        trained: policy first, then a critic.
        frozen: bytes of models that are only read, by name.
        cache: bytes of the sampler's cache, 0 without one.
        logits: bytes of the sampler's logits.
        accumulates: whether an update has several micro-batches, so that gradients stand beside activations.
        packs: whether the sampler puts the weights in order (models/packed.py).
        ranks: processes that share the work.
    """

    process: int
    trained: Sequence[TrainedPart]
    frozen: Mapping[str, int]
    cache: int = 0
    logits: int = 0
    accumulates: bool = False
    packs: bool = False
    ranks: int = 1

    def phases(self) -> list[Phase]:
        """In the order of the run."""
        found = {"load": self._load(), "train": self._train(), "save": self._save()}
        if self.cache:
            found["sample"] = self._sample()
        return [Phase(name=name, parts=self._whole(parts)) for name, parts in found.items()]

    @property
    def peak(self) -> Phase:
        """The largest phase."""
        return max(self.phases(), key=lambda phase: phase.num_bytes)

    def _whole(self, tensors: Mapping[str, int]) -> dict[str, int]:
        """With what is not a tensor."""
        kept = {name: size for name, size in tensors.items() if size}
        slack = round(SLACK * sum(kept.values()))
        return {"process": self.process, **kept, "allocator": slack}

    def _load(self) -> dict[str, int]:
        """The policy is read first, and rounded while its float32 weights are there; then the others come."""
        first = self.trained[0]
        return {"weights in float32": 4 * first.weights, "weights": first.itemsize * first.weights if first.full else 0}

    def _standing(self) -> dict[str, int]:
        """What is there between updates."""
        parts = self.trained
        gathered = sum(part.itemsize * (2 * part.layer + part.table) for part in parts) if self.ranks > 1 else 0
        return {
            "weights": sum(part.itemsize * part.weights - part.spared for part in parts) // self.ranks,
            "gathered weights": gathered,
            "masters": sum(part.masters for part in parts) // self.ranks,
            "optimiser": sum(part.moments for part in parts) // self.ranks,
            **self.frozen,
        }

    def _train(self) -> dict[str, int]:
        stretches = [part.stretches for part in self.trained]
        kept = sum(one.kept for one in stretches)
        gradients = sum(4 * part.trained for part in self.trained) // self.ranks
        before = gradients if self.accumulates else 0
        backward = max(max(one.forward, one.head, one.top) - one.kept for one in stretches)
        ways: dict[str, dict[str, int]] = {
            "activations": {"activations": kept, "gradients": before, "temporaries": max(0, backward)},
            "gradients": {
                "gradients": gradients,
                "temporaries": max(0, max(one.bottom - 4 * part.trained // self.ranks for one, part in self._pairs())),
            },
        }
        largest = max(ways.values(), key=lambda parts: sum(parts.values()))
        return {**self._standing(), **largest}

    def _pairs(self) -> list[tuple[Stretches, TrainedPart]]:
        return [(part.stretches, part) for part in self.trained]

    def _sample(self) -> dict[str, int]:
        first = self.trained[0]
        folded = 0 if not first.folds else first.itemsize * (first.weights - first.table)
        held = {"folded weights": folded, "packed weights": first.itemsize * first.weights if self.packs else 0}
        return {**self._standing(), "cache": self.cache, "logits": self.logits, **held}

    def _save(self) -> dict[str, int]:
        first = self.trained[0]
        standing = self._standing()
        if first.full and first.itemsize != 4:
            standing["weights"] -= first.itemsize * first.weights // self.ranks
        finished = 0 if first.full and first.itemsize == 4 else 4 * first.weights
        merged = 4 * (first.weights - first.table) if first.folds else 0  # beside the file's pages, which stay mapped
        return {**standing, "finished model": finished, "merged layers": merged, "read back": 4 * first.weights}
