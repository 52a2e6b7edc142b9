"""The part that trains a mixture of experts: a language model with noisy gates, which says what its experts do.

    batch ──► noise and counts of every token ──► decoder (mixture.py) ──► hidden states ──► as `LanguageModel`
                                                          └──► loads of every layer

A batch of training carries the column `round`, its number in the run (`burnish.training.numbered`), and is computed
with noise; a batch without it is computed as in evaluation. So the noise does not hang on the mode of the module, and
the pass without gradient that an objective's statistics take sees the very noise of the pass with gradient.

The noise is a function of the seed, the round, the example, the token's place in the example, and the layer. Loads are
summed over the tokens of a batch; a prompt counts once, however many rows or micro-batches compute it. Both are so laid
out first as in the tree and then, in the padded layout, row by row: layouts and splits agree. Virtual tokens in front
of prompts (front.py) are no tokens of an example: they count nothing, and their gates have no noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel

from burnish.batch import Segment, TreeBatch, padded_rows
from burnish.models.flex import tree_layout
from burnish.models.front import front_of, fronted, num_virtual
from burnish.models.gate import MODEL_TYPE, Loads, Routing
from burnish.models.language import LanguageModel, LayoutName, check_layouts, checked
from burnish.numerics import generator_from

ROUND = "round"
"""The column that marks a batch of training: its number in the run, on every completion."""


def is_routed(config: PretrainedConfig) -> bool:
    """Whether a model has noisy gates."""
    return bool(config.model_type == MODEL_TYPE)


@dataclass(frozen=True, kw_only=True)
class _Computed:
    """What one forward pass computes, P places in the order of its rows.

    Attributes:
        inputs: the decoder's arguments.
        source: where in the tree layout the token of each place stands, -1 for padding and virtual tokens. (P,)
        counted: how often it counts. (P,)
        scored_N: places whose hidden states predict the targets.
    """

    inputs: Mapping[str, Any]
    source: Tensor
    counted: Tensor
    scored_N: Tensor


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
        """Hidden states that predict the scored tokens (N, D), and loads."""
        config, device = self.language.model.config, batch.tokens_T.device
        noise_TLE = gate_noise(batch, self.seed, layers=config.num_hidden_layers, experts=config.num_experts)
        found = self._in_tree(batch) if self.layout == "tree" else self._in_rows(batch)
        if noise_TLE is not None:
            noise_TLE = noise_TLE[found.source.clamp_min(0)] * (found.source >= 0)[:, None, None]
        routing = Routing(found.counted.to(device), None if noise_TLE is None else noise_TLE.to(device))
        out: Any = self.language.model.get_decoder()(**found.inputs, use_cache=False, routing=routing)
        states: Tensor = out.last_hidden_state
        return states.flatten(0, 1).index_select(0, found.scored_N), routing.loads()

    def _in_tree(self, batch: TreeBatch) -> _Computed:
        """The batch in one row."""
        model, device = self.language.model, batch.tokens_T.device
        front = front_of(model)
        if front is None:
            layout = tree_layout(batch.segments, device)
            inputs: Mapping[str, Any] = {"input_ids": batch.tokens_T[None]}
            source, positions_T, scored_N = torch.arange(batch.num_tokens), batch.positions_T, batch.source_N
        else:
            row = fronted(batch, front.length)
            inputs, layout = front.placed(model, row.tokens_T[None], tree_layout(row.segments, device), row.places)
            source, positions_T = _behind_virtual(batch.segments, front.length), row.positions_T
            scored_N = row.own_T.index_select(0, batch.source_N)
        shape = {"position_ids": positions_T[None], "attention_mask": None, "layout": layout}
        counted = counts_once(batch)[source.clamp_min(0)] * (source >= 0)
        return _Computed(inputs={**inputs, **shape}, source=source, counted=counted, scored_N=scored_N)

    def _in_rows(self, batch: TreeBatch) -> _Computed:
        """A row for each completion."""
        model = self.language.model
        rows = padded_rows(batch, padding_token=0)
        width = rows.tokens_BL.shape[1]
        self.language.require_short_rows(num_virtual(model) + width)
        source_BL, counted_BL = _rows_of(batch)
        given: Mapping[str, Any] = {
            "input_ids": rows.tokens_BL,
            "position_ids": rows.positions_BL,
            "attention_mask": rows.mask_BL,
        }
        lead = 0
        if (front := front_of(model)) is not None:
            given = front.row_inputs(model, rows.tokens_BL, rows.mask_BL, rows.positions_BL)
            lead = front.computed_in_rows
        return _Computed(
            inputs=given,
            source=functional.pad(source_BL, (lead, 0), value=-1).flatten(),
            counted=functional.pad(counted_BL, (lead, 0)).flatten(),
            scored_N=rows.source_N + lead * (1 + rows.source_N // width),
        )


def routed_language_model(model: PreTrainedModel, *, layout: LayoutName = "auto", seed: int) -> RoutedLanguageModel:
    """A checked part; the arguments and errors are those of `language_model`, and the seed is that of the noise."""
    return checked(
        lambda name: RoutedLanguageModel(model, layout=name, seed=seed),
        check=lambda part: check_layouts(part.language),
        layout=layout,
    )


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


def _behind_virtual(segments: Sequence[Segment], length: int) -> Tensor:
    """The place in the tree layout of each place of a row whose prompts begin with virtual tokens, -1 for these."""
    found: list[int] = []
    for start, stop, parent in segments:
        found += [-1] * length if parent < 0 else []
        found += range(start, stop)
    return torch.tensor(found)


def _rows_of(batch: TreeBatch) -> tuple[Tensor, Tensor]:
    """Of each place in the padded layout: its place in the tree layout, -1 for padding; and how often it counts.

    (B, L) each. The first row of a tree counts its prompt.
    """
    counted_T = counts_once(batch)
    children = [segment for segment in batch.segments if segment.parent >= 0]
    paths = [
        torch.cat([torch.arange(prompt.start, prompt.stop), torch.arange(child.start, child.stop)])
        for child in children
        for prompt in [batch.segments[child.parent]]
    ]
    width = max(map(len, paths))
    counted, places = torch.zeros(len(paths), width), torch.full((len(paths), width), -1)
    seen: set[int] = set()
    for row, (child, path) in enumerate(zip(children, paths, strict=True)):
        places[row, : len(path)] = path
        counted[row, : len(path)] = counted_T[path]
        if child.parent in seen:
            counted[row, : len(path) - (child.stop - child.start)] = 0.0
        seen.add(child.parent)
    return places, counted
