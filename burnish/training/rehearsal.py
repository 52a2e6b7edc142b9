"""What an update holds beside the weights: one update of a shortened model, on tensors that have shapes and no numbers.

    config, cut to 2 and to 3 layers ──► the real part, adapter and optimiser ──► forward, backward, update
                                    ──► bytes alive at each stretch of it ──► for all layers, on a straight line

Nothing is computed and no memory is taken: torch runs every operation on shapes (FakeTensorMode) while `LiveBytes`
counts. Every layer keeps the same for the backward pass, so two depths give the line. The peak of an update stands in
one of five stretches, and which one depends on the depth, so each has a line of its own:

    forward     the largest there is while the layers and the log-probs are computed
    head        the backward pass of what stands behind the layers
    top         of the last layer: everything is still kept
    bottom      of the first layer and the embeddings: all gradients are there
    update      AdamW, which makes its two moments in a first update

The loss stands aside: a sum of the outputs in its place, because what losses hold is a few numbers per token.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from transformers import PretrainedConfig, PreTrainedModel

from burnish.batch import Tree, pack
from burnish.errors import ModelError
from burnish.models.adapters import Adapter, add_adapter
from burnish.models.blockwise import forget_masks
from burnish.models.layers import layers_of
from burnish.models.parameters import empty_model
from burnish.numerics import cast_weights
from burnish.training.live_bytes import LiveBytes
from burnish.training.optimizer import AdamW, MasterOptimizer
from burnish.training.part import trainable_parameters

DEPTHS = (2, 3)
"""Layers of the two models; with fewer than 2 the first layer would be the last."""


@dataclass(frozen=True, kw_only=True)
class Stretches:
    """Bytes beyond those that were alive before the update, in a first update, which makes the optimiser's state.

    Attributes:
        kept: alive between the forward and the backward pass.
        forward, head, top, bottom, update: the most in each stretch.
    """

    kept: int
    forward: int
    head: int
    top: int
    bottom: int
    update: int


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What is rehearsed.

    Attributes:
        config: of the model.
        build: the part over a model; it must not compare numbers, for there are none.
        reads: the outputs that the objective takes from it.
        adapter: trained in place of all weights, or None.
        dtype: of the computation.
        twice: gradient checkpointing.
    """

    config: PretrainedConfig
    build: Callable[[PreTrainedModel], nn.Module]
    reads: frozenset[str]
    adapter: Adapter | None
    dtype: torch.dtype
    twice: bool = False


def rehearsed(rehearsal: Rehearsal, trees: Sequence[Tree]) -> Stretches:
    """What one update on a micro-batch of `trees` holds.

    Raises:
        ModelError: the part decides by numbers what it computes, as positions do that are scaled by the row's length.
    """
    config = rehearsal.config.get_text_config(decoder=True)
    layers = int(config.num_hidden_layers)
    try:
        found = [_measured(rehearsal, depth, trees) for depth in DEPTHS]
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise ModelError(
            f"the memory of this run cannot be foretold: in this layout a {config.model_type} decides by numbers what "
            f"it computes ({error}); burnish VERB ... --dry-run checks the run without its costs"
        ) from error
    first, second = found
    return Stretches(**{name: _line(first[name], second[name], layers) for name in first})


def _line(first: int, second: int, layers: int) -> int:
    """The value at `layers` of the line through the values at the two depths."""
    return first + (second - first) * (layers - DEPTHS[0]) // (DEPTHS[1] - DEPTHS[0])


def _measured(rehearsal: Rehearsal, depth: int, trees: Sequence[Tree]) -> dict[str, int]:
    part, model = empty_part(rehearsal, depth)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as live:
            return _update(part, model, rehearsal, trees, live)
    finally:
        forget_masks()  # those made here have no numbers


def _update(
    part: nn.Module, model: PreTrainedModel, rehearsal: Rehearsal, trees: Sequence[Tree], live: LiveBytes
) -> dict[str, int]:
    _place(part)
    named = trainable_parameters(part)
    exact = {name: value.detach() for name, value in named.items()}
    cast_weights(model, rehearsal.dtype)
    optimizer = MasterOptimizer(named, AdamW(), exact)
    del exact
    batch = pack(trees)
    laps = _Laps(live, layers_of(model))
    part.train()
    outputs = part(batch, rehearsal.reads)
    laps.end("forward")
    kept = live.now - laps.before
    torch.stack([output.sum() for output in outputs.values()]).sum().backward()
    del outputs
    laps.end("bottom")
    optimizer.step(1.0)
    laps.end("update")
    return {"kept": kept, **laps.found}


class _Laps:
    """The most bytes alive in each stretch, beyond those at the beginning."""

    def __init__(self, live: LiveBytes, layers: Sequence[nn.Module]) -> None:
        self.live = live
        self.before = live.now
        self.found: dict[str, int] = {}
        live.lap()
        for layer, stretch in ((layers[-1], "head"), (layers[-2], "top")):
            layer.register_forward_hook(self._hook(stretch))

    def end(self, stretch: str) -> None:
        """A stretch is over."""
        self.found[stretch] = self.live.lap() - self.before

    def _hook(self, stretch: str) -> Callable[[nn.Module, object, object], None]:
        """The gradient of a layer's output comes when what stands behind the layer is done."""

        def hook(layer: nn.Module, inputs: object, output: object) -> None:
            states = output[0] if isinstance(output, tuple) else output
            if isinstance(states, Tensor) and states.requires_grad and stretch not in self.found:
                states.register_hook(lambda gradient: self.end(stretch))

        return hook


def empty_part(rehearsal: Rehearsal, depth: int) -> tuple[nn.Module, PreTrainedModel]:
    """The part over a model of `depth` layers, ready to be trained, and that model; on the meta device."""
    model = empty_model(shortened(rehearsal.config, depth)).requires_grad_(False)
    with torch.device("meta"):
        part = rehearsal.build(model)
        if rehearsal.adapter is None:
            model.requires_grad_(True)
        else:
            add_adapter(model, rehearsal.adapter, seed=0)
    if rehearsal.twice:
        model.activation_checkpointing_enable({"use_reentrant": False})
    return part, model


def _place(part: nn.Module) -> None:
    """Give every parameter and buffer its place in memory; tensors that modules share stay shared."""
    placed: dict[int, nn.Parameter] = {}
    for module in part.modules():
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            if id(parameter) not in placed:
                fresh = torch.empty(parameter.shape, dtype=parameter.dtype)
                placed[id(parameter)] = nn.Parameter(fresh, requires_grad=parameter.requires_grad)
            module.register_parameter(name, placed[id(parameter)])
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))


def shortened(config: PretrainedConfig, layers: int) -> PretrainedConfig:
    """The same config with fewer layers; what it says of each layer is cut to as many."""
    config = copy.deepcopy(config.get_text_config(decoder=True))
    full = int(config.num_hidden_layers)
    for name, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == full:
            setattr(config, name, [value[index % full] for index in range(layers)])
    config.num_hidden_layers = layers
    return config
