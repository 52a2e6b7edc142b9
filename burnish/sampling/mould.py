"""A model without its numbers, so that another process can have the same model and be sent the numbers alone.

    part ──► mould: the module, pickled, with a numbered place where each tensor was
         ──► numbers by place: those that training changes, and those that it leaves alone

A mould holds whatever the module is made of, adapters included, and is small. A tensor that stands in two places, such
as tied embeddings, has one number and is one tensor again in the other process. A process poured from a mould computes
what the original computes, bit for bit on the same machine.

A mould is for processes that trust each other, as those of one run do; it is never read from a file.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from burnish.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The content of a tensor as bytes, which shared memory holds without a copy.

    Attributes:
        dtype, shape: of the tensor.
        data: its bytes in row order. uint8
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    data: np.ndarray[Any, np.dtype[np.uint8]]

    @classmethod
    def of(cls, tensor: Tensor) -> Numbers:
        """The numbers of a tensor as they are now; on the CPU they share its memory."""
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return cls(dtype=tensor.dtype, shape=tuple(tensor.shape), data=flat.numpy())

    def tensor(self) -> Tensor:
        """A tensor of its own with these numbers, on the CPU."""
        tensor = torch.empty(self.shape, dtype=self.dtype)
        tensor.reshape(-1).view(torch.uint8).numpy()[:] = self.data
        return tensor

    @property
    def num_bytes(self) -> int:
        """How much there is to send."""
        return int(self.data.nbytes)


class Mould:
    """A part without its numbers.

    Args:
        part: the original; it is left as it is, and may be trained on.
        pickler: takes everything but the tensors; one that takes functions by value sends a module's hooks as well.

    Attributes:
        pickled: the module with places for tensors.

    Raises:
        ModelError: the module holds something that cannot be sent to another process.
    """

    def __init__(self, part: nn.Module, *, pickler: Callable[[io.BytesIO], pickle.Pickler] = pickle.Pickler) -> None:
        file = io.BytesIO()
        taken = _Taken()
        taking = pickler(file)
        taking.persistent_id = taken.place  # type: ignore[method-assign]
        try:
            taking.dump(part)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ModelError(
                f"this model cannot be sent to another process: {error}; sample in this process (in-process)"
            ) from error
        self.pickled = file.getvalue()
        self._tensors = taken.tensors
        self._changing = [place for place, tensor in enumerate(taken.tensors) if tensor.requires_grad]

    def fixed(self) -> dict[int, Numbers]:
        """The numbers that training leaves alone: frozen weights and buffers."""
        return self._numbers(set(range(len(self._tensors))) - set(self._changing))

    def changing(self) -> dict[int, Numbers]:
        """The numbers of what is trained, as they are now."""
        return self._numbers(self._changing)

    def _numbers(self, places: Iterable[int]) -> dict[int, Numbers]:
        return {place: Numbers.of(self._tensors[place]) for place in places}


@dataclass(frozen=True)
class Poured:
    """A module that was made from a mould.

    Attributes:
        module: on its device, without gradients.
        tensors: its tensors by place.
    """

    module: nn.Module
    tensors: Mapping[int, Tensor]

    @torch.no_grad()
    def refill(self, numbers: Mapping[int, Numbers]) -> None:
        """Replace some of its numbers."""
        for place, new in numbers.items():
            self.tensors[place].copy_(new.tensor())


def poured(pickled: bytes, numbers: Mapping[int, Numbers], device: torch.device) -> Poured:
    """The module of a mould with numbers in all of its places.

    Args:
        pickled: of a `Mould`, made by a process of this run.
        numbers: one for every place.
        device: to compute on.
    """
    putting = _Putting(io.BytesIO(pickled), numbers, device)
    module: nn.Module = putting.load()
    return Poured(module, putting.tensors)


class _Taken:
    """The tensors that a pickler left out, in the order in which it met them."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self._places: dict[int, int] = {}

    def place(self, thing: object) -> tuple[int, bool] | None:
        """The place of a tensor, and whether it is a parameter; None for everything else."""
        if not isinstance(thing, Tensor):
            return None
        if id(thing) not in self._places:
            self._places[id(thing)] = len(self.tensors)
            self.tensors.append(thing)
        return self._places[id(thing)], isinstance(thing, nn.Parameter)


class _Putting(pickle.Unpickler):
    """Puts tensors into their places."""

    def __init__(self, file: io.BytesIO, numbers: Mapping[int, Numbers], device: torch.device) -> None:
        super().__init__(file)
        self.tensors: dict[int, Tensor] = {}
        self._numbers = numbers
        self._device = device

    def persistent_load(self, place: tuple[int, bool]) -> Tensor:
        """The one tensor of a place."""
        index, is_parameter = place
        if index not in self.tensors:
            tensor = self._numbers[index].tensor().to(self._device)
            self.tensors[index] = nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor
        return self.tensors[index]
