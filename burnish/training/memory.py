"""What a training run holds at its peak, by part and by phase.

P weights, of which M are trained, in a compute dtype of c bytes (2 for bf16):

    weights        c P
    masters        4 M, where the compute dtype is not float32 (training/optimizer.py)
    gradients      4 M: accumulated in float32
    optimiser      8 M: two moments of AdamW; 2 M and a little in 8 bits; 4 M by Muon (optimizer.py: moment_bytes)
    anchors        4 M where EWC holds the weights near their start (objectives/elastic.py), and as much for the Fisher
                   information; its penalty takes 4 M and four times the largest matrix more, after the backward passes
    activations    what the layers keep for the backward pass, by rehearsal (rehearsal.py)
    temporaries    the rest of the largest stretch of an update: chunks of logits, gradients on their way

An adapter trains M of a few percent, so masters, gradients and moments are small. A run has phases, and its peak is
that of the largest:

    load      the start model in float32
    train     an update on the largest micro-batch
    sample    the cache, a second copy of the weights where an adapter is folded in, and another in the order of the
              CPU's bf16 products (online training)
    save      masters and moments are still there; the finished model in float32, and read back to be compared
    estimate  the same without what was read back; what each weight matters, and the gradients of one example

Divided among R ranks, weights, masters, gradients, moments and anchors are an R-th on each, and two layers and the head
are gathered at a time. Ranks that divide the examples alone hold all of it each. Beside tensors there is the process
itself: Python, torch, the data.
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
        name: load, train, sample, save or estimate.
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
        name: as the plan calls it.
        weights: P.
        trained: M.
        layer: weights of one layer.
        table: weights of the head.
        itemsize: c.
        stretches: of an update on the largest micro-batch.
        folds: whether an adapter is folded into the weights to sample.
        moments: bytes of the optimiser's state.
        spared: bytes that weights in 4 bits take less than c each.
        anchored: weights that EWC holds near their start.
        matrix: weights of the largest matrix behind the embeddings.
    """

    name: str = "policy"
    weights: int
    trained: int
    layer: int
    table: int
    itemsize: int
    stretches: Stretches
    folds: bool
    moments: int
    spared: int = 0
    anchored: int = 0
    matrix: int = 0

    @property
    def full(self) -> bool:
        """Whether all weights are trained."""
        return self.trained == self.weights

    @property
    def masters(self) -> int:
        """Bytes of masters that are not the weights themselves."""
        return 0 if self.itemsize == 4 else 4 * self.trained

    def standing(self, ranks: int) -> dict[str, int]:
        """Bytes on each of so many ranks between updates, by what they are; an adapter is whole on all of them."""
        beside = 0 if self.full else self.trained
        divided = self.itemsize * (self.weights - beside) - self.spared
        own = self._sharing(ranks)
        return {
            "weights": divided // ranks + self.itemsize * beside,
            "masters": self.masters // own,
            "optimiser": self.moments // own,
            "anchors": 4 * self.anchored // own,
            "Fisher information": 4 * self.anchored // own,
        }

    def gradients(self, ranks: int) -> int:
        """Bytes of the accumulated gradients on each of so many ranks."""
        return 4 * self.trained // self._sharing(ranks)

    def _sharing(self, ranks: int) -> int:
        return ranks if self.full else 1

    @property
    def penalty(self) -> int:
        """Bytes that EWC's penalty takes: all differences from the start, and what its gradient takes of one matrix.

        The embeddings stand first and get theirs last, when the other differences are gone.
        """
        return 4 * (self.anchored + 4 * self.matrix) if self.anchored else 0


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
        estimates: whether what each weight matters is estimated at the end, for EWC.
        ranks: processes that divide the weights.
    """

    process: int
    trained: Sequence[TrainedPart]
    frozen: Mapping[str, int]
    cache: int = 0
    logits: int = 0
    accumulates: bool = False
    packs: bool = False
    estimates: bool = False
    ranks: int = 1

    def phases(self) -> list[Phase]:
        """In the order of the run."""
        found = {"load": self._load(), "train": self._train(), "save": self._save()}
        if self.cache:
            found["sample"] = self._sample()
        if self.estimates:
            found["estimate"] = self._estimate()
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
        first, *others = self.trained
        held = [("", first), *((f" of the {part.name}", part) for part in others)]
        several = self.ranks > 1
        return {
            **{what + whose: size for whose, part in held for what, size in part.standing(self.ranks).items()},
            "gathered weights": several * sum(part.itemsize * (2 * part.layer + part.table) for _, part in held),
            "whole copy to sample from": several * bool(self.cache) * first.itemsize * first.weights,
            **self.frozen,
        }

    def _train(self) -> dict[str, int]:
        stretches = [part.stretches for part in self.trained]
        kept = sum(one.kept for one in stretches)
        gradients = sum(part.gradients(self.ranks) for part in self.trained)
        before = gradients if self.accumulates else 0
        backward = max(max(one.forward, one.head, one.top, self._between(one)) - one.kept for one in stretches)
        ways: dict[str, dict[str, int]] = {
            "activations": {"activations": kept, "gradients": before, "temporaries": max(0, backward)},
            "gradients": {
                "gradients": gradients,
                "temporaries": max(0, max(one.bottom - part.gradients(self.ranks) for one, part in self._pairs())),
            },
        }
        if penalty := sum(part.penalty for part in self.trained) // self.ranks:
            ways["penalty"] = {"gradients": gradients, "temporaries": penalty}
        largest = max(ways.values(), key=lambda parts: sum(parts.values()))
        return {**self._standing(), **largest}

    def _between(self, one: Stretches) -> int:
        """Where a decoder is done and its encoder is not; later micro-batches have the gradients of both all along."""
        return 0 if self.accumulates else one.between

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

    def _estimate(self) -> dict[str, int]:
        """In float32, of all weights, whatever was trained of them (training/fisher.py)."""
        return {**self._save(), "read back": 0, "squares and gradients": 8 * self.trained[0].weights}
