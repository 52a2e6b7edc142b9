"""Prefix tuning: trained keys and values in front of every prompt, in each layer (Li and Liang 2021).

    layer l attends to   [K_l; keys of the text],  [V_l; values of the text],     K_l, V_l (P, heads, d) trained

They begin as the keys and values of tokens drawn at random, as the model itself computes them; beginning with those of
real words is what makes it work with little data (section 7.4 there). With `hidden` they come from a small network
while training, V = U tanh(W E), which the paper found steadier (section 4.3); it begins at random, and only what it
gives is saved. Saved, it is peft's prefix tuning.

In the tree layout the virtual tokens stand in the row and each layer's keys and values are put at their places, so that
layouts and caches need not know. What the layers compute at the places is seen by nobody, and costs what as many
tokens of a prompt would. In the padded layout they are the beginning of transformers' own cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from burnish.config import setting, settings
from burnish.errors import ModelError
from burnish.models.attention import Layout, Rules
from burnish.models.front import Front, set_front
from burnish.numerics import generator_from


@settings
class PrefixTuning:
    """Trained keys and values in front of every prompt, in each layer."""

    kind: Literal["prefix"] = setting("prefix", "trained keys and values in front of every prompt, in each layer")
    length: int = setting(20, "keys and values in front of every prompt", unit="tokens", ge=1)
    hidden: int | None = setting(None, "width of a network that they come from while training; none has none", ge=1)


@dataclass(frozen=True)
class Shape:
    """Of the keys of one virtual token: layers, heads of keys, size of a head."""

    layers: int
    heads: int
    size: int

    @property
    def numbers(self) -> int:
        """Keys and values of all layers."""
        return 2 * self.layers * self.heads * self.size


class Prefix(Front):
    """Keys and values at the virtual tokens.

    Args:
        source: gives all numbers of each virtual token, (P, 2 layers heads size), as peft lays them out.
        shape: of the keys.
        length: P.
    """

    def __init__(self, source: nn.Module, shape: Shape, length: int) -> None:
        super().__init__(length)
        self.source = source
        self.shape = shape

    def keys_and_values(self) -> Tensor:
        """Keys and values of each layer in turn. (2 layers, heads, P, size)"""
        flat: Tensor = self.source()
        shape = self.shape
        return flat.view(self.length, 2 * shape.layers, shape.heads, shape.size).permute(1, 2, 0, 3)

    def placed(
        self, model: PreTrainedModel, tokens: Tensor, layout: Layout, places: Tensor
    ) -> tuple[Mapping[str, Tensor], Layout]:
        """The tokens as they are, and a layout that puts keys and values at the places."""
        return {"input_ids": tokens}, _Prefixed(layout, self.keys_and_values(), places, len(places) // self.length)

    def row_inputs(self, model: PreTrainedModel, tokens: Tensor, mask: Tensor, positions: Tensor) -> Mapping[str, Any]:
        """Rows behind a cache that holds the keys and values.

        Raises:
            ModelError: activations are computed twice, where transformers would drop the cache without a word.
        """
        if model.training and model.is_activation_checkpointing:
            raise ModelError(
                "a prefix in the padded layout stands in a cache, which gradient checkpointing drops; set "
                "train.gradient_checkpointing to false, or adapter.kind to prompt"
            )
        pairs = self.keys_and_values()[:, None].expand(-1, len(tokens), -1, -1, -1)
        cache = DynamicCache()
        for layer in range(self.shape.layers):
            cache.update(pairs[2 * layer], pairs[2 * layer + 1], layer)
        return {
            "input_ids": tokens,
            "attention_mask": self.longer(mask),
            "position_ids": positions + self.length,
            "past_key_values": cache,
        }

    @property
    def computed_in_rows(self) -> int:
        """None: they stand in the cache."""
        return 0

    def vectors(self) -> Tensor:
        """All numbers of each virtual token. (P, 2 layers heads size)"""
        flat: Tensor = self.source()
        return flat.detach()


class Numbers(nn.Module):
    """Keys and values that are trained as they are."""

    def __init__(self, numbers: Tensor) -> None:
        super().__init__()
        self.numbers = nn.Parameter(numbers)

    def forward(self) -> Tensor:
        """All numbers of each virtual token."""
        return self.numbers


class Network(nn.Module):
    """Keys and values from a network of two layers."""

    def __init__(self, length: int, hidden: int, shape: Shape, generator: torch.Generator) -> None:
        super().__init__()

        def drawn(*sizes: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(sizes, generator=generator, device="cpu") / sizes[-1] ** 0.5)

        self.embeddings = drawn(length, hidden)
        self.inner = drawn(hidden, hidden)
        self.outer = drawn(shape.numbers, hidden)

    def forward(self) -> Tensor:
        """All numbers of each virtual token."""
        return torch.tanh(self.embeddings @ self.inner.T) @ self.outer.T


class _Prefixed:
    """A layout in which keys and values of each layer stand at places of the row."""

    def __init__(self, inner: Layout, pairs: Tensor, places: Tensor, trees: int) -> None:
        self.inner = inner
        self.pairs = pairs
        self.places = places
        self.trees = trees

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rules: Rules) -> Tensor:
        """Attention of one layer. query (1, H, T, d), key and value (1, Hkv, T, d) -> (1, H, T, d)."""
        own = self.pairs[2 * layer : 2 * layer + 2].to(key.dtype).repeat(1, 1, self.trees, 1)
        key = key.index_copy(2, self.places, own[:1])
        value = value.index_copy(2, self.places, own[1:])
        return self.inner.attend(layer, query, key, value, rules)


def add_prefix(model: PreTrainedModel, tuning: PrefixTuning, *, seed: int) -> PreTrainedModel:
    """Put a fresh prefix in front of every prompt of `model`; only its numbers require gradients.

    Raises:
        ModelError: the model keeps no keys and values, or not the same of every layer.
    """
    model.requires_grad_(False)
    generator = generator_from(seed, "prefix")
    table: Tensor = model.get_input_embeddings().weight
    drawn = torch.randint(0, table.shape[0], (1, tuning.length), generator=generator, device="cpu")
    numbers, shape = _activations(model, drawn.to(table.device))
    source: nn.Module = Numbers(numbers)
    if tuning.hidden is not None:
        source = Network(tuning.length, tuning.hidden, shape, generator).to(table.device)
    set_front(model, Prefix(source, shape, tuning.length))
    return model


def _activations(model: PreTrainedModel, tokens: Tensor) -> tuple[Tensor, Shape]:
    """Keys and values of all layers at some tokens: (P, 2 layers heads size) float32, and their shape."""
    implementation, training = model.config._attn_implementation, model.training
    model.set_attn_implementation("eager")
    cache = DynamicCache()
    try:
        with torch.no_grad():
            model.eval().get_decoder()(input_ids=tokens, past_key_values=cache, use_cache=True)
        pairs = [pair for layer in cache.layers for pair in (layer.keys, layer.values)]
        stacked = torch.cat(pairs)  # (2 layers, heads, P, size)
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ModelError(
            f"{type(model).__name__} cannot have a prefix, which takes keys and values of the same shape in every "
            f"layer ({str(error).splitlines()[0]}); set adapter.kind to prompt"
        ) from error
    finally:
        model.train(training).set_attn_implementation(implementation)
    count, heads, length, size = stacked.shape
    shape = Shape(layers=count // 2, heads=heads, size=size)
    return stacked.permute(2, 0, 1, 3).reshape(length, -1).float().contiguous(), shape
