"""The part that trains a mixture of experts: a language model with noisy gates, which says what its experts do.

    batch ──► noise and counts of every token ──► decoder (mixture.py) ──► hidden states ──► as `LanguageModel`
                                                          └──► loads of every layer

A batch of training carries the column `round`, its number in the run (`burnish.training.numbered`), and is computed
with noise; a batch without it is computed as in evaluation. So the noise does not hang on the mode of the module, and
the pass without gradient that an objective's statistics take sees the very noise of the pass with gradient.

The noise is a function of the seed, the round, the example, the token's place in the example, and the layer. Loads are
summed over the tokens of a batch; a prompt counts once, however many rows or micro-batches compute it. Both are so laid
out first as in the tree and then, in the padded layout, row by row: layouts and splits agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from burnish.batch import PaddedRows, TreeBatch, padded_rows
from burnish.errors import ModelError
from burnish.models.flex import tree_layout
from burnish.models.front import num_virtual
from burnish.models.gate import MODEL_TYPE, Loads, Routing
from burnish.models.language import LanguageModel, LayoutName, check_layouts, checked
from burnish.numerics import generator_from

ROUND = "round"
"""The column that marks a batch of training: its number in the run, on every completion."""


def is_routed(config: PretrainedConfig) -> bool:
    """Whether a model has noisy gates."""
    return bool(config.model_type == MODEL_TYPE)


class RoutedLanguageModel(nn.Module):
    """A mixture of experts as a part of training.

    Args:
        model: a `NoisyMoeForCausalLM`, adapters injected or not.
        layout: as for `LanguageModel`.
        seed: of the noise.

    Attributes:
        provides: `LanguageModel`'s outputs, and the loads.
        layout, reason: the layout that runs, and why it is not the tree.
        language: the same model without noise.
    """

    provides = LanguageModel.provides | {f"expert_{name}" for name in Loads._fields}

    def __init__(self, model: PreTrainedModel, *, layout: LayoutName = "auto", seed: int) -> None:
        super().__init__()
        self.language = LanguageModel(model, layout=layout)
        self.layout, self.reason = self.language.layout, self.language.reason
        self.seed = seed

    def forward(
        self, batch: TreeBatch, reads: frozenset[str], context: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """What is asked for; of each scored token, and loads of the whole batch.

        Args:
            batch: on the device of the model.
            reads: names among `provides`.
            context: as for `LanguageModel.forward`.

        Returns:
            As `LanguageModel.forward`, and `expert_importance`, `expert_load`, `expert_tokens`: (layers, E) float32,
            sums over the tokens of the batch.
        """
        hidden, loads = self._decoded(batch)
        named = {f"expert_{name}": value for name, value in loads._asdict().items()}
        found = self.language.outputs(hidden, batch, reads - named.keys(), context)
        return found | {name: value for name, value in named.items() if name in reads}

    def _decoded(self, batch: TreeBatch) -> tuple[Tensor, Loads]:
        """Hidden states that predict the scored tokens (N, D), and loads.

        Raises:
            ModelError: virtual tokens stand in front of the prompts, which the loads would count.
        """
        if num_virtual(self.language.model):
            raise ModelError(
                "the expert loads of a mixture have no place for virtual tokens in front of prompts; set adapter.kind "
                "to lora, dora or bottleneck"
            )
        config, device = self.language.model.config, batch.tokens_T.device
        counted_T = counts_once(batch)
        noise_TLE = gate_noise(batch, self.seed, layers=config.num_hidden_layers, experts=config.num_experts)
        if self.layout == "tree":
            source_N, inputs = batch.source_N, _tree_inputs(batch)
        else:
            rows = padded_rows(batch, padding_token=0)
            self.language.require_short_rows(rows.tokens_BL.shape[1])
            source_N, inputs = rows.source_N, _row_inputs(rows)
            counted_T, places = _in_rows(batch, counted_T)
            noise_TLE = None if noise_TLE is None else noise_TLE[places]
        routing = Routing(counted_T.to(device), None if noise_TLE is None else noise_TLE.to(device))
        out: Any = self.language.model.get_decoder()(**inputs, use_cache=False, routing=routing)
        states: Tensor = out.last_hidden_state
        return states.flatten(0, 1).index_select(0, source_N), routing.loads()


def routed_language_model(model: PreTrainedModel, *, layout: LayoutName = "auto", seed: int) -> RoutedLanguageModel:
    """A checked part; the arguments and errors are those of `language_model`, and the seed is that of the noise."""
    return checked(
        lambda name: RoutedLanguageModel(model, layout=name, seed=seed),
        check=lambda part: check_layouts(part.language),
        layout=layout,
    )


def _tree_inputs(batch: TreeBatch) -> dict[str, Any]:
    """The decoder's arguments in the tree layout."""
    layout = tree_layout(batch.segments, batch.tokens_T.device)
    tokens, positions = batch.tokens_T[None], batch.positions_T[None]
    return {"input_ids": tokens, "position_ids": positions, "attention_mask": None, "layout": layout}


def _row_inputs(rows: PaddedRows) -> dict[str, Any]:
    """The decoder's arguments in the padded layout."""
    return {"input_ids": rows.tokens_BL, "position_ids": rows.positions_BL, "attention_mask": rows.mask_BL}


def counts_once(batch: TreeBatch) -> Tensor:
    """1 for every token of the tree layout, 0 for a prompt that another piece of its example counts. (T,) on the CPU"""
    counted_T = torch.ones(batch.num_tokens)
    prompts = [segment for segment in batch.segments if segment.parent < 0]
    for segment, first in zip(prompts, batch.first, strict=True):
        if first:
            counted_T[segment.start : segment.stop] = 0.0
    return counted_T


def gate_noise(batch: TreeBatch, seed: int, *, layers: int, experts: int) -> Tensor | None:
    """Standard normal numbers for every token, layer and expert, None for a batch that is not of training.

    Args:
        batch: on any device.
        seed: of the run.
        layers, experts: of the model.

    Returns:
        (T, layers, E) float32 on the CPU.
    """
    if ROUND not in batch.columns:
        return None
    number, tree, branch = int(batch.columns[ROUND][0]), -1, 0
    drawn = []
    for start, stop, parent in batch.segments:
        if parent < 0:
            tree, place = tree + 1, -1
            branch = batch.first[tree]
        else:
            place, branch = branch, branch + 1
        generator = generator_from(seed, "gate", number, batch.ids[tree], place)
        drawn.append(torch.randn(stop - start, layers, experts, generator=generator))
    return torch.cat(drawn)


def _in_rows(batch: TreeBatch, counted_T: Tensor) -> tuple[Tensor, Tensor]:
    """The padded layout's counts, and the place of each of its tokens in the tree layout; padding counts 0 and is at 0.

    (B*L,) each. The first row of a tree counts its prompt.
    """
    children = [segment for segment in batch.segments if segment.parent >= 0]
    paths = [
        torch.cat([torch.arange(prompt.start, prompt.stop), torch.arange(child.start, child.stop)])
        for child in children
        for prompt in [batch.segments[child.parent]]
    ]
    width = max(map(len, paths))
    counted, places = torch.zeros(len(paths), width), torch.zeros(len(paths), width, dtype=torch.long)
    seen: set[int] = set()
    for row, (child, path) in enumerate(zip(children, paths, strict=True)):
        places[row, : len(path)] = path
        counted[row, : len(path)] = counted_T[path]
        if child.parent in seen:
            counted[row, : len(path) - (child.stop - child.start)] = 0.0
        seen.add(child.parent)
    return counted.flatten(), places.flatten()
