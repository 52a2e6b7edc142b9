"""Several processes: sums over them, and parts divided among them by FSDP2.

Gradients are *summed* over ranks, never averaged, because losses are divided by weights counted over the global batch
before. FSDP2 divides by the number of ranks unless told otherwise; it sums the gradients of divided parameters during
the backward pass. Those of parameters that every rank holds whole are summed by the trainer, once per update.

    all weights train   float32 rows on each rank, which are their own masters; gathered in the compute dtype per layer
    an adapter trains   the frozen weights are divided in the compute dtype; the adapter, which is small, is whole on
                        every rank, with float32 masters as in one process
    heads               float32 and whole on every rank: a few thousand numbers, not to be rounded
    nothing trains      divided in the compute dtype
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers.modeling_layers import GradientCheckpointingLayer

from burnish.errors import TrainingError
from burnish.metrics import Metric, merged
from burnish.numerics import cast_weights
from burnish.processes import Processes

Divided = Literal["weights", "nothing"]
"""What several processes divide among them besides the examples."""


class Ranks(Processes):
    """The processes that share a training."""

    def merged(self, mine: Mapping[str, Metric]) -> dict[str, Metric]:
        """Metrics of all ranks added up, in the order of the ranks, so that every rank has the same numbers."""
        return merged(self.gathered(dict(mine))) if self.count > 1 else dict(mine)

    def add_up(self, tensor: Tensor) -> None:
        """Replace `tensor` by its sum over all ranks."""
        distributed.all_reduce(tensor)

    def sum_gradients(self, masters: Iterable[nn.Parameter]) -> None:
        """Sum the gradients of parameters that every rank holds whole; one that no rank has stays None."""
        plain = [master for master in masters if not isinstance(master, DTensor)]
        if self.count == 1 or not plain:
            return
        holders = torch.tensor([float(master.grad is not None) for master in plain], device=plain[0].device)
        self.add_up(holders)
        for master, count in zip(plain, holders.tolist(), strict=True):
            if count:
                master.grad = torch.zeros_like(master) if master.grad is None else master.grad
                self.add_up(master.grad)


class Rows(NamedTuple):
    """Which rows of a tensor a rank holds."""

    first: int
    num_held: int
    num_all: int


def rows_of(tensor: Tensor) -> Rows | None:
    """The rows of a divided tensor that this rank holds; None for a tensor that it holds whole."""
    if not isinstance(tensor, DTensor):
        return None
    size = -(-tensor.shape[0] // tensor.device_mesh.size())  # as torch.chunk cuts
    first = min(size * tensor.device_mesh.get_local_rank(), tensor.shape[0])
    return Rows(first, held(tensor).shape[0], tensor.shape[0])


def held(tensor: Tensor) -> Tensor:
    """The memory that this rank holds of a tensor: its rows of a divided one, all of any other."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """A divided tensor put together on every rank; any other as it is. All ranks must call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def put_whole(value: Tensor, target: Tensor) -> None:
    """Copy a tensor into one that may be divided: this rank's rows of it.

    Raises:
        RuntimeError: they have different shapes.
    """
    rows = rows_of(target)
    held(target).copy_(value if rows is None else value[rows.first : rows.first + rows.num_held])


def wholes(tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> Iterator[tuple[str, Tensor]]:
    """Tensors put together, one at a time, in `dtype` if one is given. All ranks must take all of them."""
    for name, tensor in tensors.items():
        detached = tensor.detach()
        yield name, whole(detached if dtype is None else detached.to(dtype))


def put_in_place(
    module: nn.Module, body: nn.Module, *, device: torch.device, dtype: torch.dtype, ranks: Ranks, divided: Divided
) -> None:
    """Put a part where it is computed: on the device, its body in the compute dtype, divided among the ranks.

    Args:
        module: the part, in float32 on the CPU.
        body: the transformers model in it; what the module adds to it (a head) stays float32.
        device: of this rank.
        dtype: of the computation.
        ranks: who shares the work.
        divided: whether the weights are divided among them.

    Raises:
        TrainingError: weights that are held in 4 bits would be divided.
    """
    if ranks.count == 1 or divided == "nothing":
        module.to(device)
        cast_weights(body, dtype)
        return
    if not all(parameter.is_floating_point() for parameter in body.parameters()):
        raise TrainingError("weights in 4 bits cannot be divided among processes; set train.divide to nothing")
    frozen = [parameter for parameter in body.parameters() if not parameter.requires_grad]
    if frozen:
        cast_weights(body, dtype)
    shares = frozen or list(body.parameters())
    with_others = {id(parameter) for parameter in shares}
    stays_whole = {parameter for parameter in module.parameters() if id(parameter) not in with_others}
    shard(module, mesh_of(ranks, device), dtype=dtype, stays_whole=stays_whole)
    module.to(device)


def mesh_of(ranks: Ranks, device: torch.device) -> DeviceMesh:
    """All ranks in a row."""
    return init_device_mesh(device.type, (ranks.count,))


def shard(module: nn.Module, mesh: DeviceMesh, *, dtype: torch.dtype, stays_whole: Iterable[nn.Parameter] = ()) -> None:
    """Divide a part over the ranks of `mesh`: each layer by itself, then the rest.

    Weights are given back after each pass, those outside of layers too: the next pass may follow an update, or a
    checkpoint that was read.

    Args:
        module: a part of the training.
        mesh: one-dimensional.
        dtype: of the computation; gradients are reduced in float32.
        stays_whole: parameters that every rank holds.
    """
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    settings: dict[str, Any] = {"mesh": mesh, "mp_policy": policy, "ignored_params": set(stays_whole)}
    for layer in [child for child in module.modules() if isinstance(child, GradientCheckpointingLayer)]:
        fully_shard(layer, reshard_after_forward=True, **settings)
    fully_shard(module, reshard_after_forward=True, **settings)
    for child in module.modules():
        if isinstance(child, FSDPModule):
            child.set_gradient_divide_factor(1.0)
            child.set_force_sum_reduction_for_comms(True)  # the scaled sum that it takes otherwise is NCCL's alone
