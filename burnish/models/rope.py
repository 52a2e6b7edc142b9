"""Longer contexts by scaled rotary positions: position interpolation, NTK-aware scaling, YaRN.

Pair i of a head of d numbers turns by theta_i = base^(-2i/d) for each token. For a context that is s times as long:

    linear   theta_i / s                                                   Chen et al. 2023, arXiv 2306.15595
    ntk      base s^(d/(d-2)) in place of base: the fastest pair stays,    bloc97 2023; Peng et al. 2023, section 3.1
             the slowest turns s times as slowly
    yarn     r_i theta_i + (1 - r_i) theta_i / s, and queries times keys   Peng et al. 2023, arXiv 2309.00071,
             times (0.1 ln s + 1)^2, their "temperature"                   sections 3.2 to 3.4

    r falls in a straight line from 1 to 0 over the pairs, from the one that turns `beta_fast` times in the original
    context (low, rounded down) to the one that turns `beta_slow` times (high, rounded up):

        pair that turns n times in L tokens  =  d ln(L / (2 pi n)) / (2 ln base)

None depends on the length of a row, so packed trees and cached decoding run them as they are: the model's own rotary
module turns by positions, and holds frequencies and factor. What transformers makes of the config is compared with the
formulas here before a model is given out. Dynamic scaling, which changes with the row, is left to models that have it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from burnish.config import setting, settings
from burnish.errors import ModelError
from burnish.models.load import quiet


@settings
class Interpolation:
    """Positions divided by the factor."""

    kind: Literal["linear"] = setting("linear", "every pair turns more slowly by the factor")
    factor: float = setting(4.0, "how many times as long the context becomes", gt=1)


@settings
class NTK:
    """A larger base."""

    kind: Literal["ntk"] = setting("ntk", "a larger base: fast pairs hardly change, the slowest by the factor")
    factor: float = setting(4.0, "how many times as long the context becomes", gt=1)


@settings
class YaRN:
    """Fast pairs as they are, slow ones interpolated, and a temperature on attention."""

    kind: Literal["yarn"] = setting("yarn", "fast pairs stay, slow ones turn more slowly; attention is sharpened")
    factor: float = setting(4.0, "how many times as long the context becomes", gt=1)
    beta_fast: float = setting(32.0, "turns in the original context from which a pair stays as it is", gt=0)
    beta_slow: float = setting(1.0, "turns up to which a pair is slowed by the whole factor", gt=0)
    attention: float | None = setting(None, "factor on queries and on keys; 0.1 ln factor + 1 if not given", gt=0)

    def __post_init__(self) -> None:
        if self.beta_fast <= self.beta_slow:
            raise ValueError(f"beta_fast is {self.beta_fast:g}; set it above beta_slow, which is {self.beta_slow:g}")


Scaling = Interpolation | NTK | YaRN


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """How positions turn queries and keys.

    Attributes:
        frequencies: radians for each token, by pair, (d/2,) float64.
        attention: factor on the turned queries, and on the turned keys.
    """

    frequencies: Tensor
    attention: float


def rotation(scaling: Scaling, *, base: float, size: int, original: int) -> Rotation:
    """The formulas at the head of this file.

    Args:
        scaling: which of them.
        base: of the model before.
        size: d, the numbers of a head that are turned.
        original: L, the context of the model before, tokens.
    """
    pairs = torch.arange(0, size, 2, dtype=torch.float64) / size
    plain = base**-pairs
    if isinstance(scaling, Interpolation):
        return Rotation(frequencies=plain / scaling.factor, attention=1.0)
    if isinstance(scaling, NTK):
        return Rotation(frequencies=ntk_base(base, scaling.factor, size) ** -pairs, attention=1.0)
    low = max(math.floor(_pair(scaling.beta_fast, base, size, original)), 0)
    high = min(math.ceil(_pair(scaling.beta_slow, base, size, original)), size - 1)
    falls = (torch.arange(size // 2, dtype=torch.float64) - low) / (high - low if high != low else 0.001)
    kept = 1 - falls.clamp(0, 1)
    factor = 0.1 * math.log(scaling.factor) + 1 if scaling.attention is None else scaling.attention
    return Rotation(frequencies=kept * plain + (1 - kept) * plain / scaling.factor, attention=factor)


def ntk_base(base: float, factor: float, size: int) -> float:
    """The base under which the slowest pair turns `factor` times as slowly."""
    return float(base * factor ** (size / (size - 2)))


def _pair(turns: float, base: float, size: int, original: int) -> float:
    """Number of the pair that turns so often in the original context."""
    return size * math.log(original / (2 * math.pi * turns)) / (2 * math.log(base))


def lengthened(model: PreTrainedModel, scaling: Scaling) -> PreTrainedModel:
    """The same weights under scaled positions; `model` must not be used afterwards.

    Raises:
        ModelError: its positions are not plain rotary ones, or transformers would turn by others than the formulas.
    """
    before = plain_positions(model.config)
    config = copy.deepcopy(model.config)
    config.rope_parameters = _parameters(scaling, before)
    config.max_position_embeddings = round(before.context * scaling.factor)
    with quiet():
        longer: PreTrainedModel = type(model)(config)
    longer.load_state_dict(model.state_dict(), assign=True)
    longer.tie_weights()
    expected = rotation(scaling, base=before.base, size=before.size, original=before.context)
    _check(longer, expected)
    return longer.requires_grad_(False).eval()


@dataclass(frozen=True, kw_only=True)
class Positions:
    """Plain rotary positions, as a config has them.

    Attributes:
        base: theta.
        size: numbers of a head that are turned.
        context: tokens that the model was made for.
        partial: share of a head that is turned, None where the config does not say.
    """

    base: float
    size: int
    context: int
    partial: float | None


def plain_positions(config: PretrainedConfig) -> Positions:
    """The rotary positions of a config.

    Raises:
        ModelError: it has none, has several kinds, or they are scaled already.
    """
    found = config.to_dict()
    name, parameters = found["model_type"], found.get("rope_parameters")
    if not parameters or not found.get("max_position_embeddings"):
        raise ModelError(f"a model of kind {name} has no rotary positions to scale")
    if any(isinstance(value, Mapping) for value in parameters.values()):
        raise ModelError(f"this model of kind {name} turns its layers differently; only one kind for all can be scaled")
    if (kind := parameters.get("rope_type", "default")) != "default":
        raise ModelError(
            f"the positions of this model are scaled already, by '{kind}'; lengthen the model that it was made from"
        )
    partial = parameters.get("partial_rotary_factor")
    head = found.get("head_dim") or found["hidden_size"] // found["num_attention_heads"]
    return Positions(
        base=float(parameters["rope_theta"]),
        size=int(head * (1.0 if partial is None else partial)),
        context=int(found["max_position_embeddings"]),
        partial=partial,
    )


def _parameters(scaling: Scaling, before: Positions) -> dict[str, Any]:
    """What the config says, in transformers' words; a larger base is no scaling there."""
    shared: dict[str, Any] = {"rope_theta": before.base}
    if before.partial is not None:
        shared["partial_rotary_factor"] = before.partial
    if isinstance(scaling, Interpolation):
        return {**shared, "rope_type": "linear", "factor": scaling.factor}
    if isinstance(scaling, NTK):
        return {**shared, "rope_type": "default", "rope_theta": ntk_base(before.base, scaling.factor, before.size)}
    return {
        **shared,
        "rope_type": "yarn",
        "factor": scaling.factor,
        "original_max_position_embeddings": before.context,
        "beta_fast": scaling.beta_fast,
        "beta_slow": scaling.beta_slow,
        **({} if scaling.attention is None else {"attention_factor": scaling.attention}),
    }


def _check(model: PreTrainedModel, expected: Rotation) -> None:
    """Compare what the model turns by with the formulas.

    Raises:
        ModelError: a frequency differs by more than rounding, or the factor on queries and keys does.
    """
    holders = [module for module in model.modules() if "inv_freq" in dict(module.named_buffers(recurse=False))]
    if not holders:
        raise ModelError(f"{type(model).__name__} holds no rotary frequencies that could be compared with the formulas")
    for module in holders:
        found = module.get_buffer("inv_freq").double()
        factor = float(vars(module)["attention_scaling"])
        same = found.shape == expected.frequencies.shape and torch.allclose(
            found, expected.frequencies, rtol=1e-5, atol=0
        )
        if not same or abs(factor - expected.attention) > 1e-6:
            raise ModelError(
                f"{type(model).__name__} turns by other frequencies or another factor ({factor:.6g}) than the formulas "
                f"({expected.attention:.6g}); this version of transformers reads the config differently"
            )
