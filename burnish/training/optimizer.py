"""AdamW, with Muon or moments in 8 bits where they are asked for, over float32 master weights, with gradients
accumulated in float32.

A trainable parameter that is computed in bf16 has a float32 master. When backward has finished with a parameter, its
gradient is added to the master's float32 gradient and dropped, so that any number of micro-batches loses nothing to
rounding. After the update the master is rounded into the parameter.

    parameter (bf16) ──backward──► gradient (bf16) ──added to──► master.grad (float32)
         ▲                                                            │ clip, AdamW
         └────────────────────── rounded ◄── master (float32) ◄───────┘

A parameter that is float32 already is its own master; so are the float32 rows of one that is divided by FSDP, which
gathers them in the compute dtype. Where
two optimisers are made for the same parameters, the later one gets the gradients. Weight decay applies to matrices and
not to vectors: biases and norm scales have no direction to shrink in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakIdKeyDictionary

from burnish.config import setting, settings
from burnish.errors import TrainingError
from burnish.training.eight_bits import BYTES, EightBits, Moments, large_matrices
from burnish.training.muon import Muon, hidden_matrices, muon_over
from burnish.training.parallel import held

PIECE = 2048
"""Rows of a gradient that are added at a time."""

_collectors: MutableMapping[Tensor, RemovableHandle] = WeakIdKeyDictionary()
"""The hook that empties each parameter's gradient into a master; a second one would find nothing."""


@settings
class AdamW:
    """Loshchilov and Hutter 2019."""

    learning_rate: float = setting(2e-5, "step size, multiplied by the schedule", ge=0)
    beta1: float = setting(0.9, "decay of the mean of gradients", ge=0, lt=1)
    beta2: float = setting(0.999, "decay of the mean of squared gradients", ge=0, lt=1)
    epsilon: float = setting(1e-8, "added to the root of the mean square", gt=0)
    weight_decay: float = setting(0.0, "share of a matrix taken away per update, times the rate", ge=0)
    moments: Moments = setting(
        "float32", "how both means are held; 8 bits leave out embeddings and what is small, and paged may leave the GPU"
    )


class MasterOptimizer:
    """The optimiser of one part of the training.

    Args:
        named: the part's trainable parameters by name.
        settings: AdamW's numbers.
        exact: float32 values of parameters that were rounded to the compute dtype since they were loaded; a master
            begins from these, so that a run which changes nothing saves what it loaded.
        muon: Muon's numbers, None for AdamW alone.
        by_muon: names of the matrices that Muon updates.
        large: names of the parameters whose moments may be held in 8 bits.

    Attributes:
        masters: the float32 weights by name, in the order of `named`.

    Raises:
        MissingExtra: moments in 8 bits are asked for, and bitsandbytes is not installed.
        TrainingError: Muon, or moments in 8 bits, are asked for and have no matrix or one that is divided; or there is
            nothing beside the matrices of Muon.
    """

    def __init__(
        self,
        named: Mapping[str, nn.Parameter],
        settings: AdamW,
        exact: Mapping[str, Tensor] | None = None,
        *,
        muon: Muon | None = None,
        by_muon: Collection[str] = (),
        large: Collection[str] = (),
    ) -> None:
        self.settings = settings
        self.parameters = dict(named)
        self.masters: dict[str, nn.Parameter] = {}
        for name, parameter in self.parameters.items():
            if parameter.dtype == torch.float32:
                self.masters[name] = parameter
            else:
                start = (exact or {}).get(name, parameter.detach())
                master = nn.Parameter(start.to(device=parameter.device, dtype=torch.float32))
                self.masters[name] = master
                _collect(parameter, master)
        matrices = [master for name, master in self.masters.items() if muon is not None and name in by_muon]
        others = {name: master for name, master in self.masters.items() if muon is None or name not in by_muon}
        if not others:
            raise TrainingError(
                "train.muon would update every trained weight, as with an adapter alone; it is for training whole "
                "models, leave it out"
            )
        self.muon = (
            muon_over(matrices, muon, rate=settings.learning_rate, decay=settings.weight_decay) if muon else None
        )
        self._muon_rate = self.muon.param_groups[0]["lr"] if self.muon else 0.0
        in_8_bits = {name: master for name, master in others.items() if settings.moments != "float32" and name in large}
        self.eight = None if settings.moments == "float32" else _eight_over(in_8_bits, settings)
        self.adam = torch.optim.AdamW(
            _groups([master for name, master in others.items() if name not in in_8_bits], settings.weight_decay),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.epsilon,
            fused=True,
        )

    def gradients(self) -> list[Tensor]:
        """The accumulated float32 gradients of the parameters that have one."""
        return [master.grad for master in self.masters.values() if master.grad is not None]

    def step(self, factor: float) -> float:
        """One update at `factor` times the learning rate; returns AdamW's rate. Gradients are dropped."""
        rate = self.settings.learning_rate * factor
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        if self.eight is not None:
            self.eight.step(rate)
        if self.muon is not None:
            for group in self.muon.param_groups:
                group["lr"] = self._muon_rate * factor
            self.muon.step()
        self.drop_gradients()
        self.publish()
        return rate

    def drop_gradients(self) -> None:
        """Forget what backward passes have gathered."""
        for master in self.masters.values():
            master.grad = None

    @torch.no_grad()
    def publish(self) -> None:
        """Round the masters into the parameters that the model computes with."""
        for name, parameter in self.parameters.items():
            if self.masters[name] is not parameter:
                parameter.copy_(self.masters[name])

    def state(self) -> dict[str, Tensor]:
        """Masters and moments by name, for a checkpoint; those that are divided among ranks stay so."""
        tensors = {f"master.{name}": master.detach() for name, master in self.masters.items()}
        for name, master in self.masters.items():
            for key, value in self.adam.state.get(master, {}).items():
                tensors[f"adam.{key}.{name}"] = value
            if self.muon is not None and master in self.muon.state:
                tensors[f"muon.momentum.{name}"] = self.muon.state[master]["momentum_buffer"]
        return tensors | (self.eight.state() if self.eight is not None else {})

    def like(self, key: str) -> Tensor:
        """A tensor with as many rows as an entry of the state has, divided among ranks as it is: its master, as a rule.

        Raises:
            KeyError: there is no such entry in a state of this optimiser.
        """
        if key.startswith("master."):
            return self.masters[key.split(".", 1)[1]]
        kind, entry, name = key.split(".", 2)
        if kind != "eight":
            return self.masters[name]
        if self.eight is None:
            raise KeyError(key)
        return self.eight.like(entry, name)

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave: of divided entries the rows that this rank holds.

        Raises:
            KeyError: a master is missing.
            RuntimeError: one has another shape.
        """
        for name, master in self.masters.items():
            held(master).copy_(tensors[f"master.{name}"])
            if f"adam.step.{name}" in tensors:
                moments = {key: torch.zeros_like(master) for key in ("exp_avg", "exp_avg_sq")}
                for key, moment in moments.items():
                    held(moment).copy_(tensors[f"adam.{key}.{name}"])
                step = tensors[f"adam.step.{name}"].to(master.device, copy=True)  # the fused update reads it there
                self.adam.state[master] = {"step": step, **moments}
            if self.muon is not None and f"muon.momentum.{name}" in tensors:
                momentum = tensors[f"muon.momentum.{name}"].to(master.device, copy=True)
                self.muon.state[master] = {"momentum_buffer": momentum}
        if self.eight is not None:
            self.eight.restore(tensors)
        self.publish()


@torch.no_grad()
def put(masters: Iterable[tuple[str, Tensor]], module: nn.Module) -> None:
    """Copy whole masters, by name, into the parameters of the same names of another copy of the part.

    Raises:
        KeyError: the module has no parameter of such a name.
    """
    parameters = dict(module.named_parameters())
    for name, master in masters:
        parameters[name].copy_(master)


def moment_bytes(module: nn.Module, settings: AdamW, muon: Muon | None) -> int:
    """What an optimiser of the trainable parameters of `module` keeps beside masters, in bytes: two float32 numbers a
    weight by AdamW, in 8 bits where the settings say so, and one by Muon."""
    by_muon = hidden_matrices(module) if muon is not None else frozenset()
    large = large_matrices(module) if settings.moments != "float32" else frozenset()
    return round(
        sum(
            (4 if name in by_muon else BYTES if name in large else 8) * parameter.numel()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        )
    )


def _eight_over(masters: Mapping[str, nn.Parameter], settings: AdamW) -> EightBits:
    return EightBits(
        masters,
        rate=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        epsilon=settings.epsilon,
        decay=settings.weight_decay,
        paged=settings.moments == "8-bit-paged",
    )


def _groups(masters: Sequence[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Matrices decay, vectors do not; what is divided among ranks stands apart, as its sums are its own."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for master in masters:
        groups.setdefault((isinstance(master, DTensor), master.ndim >= 2), []).append(master)
    found = [{"params": some, "weight_decay": decay * is_matrix} for (_, is_matrix), some in groups.items()]
    return found or [{"params": []}]  # torch refuses no groups, and takes an empty one


def _collect(parameter: nn.Parameter, master: nn.Parameter) -> None:
    """Have backward add the gradient of `parameter` to that of `master`, and to no other."""
    if (earlier := _collectors.get(parameter)) is not None:
        earlier.remove()
    _collectors[parameter] = parameter.register_post_accumulate_grad_hook(_collector(master))


def _collector(master: nn.Parameter) -> Callable[[Tensor], None]:
    def collect(parameter: Tensor) -> None:
        if parameter.grad is not None:
            if master.grad is None:
                master.grad = parameter.grad.float()
            else:
                _add(parameter.grad, to=master.grad)
            parameter.grad = None

    return collect


def _add(gradient: Tensor, *, to: Tensor) -> None:
    """In pieces: a sum of two dtypes first turns one of them into the other, as a whole."""
    whole, added = torch.atleast_1d(to), torch.atleast_1d(gradient)
    for sums, values in zip(whole.split(PIECE), added.split(PIECE), strict=True):
        sums.add_(values)
