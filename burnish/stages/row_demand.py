"""What a run on padded rows will ask of a machine: denoising and specialists, as `demand.py` has it of trees."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from burnish.models.adapters import Adapter
from burnish.models.lora import Dora, Lora
from burnish.models.stacks import row_tokens
from burnish.models.untrained import Untrained, empty_model
from burnish.numerics import compute_dtype, default_device
from burnish.stages.demand import LOOKED_AT, Demand, Offer, Trained
from burnish.stages.denoise import DenoiseStage
from burnish.stages.row_run import RowRun
from burnish.stages.specialist import SpecialistStage
from burnish.stages.specialist_start import PART, specialist_start
from burnish.training.plan import ample, plan

RowStage = DenoiseStage | SpecialistStage[Any, Any]
"""Stages that train on padded rows."""


def row_demand(stage: RowStage) -> Demand:
    """What such a stage asks for.

    Args:
        stage: with settings that its `plan` has passed.

    Raises:
        BurnishError: the run could not succeed.
    """
    run: RowRun[Any] = stage.planned()
    model = empty_model(run.model.config, run.model.make)
    weights = sum(parameter.numel() for parameter in model.parameters())
    batches = [batch for _ in range(min(run.steps, LOOKED_AT)) if (batch := run.source.next({})) is not None]
    offers: tuple[Offer, ...] = ("adapter",) if stage.adapter is None and stage.ewc is None else ()
    return Demand(
        trained=(_trained(stage, run, model),),
        frozen={},
        adapter=stage.adapter,
        dtype=compute_dtype(stage.train.precision, default_device()),
        layout="rows",
        twice=False,
        batches=[
            plan(
                batch,
                budget=stage.train.token_budget,
                fill=stage.train.fill or ample(weights, default_device()),
                most_items=stage.train.micro_batch_size,
                coupling=run.goal.coupling,
                cost=row_tokens,
            )[0]
            for batch in batches
        ],
        steps=run.steps,
        passes=int(run.goal.has_statistics),
        once=(),
        sampling=None,
        anchored=stage.ewc is not None,
        estimates=stage.fisher is not None,
        divides=False,
        offers=frozenset(offers),
    )


def _trained(stage: RowStage, run: RowRun[Any], model: PreTrainedModel) -> Trained:
    with torch.device("meta"):
        part: Any = run.part(model)
    reads = frozenset(run.goal.reads) & part.provides
    return Trained(
        name=PART,
        config=run.model.config,
        build=run.part,
        reads=reads,
        head="logp" in reads,
        optimizer=stage.train.optimizer,
        muon=stage.train.muon,
        make=run.model.make,
        adapt=partial(_adapted, run.model),
        pooled=run.model.pooled,
    )


def _adapted(untrained: Untrained, model: PreTrainedModel, adapter: Adapter) -> nn.Module:
    """The model with its adapter, and with what trains whole beside it."""
    assert isinstance(adapter, (Lora, Dora))  # no other can be set for these stages
    return specialist_start(model, untrained.head(model), model, adapter=adapter, seed=0).model
