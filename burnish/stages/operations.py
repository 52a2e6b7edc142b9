"""Operations of a run, by formula, and the time that they take, from a short measurement of this machine.

micro-batches ──► extents by reader ─┐
models ──► stacks by reader ─────────┴► operations of an update ──► seconds, by products alone and by a slice
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from transformers import PreTrainedModel

from burnish.models.adapters import on_whole_weights
from burnish.models.flops import Extent, forward_flops, training_flops, tree_extent
from burnish.models.parameters import Parameters, model_parameters
from burnish.models.stacks import Extents, Reader, Stack, one_stack, row_extents, stacks_of, together
from burnish.models.untrained import empty_model, text_config
from burnish.stages.demand import Demand, Sampling, Trained
from burnish.training.speed import first_items, product_rate, slice_rate, slice_trees


def flops_of(demand: Demand, parameters: Mapping[str, Parameters], adapters: Mapping[str, int]) -> tuple[int, int]:
    """Of one update, the mean of those looked at; and of what is computed once before the first."""
    total = together(demand.extents(micro.items) for batch in demand.batches for micro in batch if not micro.spare)
    flops = sum(
        _training(_stacks(demand, part, parameters[part.name], adapters[part.name]), total, part, twice=demand.twice)
        for part in demand.trained
    )
    policy = parameters[demand.trained[0].name]
    flops += demand.passes * sum(forward_flops(policy, extent) for extent in total.values())
    each = flops // len(demand.batches)
    if demand.sampling is not None:
        each += _sampling(demand.sampling, policy) // demand.sampling.updates
    once = forward_flops(policy, demand.extents(demand.once)["tokens"]) if demand.once else 0
    return each, once


def seconds_of(
    demand: Demand, parameters: Mapping[str, Parameters], flops: int, device: torch.device, *, ranks: int
) -> tuple[float, float]:
    """Of an update of so many operations, shared by so many processes: by products alone, and by a slice of the model,
    or of a decoding step where answers are sampled."""
    policy = demand.trained[0]
    width = int(text_config(policy.config).hidden_size)
    rows = min(2048, sum(item.num_tokens for item in demand.largest))
    fast = product_rate(rows, width, 4 * width, dtype=demand.dtype, device=device)
    slow = _rate_of_slice(demand, policy, device)
    sampling = demand.sampling
    if sampling is None:
        return flops / ranks / fast, flops / ranks / slow
    sampled = _sampling(sampling, parameters[policy.name]) / sampling.updates / ranks
    trained = flops / ranks - sampled
    answers = min(sampling.max_rows, sampling.prompts * sampling.samples)
    decoding = product_rate(answers, width, 4 * width, dtype=demand.dtype, device=device)
    return trained / fast + sampled / decoding, trained / slow + 2 * sampled / decoding


def _stacks(demand: Demand, part: Trained, parameters: Parameters, adapter: int) -> Mapping[Reader, Stack]:
    """The matrices of a part by what they multiply; those of a model of trees all together."""
    if demand.layout != "rows":
        multiplied = None if demand.adapter is None else 0 if demand.virtual else adapter
        return one_stack(parameters, multiplied)
    model = empty_model(part.config, part.make)
    if demand.adapter is not None:
        part.adapt(model, on_whole_weights(demand.adapter))
    return stacks_of(model, pooled=part.pooled, predicts=part.head, adapted=demand.adapter is not None)


def _training(stacks: Mapping[Reader, Stack], extents: Extents, part: Trained, *, twice: bool) -> int:
    """Of forward and backward passes."""
    return sum(
        training_flops(stack, extents[reader], head=part.head, adapter=stack.adapter, twice=twice, keeps=stack.keeps)
        for reader, stack in stacks.items()
    )


def _sampling(sampling: Sampling, policy: Parameters) -> int:
    """Of a rollout: every prompt once, every token of an answer against what stands before it."""
    answers = sampling.prompts * sampling.samples
    tokens = answers * sampling.answer_tokens
    pairs = (
        tokens * (sampling.prompt_tokens + sampling.answer_tokens // 2) + sampling.prompts * sampling.prompt_tokens**2
    )
    whole = tokens + sampling.prompts * sampling.prompt_tokens
    return forward_flops(policy, Extent(tokens=whole, scored=tokens, pairs=pairs))


def _rate_of_slice(demand: Demand, part: Trained, device: torch.device) -> float:
    """Operations per second of a part with two layers: on trees, or on the first rows of the run's own."""
    is_rows = demand.layout == "rows"
    items = first_items(demand.largest) if is_rows else slice_trees()
    extents: Extents = row_extents(items) if is_rows else {"tokens": tree_extent(items)}

    def flops(model: PreTrainedModel) -> int:
        if is_rows:
            stacks = stacks_of(model, pooled=part.pooled, predicts=part.head, adapted=False)
        else:
            stacks = one_stack(model_parameters(model.config), None)
        return _training(stacks, extents, part, twice=False)

    return slice_rate(
        part.config, part.build, part.reads, items, flops=flops, make=part.make, dtype=demand.dtype, device=device
    )
