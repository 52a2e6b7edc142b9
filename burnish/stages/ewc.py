"""`ewc`: elastic weight consolidation beside the objective of any verb that trains all weights of a model.

The penalty holds the weights at those that the run starts from, so the Fisher information must have been estimated at
these very weights; digests that go with it are compared. Weights that it does not name are free: those of a fresh head.
With an adapter the model's own weights do not move and the adapter's begin at nothing, so there is nothing to hold, and
it is refused.
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
from burnish.training.fisher import weight_digests
from burnish.training.parallel import put_whole, wholes
from burnish.training.trainer import Trainer


@settings
class EWC:
    """Elastic weight consolidation (Kirkpatrick et al. 2017)."""

    fisher: str = setting(
        ..., "a run of burnish fisher on the start model, or the run that made it, with its setting fisher", source=True
    )
    strength: float = setting(..., "lambda: what leaving the start costs, by the Fisher information per target", gt=0)


def hold(
    trainer: Trainer[Any], ewc: EWC, *, main: str, module: nn.Module, model: PreTrainedModel, name: str
) -> list[str]:
    """Give a trainer, before its first update, the penalty beside its objective. All ranks must call it.

    Args:
        trainer: with the weights that the run starts from.
        ewc: which Fisher information, and how strong.
        main: the part over the start model.
        module: that part.
        model: the transformers model in it.
        name: of the start model, for messages.

    Returns:
        Names of the trained weights that are free, as the Fisher information does not name them.

    Raises:
        ModelError: the Fisher information is of other weights.
    """
    values, digests = read_fisher(ewc.fisher)
    in_part = {id(parameter): own for own, parameter in module.named_parameters()}
    masters = trainer.optimizers[main].masters
    trained = {
        own: masters[in_part[id(parameter)]]
        for own, parameter in model.named_parameters()
        if in_part[id(parameter)] in masters
    }
    held = {own: master for own, master in trained.items() if own in values}
    found = weight_digests(wholes(held))
    if not held or found != {own: digests.get(own) for own in held}:
        raise ModelError(
            f"the Fisher information in {ewc.fisher} was estimated at other weights than those of {name}; "
            f"make it anew with: burnish fisher --model {name}, or, of another model than a language model, with the "
            "setting fisher of the verb that trains it"
        )
    fisher = {own: torch.zeros_like(master, requires_grad=False) for own, master in held.items()}
    for own, target in fisher.items():
        put_whole(values[own].to(target.device), target)
    start = {own: master.detach().clone() for own, master in held.items()}
    trainer.objective = elastic(trainer.objective, strength=ewc.strength, trained=held, start=start, fisher=fisher)
    return [own for own in trained if own not in held]


def adapter_mistakes(ewc: EWC | None, adapter: Any) -> list[str]:
    """What is wrong with holding weights beside an adapter; nothing if only one of the two is asked for."""
    if ewc is None or adapter is None:
        return []
    return ["ewc holds the model's own weights, and with an adapter these do not move; leave one of the two out"]
