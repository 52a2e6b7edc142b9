"""Several processes: who they are, how metrics are added up over them, and sharding by FSDP2.

Gradients are *summed* over ranks, never averaged, because losses are divided by weights counted over the global batch
before. FSDP2 divides by the number of ranks unless told otherwise; it sums the gradients of sharded parameters during
the backward pass. Those of parameters that every rank holds whole are summed by the trainer, once per update.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from burnish.metrics import Metric, merged


class Ranks:
    """The processes that share the work: this one alone, or those of torch.distributed once it is initialised.

    Attributes:
        index: which one this is.
        count: how many there are.
    """

    def __init__(self) -> None:
        started = distributed.is_available() and distributed.is_initialized()
        self.index = distributed.get_rank() if started else 0
        self.count = distributed.get_world_size() if started else 1

    def merged(self, mine: Mapping[str, Metric]) -> dict[str, Metric]:
        """Metrics of all ranks added up, in the order of the ranks, so that every rank has the same numbers."""
        if self.count == 1:
            return dict(mine)
        found: list[Any] = [None] * self.count
        distributed.all_gather_object(found, dict(mine))
        return merged(found)

    def add_up(self, tensor: Tensor) -> None:
        """Replace `tensor` by its sum over all ranks."""
        distributed.all_reduce(tensor)

    def wait(self) -> None:
        """Go on when every rank is here."""
        if self.count > 1:
            distributed.barrier()

    def sum_gradients(self, masters: Iterable[nn.Parameter]) -> None:
        """Sum the gradients of unsharded parameters; one that no rank has stays None."""
        plain = [master for master in masters if not isinstance(master, DTensor)]
        if self.count == 1 or not plain:
            return
        holders = torch.tensor([float(master.grad is not None) for master in plain], device=plain[0].device)
        self.add_up(holders)
        for master, count in zip(plain, holders.tolist(), strict=True):
            if count:
                master.grad = torch.zeros_like(master) if master.grad is None else master.grad
                self.add_up(master.grad)


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor put together on every rank; any other as it is. All ranks must call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def sharded_like(tensor: Tensor, pattern: Tensor) -> Tensor:
    """`tensor`, sharded as `pattern` is. All ranks must call it."""
    if isinstance(pattern, DTensor):
        return distribute_tensor(tensor, pattern.device_mesh, pattern.placements)
    return tensor


def shard(module: nn.Module, mesh: DeviceMesh, *, layers: str, dtype: torch.dtype) -> None:
    """Shard a part over the ranks of `mesh`: each layer by itself, then the rest.

    Args:
        module: a part of the training, with float32 parameters.
        mesh: one-dimensional.
        layers: class name of the layers, such as `LlamaDecoderLayer`.
        dtype: of the computation; gradients are reduced in float32.
    """
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    for layer in [child for child in module.modules() if type(child).__name__ == layers]:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(module, mesh=mesh, mp_policy=policy)
    for child in module.modules():
        if isinstance(child, FSDPModule):
            child.set_gradient_divide_factor(1.0)
            child.set_force_sum_reduction_for_comms(True)  # the scaled sum that it takes otherwise is NCCL's alone
