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

from burnish.models.adapters import on_whole_weights
from burnish.models.layers import depths_of
from burnish.models.parameters import Parameters, counted, model_parameters
from burnish.models.untrained import empty_model, text_config
from burnish.numerics import default_device
from burnish.sampling.cache import fitting_cache
from burnish.stages.attempt import peak_memory_bytes
from burnish.stages.demand import Demand, Sampling, Trained, demand_of
from burnish.stages.online import OnlineStage
from burnish.stages.operations import flops_of, seconds_of
from burnish.stages.row_demand import RowStage, row_demand
from burnish.stages.training import TrainingStage
from burnish.training.memory import Holding, Phase, TrainedPart
from burnish.training.optimizer import moment_bytes
from burnish.training.rehearsal import Rehearsal, empty_part, rehearsed

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


def costs_of(
    stage: TrainingStage | RowStage, *, memory: int | None = None, ranks: int = 1, measure: bool = True
) -> Costs:
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
    demand = demand_of(stage) if isinstance(stage, TrainingStage) else row_demand(stage)
    device = default_device()
    process = peak_memory_bytes() if device.type == "cpu" else 0  # it has imported and read what the run will
    parameters = {part.name: _parameters(demand, part) for part in demand.trained}
    adapters = {part.name: _adapter_size(demand, part) for part in demand.trained}
    holding = _holding(demand, parameters, adapters, ranks, process)
    there = memory if memory is not None else machine_memory(device)
    flops, once = flops_of(demand, parameters, adapters)
    seconds = seconds_of(demand, parameters, flops, device, ranks=ranks) if measure else None
    return Costs(
        parameters=parameters,
        trainable=sum(adapters[name] or parameters[name].total for name in parameters),
        phases=holding.phases(),
        memory=there,
        flops=flops,
        run_flops=flops * demand.steps + once,
        steps=demand.steps,
        seconds=seconds,
        advice=_advice(stage, demand, holding, there, ranks),
    )


def machine_memory(device: torch.device) -> int:
    """Bytes of the device's memory; of the machine's on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _parameters(demand: Demand, part: Trained) -> Parameters:
    """Of a part; of a model of rows from its module, as its head is one of several."""
    return counted(empty_model(part.config, part.make)) if demand.layout == "rows" else model_parameters(part.config)


def _adapter_size(demand: Demand, part: Trained) -> int:
    """Weights that train beside frozen ones: of the adapter, and of a head that goes with it; 0 without an adapter."""
    if demand.adapter is None:
        return 0
    adapted = part.adapt(empty_model(part.config, part.make), on_whole_weights(demand.adapter))
    return sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)


def _holding(
    demand: Demand,
    parameters: Mapping[str, Parameters],
    adapters: Mapping[str, int],
    ranks: int,
    process: int,
) -> Holding:
    itemsize, divided = demand.dtype.itemsize, ranks if demand.divides else 1
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
            make=part.make,
            adapt=part.adapt,
        )
        depths = depths_of(text_config(part.config))
        whole, model = empty_part(rehearsal, *depths)
        table = model.get_input_embeddings().weight
        behind = [parameter.numel() for parameter in model.parameters() if parameter is not table]
        parts.append(
            TrainedPart(
                name=part.name,
                weights=table.numel() + sum(behind) if adapter else found.total,
                trained=adapter or found.total,
                folds=demand.folds,
                moments=moment_bytes(whole, part.optimizer, part.muon),
                spared=round((itemsize - demand.weight_bytes) * found.layer_products),
                layer=(found.attention + found.feed_forward) // sum(depths),
                table=found.head_products,
                itemsize=itemsize,
                stretches=rehearsed(rehearsal, demand.largest),
                anchored=found.total if demand.anchored and part is demand.trained[0] else 0,
                matrix=max(behind),
            )
        )
    cache, logits = _sampler_bytes(demand.sampling, demand.trained[0], parameters, itemsize)
    return Holding(
        process=process,
        trained=parts,
        frozen={
            name: itemsize * model_parameters(config).total // (divided if name == "reference" else 1)
            for name, config in demand.frozen.items()
        },
        cache=cache,
        logits=logits,
        accumulates=any(len(batch) > ranks for batch in demand.batches),
        packs=demand.dtype == torch.bfloat16 and default_device().type == "cpu",
        estimates=demand.estimates,
        ranks=divided,
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


def _advice(stage: TrainingStage | RowStage, demand: Demand, holding: Holding, memory: int, ranks: int) -> list[str]:
    """What would make it smaller, by what is largest; nothing if it fits."""
    peak = holding.peak
    if peak.num_bytes <= memory:
        return []
    of = peak.parts
    moments = sum(size for name, size in of.items() if name.startswith("optimiser"))
    states = moments + sum(size for name, size in of.items() if name.startswith(("masters", "gradients")))
    work = of.get("activations", 0) + of.get("temporaries", 0)
    tokens = demand.cost(demand.largest)
    found: list[tuple[int, str]] = []
    if stage.train.optimizer.moments == "float32" and (ranks == 1 or not demand.divides):
        found.append((3 * moments // 4, "moments in 8 bits: --train.optimizer.moments 8-bit"))
    if "adapter" in demand.offers:
        found.append((states, "train an adapter in place of all weights: --adapter.rank 16"))
    if "gradient_checkpointing" in demand.offers:
        found.append((of.get("activations", 0), "compute activations twice: --train.gradient_checkpointing true"))
    if len(demand.largest) > 1:  # gradients stand beside the activations of the second
        added = 0 if holding.accumulates else sum(part.gradients(holding.ranks) for part in holding.trained)
        found.append((work // 2 - added, f"smaller micro-batches: --train.fill {tokens // 2}"))
    elif not isinstance(stage, TrainingStage):
        found.append((work // 2, f"shorter rows: --max_tokens {stage.max_tokens // 2}"))
    if peak.name == "sample":
        where = "rollout" if isinstance(stage, OnlineStage) else "held_out_tasks"
        found.append((of.get("cache", 0), f"a smaller cache: --{where}.cache_tokens, --{where}.max_rows"))
    if "divide" in demand.offers:
        more = 2 * ranks
        found.append(
            (states // 2, f"divide the work: burnish plan ... --ranks {more} shows what each of {more} would hold")
        )
    return [text for saved, text in sorted(found, key=lambda pair: -pair[0]) if saved > 0]
