"""What an update holds beside the weights: one update of a shortened model, on tensors that have shapes and no numbers.

    config, cut to 2 and to 3 layers ──► the real part, adapter and optimiser ──► forward, backward, update
                                    ──► bytes alive at each stretch of it ──► for all layers, on a straight line

Nothing is computed and no memory is taken: torch runs every operation on shapes (FakeTensorMode) while `LiveBytes`
counts. Every layer keeps the same for the backward pass, so two depths give the line; an encoder-decoder has a slope
for each of its stacks, from a third cut. The peak of an update stands in one of a few stretches, and which one depends
on the depth, so each has a line of its own:

    forward     the largest there is while the layers and the log-probs are computed
    head        the backward pass of what stands behind the layers
    top         of the last layer: everything is still kept
    between     of a decoder's other layers: at its end the decoder's gradients are there, and what the encoder kept
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

from burnish.batch import Item
from burnish.errors import ModelError
from burnish.models.adapters import Adapter, add_adapter
from burnish.models.blockwise import forget_masks
from burnish.models.layers import depths_of, stacked_layers
from burnish.models.untrained import Make, causal_model, empty_model, text_config
from burnish.numerics import cast_weights
from burnish.training.live_bytes import LiveBytes
from burnish.training.optimizer import AdamW, MasterOptimizer
from burnish.training.part import trainable_parameters

FEWEST = 2
"""Layers of the shortest model; with fewer the first layer would be the last."""


@dataclass(frozen=True, kw_only=True)
class Stretches:
    """Bytes beyond those that were alive before the update, in a first update, which makes the optimiser's state.

    Attributes:
        kept: alive between the forward and the backward pass.
        forward, head, top, bottom, update: the most in each stretch.
        between: of an encoder-decoder, else 0.
    """

    kept: int
    forward: int
    head: int
    top: int
    bottom: int
    update: int
    between: int = 0


def adapted(model: PreTrainedModel, adapter: Adapter) -> nn.Module:
    """The model with a fresh adapter."""
    found: nn.Module = add_adapter(model, adapter, seed=0)
    return found


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
        make: a model of a config.
        adapt: puts the adapter on it.
    """

    config: PretrainedConfig
    build: Callable[[PreTrainedModel], nn.Module]
    reads: frozenset[str]
    adapter: Adapter | None
    dtype: torch.dtype
    twice: bool = False
    make: Make = causal_model
    adapt: Callable[[PreTrainedModel, Adapter], nn.Module] = adapted


def rehearsed(rehearsal: Rehearsal, items: Sequence[Item]) -> Stretches:
    """What one update on a micro-batch of `items` holds.

    Raises:
        ModelError: the part decides by numbers what it computes, as positions do that are scaled by the row's length.
    """
    config = text_config(rehearsal.config)
    depths = depths_of(config)
    shortest = (FEWEST,) * len(depths)
    longer = [tuple(depth + (stack == one) for one, depth in enumerate(shortest)) for stack in range(len(depths))]
    try:
        base, *others = [_measured(rehearsal, cut, items) for cut in (shortest, *longer)]
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise ModelError(
            f"the memory of this run cannot be foretold: in this layout a {config.model_type} decides by numbers what "
            f"it computes ({error}); burnish VERB ... --dry-run checks the run without its costs"
        ) from error
    return Stretches(**{name: _line(value, [other[name] for other in others], depths) for name, value in base.items()})


def _line(first: int, others: Sequence[int], depths: Sequence[int]) -> int:
    """The value at `depths`, from that of the shortest model and of those with one layer more in each stack."""
    return first + sum((other - first) * (depth - FEWEST) for other, depth in zip(others, depths, strict=True))


def _measured(rehearsal: Rehearsal, depths: tuple[int, ...], items: Sequence[Item]) -> dict[str, int]:
    part, model = empty_part(rehearsal, *depths)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as live:
            return _update(part, model, rehearsal, items, live)
    finally:
        forget_masks()  # those made here have no numbers


def _update(
    part: nn.Module, model: PreTrainedModel, rehearsal: Rehearsal, items: Sequence[Item], live: LiveBytes
) -> dict[str, int]:
    _place(part)
    named = trainable_parameters(part)
    exact = {name: value.detach() for name, value in named.items()}
    cast_weights(model, rehearsal.dtype)
    optimizer = MasterOptimizer(named, AdamW(), exact)
    del exact
    batch = type(items[0]).collate(items)
    laps = _Laps(live, stacked_layers(model))
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

    def __init__(self, live: LiveBytes, stacks: Sequence[Sequence[nn.Module]]) -> None:
        self.live = live
        self.before = live.now
        self.found: dict[str, int] = {}
        live.lap()
        last, *earlier = reversed(stacks)
        ends = [(last[-1], "head"), (last[-2], "top"), *((encoder[-1], "between") for encoder in earlier)]
        for layer, stretch in ends:
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


def empty_part(rehearsal: Rehearsal, *depths: int) -> tuple[nn.Module, PreTrainedModel]:
    """The part over a model of so many layers (and so many in a decoder beside them), ready to be trained, and that
    model; on the meta device."""
    model = empty_model(shortened(rehearsal.config, *depths), rehearsal.make).requires_grad_(False)
    with torch.device("meta"):
        part = rehearsal.build(model)
        if rehearsal.adapter is None:
            model.requires_grad_(True)
        else:
            rehearsal.adapt(model, rehearsal.adapter)
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


def shortened(config: PretrainedConfig, layers: int, decoder_layers: int | None = None) -> PretrainedConfig:
    """The same config with fewer layers; what it says of each layer is cut to as many.

    Args:
        config: of any depth.
        layers: that it gets; of an encoder-decoder its encoder.
        decoder_layers: that a decoder beside an encoder gets; as many if not given.
    """
    config = copy.deepcopy(text_config(config))
    full = int(config.num_hidden_layers)
    for name, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == full:
            setattr(config, name, [value[index % full] for index in range(layers)])
    config.num_hidden_layers = layers
    if config.is_encoder_decoder:
        config.num_decoder_layers = layers if decoder_layers is None else decoder_layers
    return config
