"""`ewc`: elastic weight consolidation beside the objective of any verb that trains all weights of a language model.

The penalty holds the weights at those that the run starts from, so the Fisher information must have been estimated at
these very weights; a digest that goes with it is compared. With an adapter the model's own weights do not move and the
adapter's begin at nothing, so there is nothing to hold, and it is refused.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from burnish.config import setting, settings
from burnish.errors import ModelError
from burnish.objectives.elastic import elastic
from burnish.stages.fisher import read_fisher
from burnish.training.fisher import weights_digest
from burnish.training.parallel import put_whole, wholes
from burnish.training.trainer import Trainer


@settings
class EWC:
    """Elastic weight consolidation (Kirkpatrick et al. 2017)."""

    fisher: str = setting(..., "a run of burnish fisher on the model that this run starts from", source=True)
    strength: float = setting(..., "lambda: what leaving the start costs, by the Fisher information per token", gt=0)


def hold(trainer: Trainer[Any], ewc: EWC, *, main: str, module: nn.Module, model: PreTrainedModel, name: str) -> None:
    """Give a trainer, before its first update, the penalty beside its objective. All ranks must call it.

    Args:
        trainer: with the weights that the run starts from.
        ewc: which Fisher information, and how strong.
        main: the part over the start model.
        module: that part.
        model: the transformers model in it.
        name: of the start model, for messages.

    Raises:
        ModelError: the Fisher information is of other weights.
    """
    values, digest = read_fisher(ewc.fisher)
    in_part = {id(parameter): own for own, parameter in module.named_parameters()}
    masters = trainer.optimizers[main].masters
    held = {
        own: masters[in_part[id(parameter)]]
        for own, parameter in model.named_parameters()
        if in_part[id(parameter)] in masters
    }
    if weights_digest(wholes(held)) != digest:
        raise ModelError(
            f"the Fisher information in {ewc.fisher} was estimated at other weights than those of {name}; "
            f"make it anew with: burnish fisher --model {name}"
        )
    fisher = {own: torch.zeros_like(master, requires_grad=False) for own, master in held.items()}
    for own, target in fisher.items():
        put_whole(values[own].to(target.device), target)
    start = {own: master.detach().clone() for own, master in held.items()}
    trainer.objective = elastic(trainer.objective, strength=ewc.strength, trained=held, start=start, fisher=fisher)
