"""The model that a training run starts from, and the same model with what the run has learned.

    transformers model ──► module: what the objective reads, over it ──► adapter inside the model
                                                                     ──► the model's weights to the compute dtype

The weights of the transformers model are computed with in the run's precision. What a module adds to it (the head of a
reward model) stays float32, and is its own master.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from burnish.batch import Tree
from burnish.models.adapters import Adapter, add_adapter
from burnish.models.language import LanguageModel
from burnish.models.load import load_model
from burnish.models.routed import RoutedLanguageModel
from burnish.models.score import ScoreModel
from burnish.models.value import PolicyWithValue
from burnish.models.wrapped import is_wrapped
from burnish.numerics import Precision, compute_dtype
from burnish.training.optimizer import put
from burnish.training.parallel import Divided, Ranks, put_in_place, rows_of, wholes
from burnish.training.part import Part, trainable_parameters
from burnish.training.plan import packed_cost, padded_cost

if TYPE_CHECKING:
    from peft import PeftModel

Module = LanguageModel | RoutedLanguageModel | PolicyWithValue | ScoreModel
"""What a stage may train over a transformers model."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """A model, ready to be trained.

    Attributes:
        source: as the user named it.
        model: the transformers model, wrapped if it has an adapter.
        module: what is trained: it gives the objective its outputs.
        exact: float32 values of the trainable parameters, from before the model was rounded.
    """

    source: str
    model: PreTrainedModel | PeftModel
    module: Module
    exact: Mapping[str, Tensor]

    @property
    def part(self) -> Part:
        """The module as a part of training."""
        return Part(module=self.module, exact=self.exact)

    @property
    def plain(self) -> PreTrainedModel:
        """The transformers model itself; an adapter's layers stand in it."""
        return self.model.get_base_model() if is_wrapped(self.model) else self.model

    def cost(self, trees: Sequence[Tree]) -> int:
        """Tokens that a group of trees takes in the layout that runs."""
        return packed_cost(trees) if self.module.layout == "tree" else padded_cost(trees)

    def put(self, device: torch.device, precision: Precision, divided: Divided) -> Start:
        """Itself on the device, with the transformers model's weights in the compute dtype, or divided among ranks."""
        dtype = compute_dtype(precision, device)
        put_in_place(self.module, self.plain, device=device, dtype=dtype, ranks=Ranks(), divided=divided)
        return replace(self, exact=undivided(self.exact, self.module))


def started(source: str, build: Callable[[PreTrainedModel], Module], *, adapter: Adapter | None, seed: int) -> Start:
    """Load a model and make it ready, in float32 on the CPU.

    Args:
        source: as `load_model` takes it.
        build: the module over the model.
        adapter: put on the model; None trains all weights.
        seed: of the adapter.
    """
    plain = load_model(source)
    module = build(plain)
    model = add_adapter(plain, adapter, seed=seed) if adapter else own_memory(plain).requires_grad_(True)
    exact = {name: value.detach() for name, value in trainable_parameters(module).items()}
    return Start(source=source, model=model, module=module, exact=exact)


def own_memory(model: PreTrainedModel) -> PreTrainedModel:
    """The model with its weights out of the file that they are mapped from.

    Mapped pages are copied one by one when they are first changed, and every processor is told of each: seconds of the
    first update of a small model (docs/log.md).
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    return model


def undivided(exact: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The float32 values of parameters that ranks hold whole; divided ones are float32 themselves, and their values
    from before would be the whole model once more."""
    parameters = dict(module.named_parameters())
    return {name: value for name, value in exact.items() if rows_of(parameters[name]) is None}


def learned(
    start: Start,
    masters: Mapping[str, nn.Parameter],
    build: Callable[[PreTrainedModel], Module],
    *,
    adapter: Adapter | None,
    seed: int,
    ranks: Ranks,
) -> Start | None:
    """The start model on the CPU with the float32 masters of a run, not the rounded weights that were computed with.

    On the CPU, because it is saved and compared with what is read back there: a GPU rounds otherwise.

    `start` must not be used afterwards. The other arguments are those of `started`. All ranks must call it; those that
    do not lead get None.
    """
    values = wholes(masters)
    if not ranks.leads:
        deque(values, maxlen=0)
        return None
    if adapter is None and not any(rows_of(master) for master in masters.values()):
        start.module.to("cpu").float()
    else:  # weights that do not train were rounded, others are divided
        start = started(start.source, build, adapter=adapter, seed=seed)
    put(values, start.module)
    return start
