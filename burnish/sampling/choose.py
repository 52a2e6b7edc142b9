"""Choosing the next token: temperature, top-k, top-p, then a draw by inverse distribution function.

    z' = z / temperature,  kept = top-k of z', then the smallest set with probability >= top-p,  p = softmax(z' | kept)

The draw takes one uniform number per row: the token is the first whose cumulated probability exceeds it. So a sample is
a function of its own key and not of who else is in the batch, and the log-prob that is returned is that of the exact
distribution drawn from (Holtzman et al. 2020 for top-p). Temperature 0 takes the most likely token, with log-prob 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from burnish.protocols import Decoding

LogitRule = Callable[[Tensor, Sequence[Sequence[int]]], Tensor]
"""Changes logits (R, V) given the tokens sampled so far in each row; runs before the temperature."""

_BLOCK = 256


def choose(logits: Tensor, uniform: Tensor, decoding: Decoding) -> tuple[Tensor, Tensor]:
    """Draw one token per row.

    Args:
        logits: (R, V) float32.
        uniform: (R,) numbers in [0, 1), one per row.
        decoding: temperature, top-k and top-p.

    Returns:
        Token ids (R,) and their log-probs (R,) under the distribution drawn from, in nats.
    """
    if decoding.temperature == 0:
        token = logits.argmax(dim=-1)
        return token, torch.zeros_like(uniform)
    if decoding.temperature != 1.0:
        logits = logits / decoding.temperature
    if decoding.top_k or decoding.top_p < 1.0:
        return _choose_among_top(logits, uniform, decoding)
    top = logits.amax(dim=-1, keepdim=True)
    weight = (logits - top).exp_()
    token, total = inverse_distribution(weight, uniform)
    return token, (logits.gather(1, token[:, None]) - top).squeeze(1) - total.log()


def _choose_among_top(logits: Tensor, uniform: Tensor, decoding: Decoding) -> tuple[Tensor, Tensor]:
    """top-k and top-p on the sorted logits, most likely first."""
    kept = min(decoding.top_k, logits.shape[-1]) if decoding.top_k else logits.shape[-1]
    top, order = torch.topk(logits, kept, dim=-1, sorted=True)
    if decoding.top_p < 1.0:
        probability = torch.softmax(top, dim=-1)
        before = probability.cumsum(dim=-1) - probability
        top = top.masked_fill(before >= decoding.top_p, float("-inf"))
    logp = torch.log_softmax(top, dim=-1)
    place, _ = inverse_distribution(logp.exp(), uniform)
    return order.gather(1, place[:, None]).squeeze(1), logp.gather(1, place[:, None]).squeeze(1)


def inverse_distribution(weight: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """The first entry whose cumulated share of all weights exceeds `uniform`, and the sum of all. (R, V), (R,) -> (R,)

    Two steps, by blocks and within one, so that the vocabulary is summed and not cumulated. An entry of weight 0 is
    never taken, whatever rounding does. Weights need not sum to 1.
    """
    rows, size = weight.shape
    whole = torch.nn.functional.pad(weight, (0, -size % _BLOCK)) if size % _BLOCK else weight
    padded = whole.reshape(rows, -1, _BLOCK)
    mass = padded.sum(dim=-1)
    reached = mass.cumsum(dim=-1)
    goal = uniform * reached[:, -1]
    block = _first_above(reached, goal, mass)
    inside = padded[torch.arange(rows, device=padded.device), block]
    before = (reached - mass).gather(1, block[:, None]).squeeze(1)
    return block * _BLOCK + _first_above(inside.cumsum(dim=-1), goal - before, inside), reached[:, -1]


def _first_above(reached: Tensor, goal: Tensor, mass: Tensor) -> Tensor:
    """The first place with mass where `reached` exceeds `goal`; the last place with mass if rounding leaves none."""
    above = (reached > goal[:, None]) & (mass > 0)
    place = above.int().argmax(dim=-1)
    last = mass.shape[-1] - 1 - (mass > 0).flip(-1).int().argmax(dim=-1)
    return torch.where(above.any(dim=-1), place, last)
