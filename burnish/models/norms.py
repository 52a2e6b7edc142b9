"""Root-mean-square norms on the CPU, with a backward pass of their own.

    y = w n     n = s x     s = (mean x^2 + eps)^(-1/2)            (Zhang and Sennrich 2019)
    dx = s (w g - n mean(w g n))     dw = sum over tokens of g n

Written out in Python, as model families have it, a norm keeps three copies of its input for the backward pass, two of
them in float32, and goes over them some fifteen times. Here the input is kept, as it came, and one scale per token.
There is no kernel of torch's for it on the CPU: `rms_norm` is made of the same steps there. Where no gradient is wanted
the family's own forward runs, which gives the same bits.

A family's norm is replaced where it gives the same bits, which is tried with numbers and not read off its name.
Gemma's, which multiplies with 1 + w, is not, and stays as it is.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributed.tensor import DTensor
from torch.func import functional_call

from burnish.numerics import generator_from


def replace_norms(model: nn.Module) -> int:
    """Have the norms of a model that are plain root-mean-square norms computed here; returns how many are.

    Args:
        model: its modules' forward is replaced on the CPU; weights, names and what is saved stay as they are.
    """
    places = [module for module in model.modules() if _is_plain(module)]
    for place in places:
        place.forward = _Norm(place)
    return len(places)


class _Norm:
    """What stands in for a norm's forward; it is copied with its module."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.epsilon: float = module.__dict__["variance_epsilon"]

    def __call__(self, hidden_states: Tensor) -> Tensor:
        weight = self.module.get_parameter("weight")
        here = hidden_states.device.type == "cpu" and not isinstance(weight, DTensor)
        if not here or not torch.is_grad_enabled():
            result: Tensor = type(self.module).forward(self.module, hidden_states)
            return result
        return rms_norm(hidden_states, weight, self.epsilon)


def rms_norm(hidden: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """The norm of each token, computed in float32.

    Args:
        hidden: (..., D).
        weight: (D,).
        epsilon: added to the mean square.

    Returns:
        (..., D), in the dtype of `hidden`. It can be differentiated once.
    """
    result: Tensor = _RMSNorm.apply(hidden, weight, epsilon)  # type: ignore[no-untyped-call]
    return result


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        wide = hidden.to(_wide(hidden))
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
        ctx.save_for_backward(hidden, weight, scale)
        normed: Tensor = (wide * scale).to(hidden.dtype)
        return normed * weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        hidden, weight, scale = ctx.saved_tensors
        size = hidden.shape[-1]
        normed = (hidden.to(scale.dtype) * scale).view(-1, size)
        slope = gradient.to(scale.dtype).reshape(-1, size)
        product = slope * normed
        wide = weight.to(scale.dtype)
        along = (product @ wide)[:, None].div_(-size)
        by_weight = product.sum(0).to(weight.dtype) if ctx.needs_input_grad[1] else None
        by_hidden = torch.mul(slope, wide, out=product).addcmul_(normed, along).mul_(scale.view(-1, 1))
        return by_hidden.view(hidden.shape).to(hidden.dtype), by_weight, None


def _wide(hidden: Tensor) -> torch.dtype:
    return torch.promote_types(hidden.dtype, torch.float32)


def _is_plain(module: nn.Module) -> bool:
    """Whether a module computes what `rms_norm` does: a vector of weights, an epsilon, and the same numbers.

    It is tried with weights made here, as the module's own may not have numbers yet.
    """
    epsilon = module.__dict__.get("variance_epsilon")
    shapes = {name: tuple(weight.shape) for name, weight in module.named_parameters()}
    if not isinstance(epsilon, float) or "forward" in module.__dict__ or set(shapes) != {"weight"}:
        return False
    takes_tokens_alone = len(inspect.signature(type(module).forward).parameters) == 2
    if len(shapes["weight"]) != 1 or not takes_tokens_alone:
        return False
    with torch.no_grad(), torch.device("cpu"):  # a model may be made on shapes alone
        weight, *tokens = torch.randn(4, *shapes["weight"], generator=generator_from("norm"))
        found = functional_call(module, {"weight": weight}, (torch.stack(tokens),))
        return torch.equal(found, rms_norm(torch.stack(tokens), weight, epsilon))
