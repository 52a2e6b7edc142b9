"""What a training stage costs: parameters, memory, floating-point operations, time; and whether it fits.

settings and data ──► demand.py ──► parameters and operations by formula (models/)
                                ──► memory by rehearsal (training/)
                                ──► time from a short measurement, where one is asked for
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from burnish.models.adapters import add_adapter, on_whole_weights
from burnish.models.flops import Extent, forward_flops, training_flops
from burnish.models.parameters import Parameters, empty_model, model_parameters
from burnish.numerics import default_device
from burnish.sampling.cache import fitting_cache
from burnish.stages.attempt import peak_memory_bytes
from burnish.stages.demand import Demand, Sampling, Trained, demand_of
from burnish.stages.training import TrainingStage
from burnish.training.memory import Holding, Phase, TrainedPart
from burnish.training.optimizer import moment_bytes
from burnish.training.plan import packed_cost, padded_cost
from burnish.training.rehearsal import Rehearsal, empty_part, rehearsed
from burnish.training.speed import product_rate, slice_rate

COPIES_OF_LOGITS = 4
"""Float32 tensors of rows x vocabulary that drawing a token holds at once (sampling/choose.py), the logits included."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a run costs.

    Attributes:
        parameters: by part, of each model that is trained.
        trainable: weights that are trained, adapters or all.
        phases: memory by phase and part, of one process.
        memory: bytes that there are.
        flops: operations of one update, sampling and passes without gradient included; and of the whole run.
        steps: updates.
        seconds: shortest and longest expected time of an update, None without a measurement.
        advice: what to change, empty where the run fits.
    """

    parameters: Mapping[str, Parameters]
    trainable: int
    phases: Sequence[Phase]
    memory: int
    flops: int
    run_flops: int
    steps: int
    seconds: tuple[float, float] | None
    advice: Sequence[str]

    @property
    def peak(self) -> Phase:
        """The largest phase."""
        return max(self.phases, key=lambda phase: phase.num_bytes)

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "parameters": {
                name: {**asdict(one), "total": one.total, "active": one.active} for name, one in self.parameters.items()
            },
            "trainable": self.trainable,
            "memory": {phase.name: dict(phase.parts) for phase in self.phases},
            "peak_memory_bytes": self.peak.num_bytes,
            "available_memory_bytes": self.memory,
            "fits": self.peak.num_bytes <= self.memory,
            "advice": list(self.advice),
            "flops_per_update": self.flops,
            "flops": self.run_flops,
            "updates": self.steps,
            "seconds_per_update": self.seconds,
        }


def costs_of(stage: TrainingStage, *, memory: int | None = None, ranks: int = 1, measure: bool = True) -> Costs:
    """What a training stage costs on this machine.

    Args:
        stage: with settings that its `plan` has passed.
        memory: bytes that there are; those of this machine if None.
        ranks: processes that share the work.
        measure: whether to measure how fast this machine is; a few seconds.

    Raises:
        BurnishError: the run could not succeed.
        ModelError: the layout or the model cannot be rehearsed.
    """
    demand = demand_of(stage, ranks=ranks)
    device = default_device()
    process = peak_memory_bytes() if device.type == "cpu" else 0  # it has imported and read what the run will
    parameters = {part.name: model_parameters(part.config) for part in demand.trained}
    adapters = {part.name: _adapter_size(demand, part) for part in demand.trained}
    holding = _holding(demand, parameters, adapters, ranks, process)
    there = memory if memory is not None else machine_memory(device)
    flops, once = _flops(demand, parameters, adapters)
    seconds = _seconds(demand, parameters, flops / ranks, device) if measure else None
    return Costs(
        parameters=parameters,
        trainable=sum(adapters[name] or parameters[name].total for name in parameters),
        phases=holding.phases(),
        memory=there,
        flops=flops,
        run_flops=flops * demand.steps + once,
        steps=demand.steps,
        seconds=seconds,
        advice=_advice(stage, demand, holding.peak, there),
    )


def machine_memory(device: torch.device) -> int:
    """Bytes of the device's memory; of the machine's on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _adapter_size(demand: Demand, part: Trained) -> int:
    """Weights of the adapter of a part, 0 without one."""
    if demand.adapter is None:
        return 0
    adapted = add_adapter(empty_model(part.config), on_whole_weights(demand.adapter), seed=0)
    return sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)


def _multiplied(demand: Demand, adapter: int) -> int | None:
    """Weights of an adapter that tokens are multiplied with, None without an adapter."""
    return None if demand.adapter is None else 0 if demand.virtual else adapter


def _holding(
    demand: Demand,
    parameters: Mapping[str, Parameters],
    adapters: Mapping[str, int],
    ranks: int,
    process: int,
) -> Holding:
    itemsize = demand.dtype.itemsize
    parts = []
    for part in demand.trained:
        found, adapter = parameters[part.name], adapters[part.name]
        rehearsal = Rehearsal(
            config=part.config,
            build=part.build,
            reads=part.reads,
            adapter=None if demand.adapter is None else on_whole_weights(demand.adapter),
            dtype=demand.dtype,
            twice=demand.twice,
        )
        layers = int(part.config.get_text_config(decoder=True).num_hidden_layers)
        parts.append(
            TrainedPart(
                weights=found.total + adapter,
                trained=adapter or found.total,
                folds=demand.folds,
                moments=moment_bytes(empty_part(rehearsal, layers)[0], part.optimizer, part.muon),
                spared=round((itemsize - demand.weight_bytes) * found.layer_products),
                layer=(found.attention + found.feed_forward) // layers,
                table=found.head_products,
                itemsize=itemsize,
                stretches=rehearsed(rehearsal, demand.largest),
            )
        )
    cache, logits = _sampler_bytes(demand.sampling, demand.trained[0], parameters, itemsize)
    return Holding(
        process=process,
        trained=parts,
        frozen={name: itemsize * model_parameters(config).total for name, config in demand.frozen.items()},
        cache=cache,
        logits=logits,
        accumulates=any(len(batch) > 1 for batch in demand.batches),
        packs=demand.dtype == torch.bfloat16 and default_device().type == "cpu",
        ranks=ranks,
    )


def _sampler_bytes(
    sampling: Sampling | None, policy: Trained, parameters: Mapping[str, Parameters], itemsize: int
) -> tuple[int, int]:
    """The cache, and the logits of all rows."""
    if sampling is None:
        return 0, 0
    cache = fitting_cache(
        sampling.cache_tokens,
        prompt_tokens=sampling.prompt_tokens,
        row_tokens=sampling.answer_tokens,
        num_prompts=sampling.prompts,
        num_samples=sampling.prompts * sampling.samples,
        max_rows=sampling.max_rows,
    )
    config = policy.config.get_text_config(decoder=True)
    values = vars(config)
    head_size = values.get("head_dim") or config.hidden_size // config.num_attention_heads
    per_token = 2 * config.num_hidden_layers * (values.get("num_key_value_heads") or config.num_attention_heads)
    logits = COPIES_OF_LOGITS * 4 * cache.rows.num_sequences * int(config.vocab_size)
    return cache.num_tokens * per_token * head_size * itemsize, logits


def _flops(demand: Demand, parameters: Mapping[str, Parameters], adapters: Mapping[str, int]) -> tuple[int, int]:
    """Of one update, the mean of those looked at; and of what is computed once before the first."""
    nothing = Extent(tokens=0, scored=0, pairs=0)
    extents = [demand.extent(micro.items) for batch in demand.batches for micro in batch if not micro.spare]
    total = sum(extents, nothing)
    flops = sum(
        training_flops(
            parameters[part.name],
            total,
            head=part.head,
            adapter=_multiplied(demand, adapters[part.name]),
            twice=demand.twice,
        )
        for part in demand.trained
    )
    policy = parameters[demand.trained[0].name]
    flops += demand.passes * forward_flops(policy, total)
    each = flops // len(demand.batches)
    if demand.sampling is not None:
        each += _sampling_flops(demand.sampling, policy) // demand.sampling.updates
    return each, forward_flops(policy, demand.extent(demand.once))


def _sampling_flops(sampling: Sampling, policy: Parameters) -> int:
    """Of a rollout: every prompt once, every token of an answer against what stands before it."""
    answers = sampling.prompts * sampling.samples
    tokens = answers * sampling.answer_tokens
    pairs = (
        tokens * (sampling.prompt_tokens + sampling.answer_tokens // 2) + sampling.prompts * sampling.prompt_tokens**2
    )
    whole = tokens + sampling.prompts * sampling.prompt_tokens
    return forward_flops(policy, Extent(tokens=whole, scored=tokens, pairs=pairs))


def _seconds(
    demand: Demand, parameters: Mapping[str, Parameters], flops: float, device: torch.device
) -> tuple[float, float]:
    """Of an update: by products alone, and by a slice of the model, or of a decoding step where answers are sampled."""
    policy = demand.trained[0]
    config = policy.config.get_text_config(decoder=True)
    width = int(config.hidden_size)
    rows = min(2048, sum(tree.num_tokens for tree in demand.largest))
    fast = product_rate(rows, width, 4 * width, dtype=demand.dtype, device=device)
    slow = slice_rate(policy.config, policy.build, policy.reads, head=policy.head, dtype=demand.dtype, device=device)
    sampling = demand.sampling
    if sampling is None:
        return flops / fast, flops / slow
    sampled = _sampling_flops(sampling, parameters[policy.name]) / sampling.updates
    answers = min(sampling.max_rows, sampling.prompts * sampling.samples)
    decoding = product_rate(answers, width, 4 * width, dtype=demand.dtype, device=device)
    return (flops - sampled) / fast + sampled / decoding, (flops - sampled) / slow + 2 * sampled / decoding


def _advice(stage: TrainingStage, demand: Demand, peak: Phase, memory: int) -> list[str]:
    """What would make it smaller, by what is largest; nothing if it fits."""
    if peak.num_bytes <= memory:
        return []
    of = peak.parts
    states = sum(of.get(name, 0) for name in ("masters", "gradients", "optimiser"))
    work = of.get("activations", 0) + of.get("temporaries", 0)
    tokens = (packed_cost if demand.layout == "tree" else padded_cost)(demand.largest)
    found: list[tuple[int, str]] = []
    if stage.train.optimizer.moments == "float32":
        found.append((3 * of.get("optimiser", 0) // 4, "moments in 8 bits: --train.optimizer.moments 8-bit"))
    if stage.adapter is None:
        found.append((states, "train an adapter in place of all weights: --adapter.rank 16"))
    if not stage.train.gradient_checkpointing:
        found.append((of.get("activations", 0), "compute activations twice: --train.gradient_checkpointing true"))
    if len(demand.largest) > 1:
        found.append((work // 2, f"smaller micro-batches: --train.fill {tokens // 2}"))
    if peak.name == "sample":
        found.append((of.get("cache", 0), "a smaller cache: --rollout.cache_tokens, --rollout.max_rows"))
    found.append((states // 2, "divide the work: burnish plan ... --ranks 2 shows what two processes would hold each"))
    return [text for saved, text in sorted(found, key=lambda pair: -pair[0]) if saved]
