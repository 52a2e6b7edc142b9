"""AdamW whose two moments are held in 8 bits, block by block (Dettmers et al. 2022, arXiv:2110.02861), by bitsandbytes.

    256 numbers at a time:   m ~ a * code[i],    a the largest of them, i one of 256 values

The values of the code lie close together around 0 and far apart near 1 (section 2.2 there: dynamic quantisation; with a
sign for the mean of gradients, without one for the mean of squares). A block has a scale of its own, so that an outlier
spoils 255 neighbours and no more. Each update makes the moments of a matrix whole again, computes as AdamW does, in
float32, and rounds them to 8 bits: 2.03 bytes a weight in place of 8.

Embeddings keep moments of 32 bits, because their gradients differ most from row to row (section 2.3), and so does what
is small: vectors, and matrices of fewer than 4,096 weights. They stay with torch's AdamW.

Paged, the moments lie in memory that the driver moves between a GPU and the machine, block by block and when they are
needed, so that a long row which fills the GPU pushes them out in place of ending the run (Dettmers et al. 2023,
arXiv:2305.14314, section 3). The numbers are the same.

A checkpoint holds the bytes and the scales, so a resumed run ends with the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from burnish.errors import TrainingError
from burnish.models.four_bits import bitsandbytes
from burnish.models.layers import embedding_tables

Moments = Literal["float32", "8-bit", "8-bit-paged"]
"""How the two moments are held."""

BLOCK = 256
"""Moments that share a scale; bitsandbytes has it fixed."""

SMALLEST = 4096
"""Weights of a matrix whose moments are held in 8 bits."""

BYTES = 2 * (1 + 4 / BLOCK)
"""Of both moments of a weight, their share of the scales included."""

_ENTRIES = {"mean": "state1", "mean_scale": "absmax1", "square": "state2", "square_scale": "absmax2"}
"""Names in a checkpoint, and bitsandbytes' own."""


def large_matrices(module: nn.Module) -> frozenset[str]:
    """Names of the trainable parameters whose moments can be held in 8 bits: large, and no embedding table."""
    tables = embedding_tables(module)
    return frozenset(
        name
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
        and parameter.ndim >= 2
        and parameter.numel() >= SMALLEST
        and id(parameter) not in tables
    )


def require(moments: Moments, device: torch.device) -> None:
    """See that a device can hold moments so, by one update of a few zeros.

    Raises:
        MissingExtra: bitsandbytes is not installed.
        TrainingError: the device cannot.
    """
    if moments == "float32":
        return
    paged = moments == "8-bit-paged"
    library = bitsandbytes()
    if paged and device.type != "cuda":
        raise TrainingError(
            f"train.optimizer.moments is 8-bit-paged, which moves moments between a GPU and the machine, and this run "
            f"is on the {device.type}; type --train.optimizer.moments 8-bit"
        )
    trial = nn.Parameter(torch.zeros(SMALLEST, device=device))
    trial.grad = torch.ones_like(trial)
    try:
        _adam([trial], paged=paged, rate=1.0, betas=(0.9, 0.999), epsilon=1e-8, decay=0.0).step()
    except RuntimeError as error:
        raise TrainingError(
            f"train.optimizer.moments is {moments}, and bitsandbytes {library.__version__} cannot do that on the "
            f"{device.type} ({error}); install a newer one, or type --train.optimizer.moments float32"
        ) from error


class EightBits:
    """AdamW over some masters, its moments in 8 bits.

    Args:
        masters: float32 matrices by name.
        rate: learning rate.
        betas: decay of the mean of gradients, and of their squares.
        epsilon: added to the root of the mean square.
        decay: share of a matrix taken away per update, times the rate.
        paged: whether the moments may leave the GPU.

    Raises:
        MissingExtra: bitsandbytes is not installed.
        TrainingError: there are no masters, or they are divided among processes.
    """

    def __init__(
        self,
        masters: Mapping[str, nn.Parameter],
        *,
        rate: float,
        betas: tuple[float, float],
        epsilon: float,
        decay: float,
        paged: bool,
    ) -> None:
        if not masters:
            raise TrainingError(
                f"train.optimizer.moments is {'8-bit-paged' if paged else '8-bit'}, and no trained matrix beside "
                f"embeddings (and those of train.muon) has {SMALLEST:,} weights; leave it out"
            )
        if any(isinstance(master, DTensor) for master in masters.values()):
            raise TrainingError(
                "moments in 8 bits are those of whole matrices, and here they are divided among processes; type "
                "--train.divide nothing, or --train.optimizer.moments float32"
            )
        self.masters = dict(masters)
        self._adam = _adam(
            list(self.masters.values()), paged=paged, rate=rate, betas=betas, epsilon=epsilon, decay=decay
        )

    def step(self, rate: float) -> None:
        """One update of the masters that have a gradient."""
        for group in self._adam.param_groups:
            group["lr"] = rate
        self._adam.step()

    def state(self) -> dict[str, Tensor]:
        """Bytes and scales of the moments, and the number of updates, by name; nothing of a master without any."""
        tensors: dict[str, Tensor] = {}
        for name, master in self.masters.items():
            if own := self._adam.state.get(master):
                tensors[f"eight.step.{name}"] = torch.tensor(own["step"])
                tensors |= {f"eight.{entry}.{name}": own[theirs] for entry, theirs in _ENTRIES.items()}
        return tensors

    def like(self, entry: str, name: str) -> Tensor:
        """A tensor with as many rows as an entry of a master's state has.

        Raises:
            KeyError: there is no such master.
        """
        master = self.masters[name]
        if entry.endswith("_scale"):
            return torch.empty(-(-master.numel() // BLOCK), device="meta")
        return master

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave.

        Raises:
            KeyError: part of a master's state is missing.
            RuntimeError: an entry has another shape.
        """
        (group,) = self._adam.param_groups
        for number, (name, master) in enumerate(self.masters.items()):
            if f"eight.step.{name}" not in tensors:
                continue
            self._adam.init_state(group, master, 0, number)
            own = self._adam.state[master]
            own["step"] = int(tensors[f"eight.step.{name}"])
            for entry, theirs in _ENTRIES.items():
                own[theirs].copy_(tensors[f"eight.{entry}.{name}"])


def _adam(
    matrices: Sequence[nn.Parameter],
    *,
    paged: bool,
    rate: float,
    betas: tuple[float, float],
    epsilon: float,
    decay: float,
) -> Any:
    """bitsandbytes' optimiser, in one group.

    Raises:
        MissingExtra: it is not installed.
    """
    return bitsandbytes().optim.AdamW(
        matrices,
        lr=rate,
        betas=betas,
        eps=epsilon,
        weight_decay=decay,
        optim_bits=8,
        min_8bit_size=SMALLEST,
        is_paged=paged,
    )
