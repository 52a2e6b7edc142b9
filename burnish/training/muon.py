"""Muon for the matrices of the layers (Jordan et al. 2024, kellerjordan.github.io/posts/muon; Liu et al. 2025,
arXiv:2502.16982): momentum, made orthogonal.

    B  <-  mu B + (1 - mu) g            O  ~  U V^T  of  (1 - mu) g + mu B  =  U S V^T
    W  <-  W - rate (decay W + scale O)

Every direction of a matrix moves equally far, those that few examples ask for too. The product U V^T is approximated by
Newton-Schulz iterations in bf16, whose singular values end near 1 and not at it: torch's own implementation is used.
With `match_rms_adamw` the update has the size that AdamW's has, so AdamW's rate and decay serve both.

Embeddings, heads, norms and biases stay with AdamW: they have no inner dimension that features are mixed over. So do
stacked experts, which are three-dimensional.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from burnish.config import setting, settings
from burnish.errors import TrainingError
from burnish.models.layers import embedding_tables


@settings
class Muon:
    """Jordan et al. 2024."""

    learning_rate: float | None = setting(None, "step size of matrices; AdamW's if not given", ge=0)
    momentum: float = setting(0.95, "decay of the mean of gradients", ge=0, lt=1)
    nesterov: bool = setting(True, "mix the gradient into the mean once more before it is made orthogonal")
    iterations: int = setting(5, "of Newton and Schulz", ge=1, le=50)
    scale: Literal["match_rms_adamw", "original"] = setting(
        "match_rms_adamw", "0.2 sqrt(larger side), the size of AdamW's updates, or sqrt(max(1, rows / columns))"
    )


def hidden_matrices(module: nn.Module) -> frozenset[str]:
    """Names of the trainable matrices between embeddings and head; of a module without a transformers model all of its
    matrices but embeddings."""
    tables = embedding_tables(module)
    bodies = [child.base_model for child in module.modules() if isinstance(child, PreTrainedModel)]
    inside = {id(parameter) for body in bodies or [module] for parameter in body.parameters()}
    return frozenset(
        name
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
        and parameter.ndim == 2
        and min(parameter.shape) > 1
        and id(parameter) in inside
        and id(parameter) not in tables
    )


def muon_over(matrices: list[nn.Parameter], settings: Muon, *, rate: float, decay: float) -> torch.optim.Muon:
    """The optimiser of matrices.

    Args:
        matrices: float32 masters.
        settings: Muon's numbers.
        rate: AdamW's learning rate, for settings that have none.
        decay: share of a matrix taken away per update, times the rate.

    Raises:
        TrainingError: there are none, or they are divided among processes.
    """
    if not matrices:
        raise TrainingError("train.muon is given, and the model has no trainable matrix for it; leave it out")
    if any(isinstance(matrix, DTensor) for matrix in matrices):
        raise TrainingError(
            "train.muon needs whole matrices, and here they are divided among processes; type --train.divide nothing, "
            "or leave train.muon out"
        )
    return torch.optim.Muon(
        matrices,
        lr=rate if settings.learning_rate is None else settings.learning_rate,
        weight_decay=decay,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        ns_steps=settings.iterations,
        adjust_lr_fn=settings.scale,
    )
