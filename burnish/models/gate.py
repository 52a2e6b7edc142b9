"""Noisy top-k gating (Shazeer et al. 2017, arXiv 1701.06538): which k of E experts see a token, and how evenly they do.

    H(x)_i = (x W_g)_i + n_i Softplus((x W_noise)_i),  n_i from N(0, 1)                              eq. 4
    G(x)   = Softmax(KeepTopK(H(x), k)): those that are not among the k largest become minus infinity    eq. 3, 5

    Importance(X)_i = sum over x of G(x)_i                                                           eq. 6
    P(x, i)         = Phi(((x W_g)_i - kth_excluding(H(x), k, i)) / Softplus((x W_noise)_i))         eq. 8, 9
    Load(X)_i       = sum over x of P(x, i)                                                          eq. 10

P is the chance that i is among the chosen if its noise were drawn again and that of the others were not, so that loads
have a gradient, which counts have not. kth_excluding is the k-th largest of the others: for a chosen expert the value
behind the k-th, for another one the k-th. Losses are squared coefficients of variation of both (`burnish.objectives`).

Ties go to the expert with the lower number. Both matrices start at 0, as in the paper (appendix A): the noise alone
decides at first, evenly. Without noise, in evaluation and sampling, H is x W_g, and an untrained gate takes the first
k. All of it is computed in float32, or in float64 where the model is.

Worked, E = 3 and k = 2. H = (2, 1, 0): G = (1, 1/e, 0) / (1 + 1/e) = (0.731059, 0.268941, 0). With x W_g = (1.5, 1.2,
0.1) and Softplus = 0.5 everywhere the thresholds are (0, 0, 1), P = Phi(3, 2.4, -1.8) = (0.998650, 0.991802, 0.035930).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

MODEL_TYPE = "noisy_moe"
"""What transformers calls a model with these gates (mixture.py)."""

LEAST_SPREAD = 1e-6
"""Standard deviation of the noise below which it is held: 0 would make the gradient of a load 0 times infinity."""


class Choice(NamedTuple):
    """What a gate says of T tokens.

    Attributes:
        experts_Tk: the chosen experts, the largest first; int64.
        weights_Tk: G of those; they add up to 1.
        chance_TE: P; without noise 1 for the chosen and 0 for the others, without a gradient.
    """

    experts_Tk: Tensor
    weights_Tk: Tensor
    chance_TE: Tensor


class Loads(NamedTuple):
    """How much each expert has to do: (E,) of one layer, (layers, E) of a model.

    Attributes:
        importance: summed gates.
        load: summed chances to be chosen.
        tokens: how many tokens chose it; no gradient.
    """

    importance: Tensor
    load: Tensor
    tokens: Tensor


class NoisyTopKGate(nn.Module):
    """The gate of one layer.

    Args:
        hidden_size: D.
        num_experts: E.
        num_chosen: k.
    """

    def __init__(self, hidden_size: int, num_experts: int, num_chosen: int) -> None:
        super().__init__()
        self.num_chosen = num_chosen
        self.weight = nn.Parameter(torch.zeros(num_experts, hidden_size))
        self.noise_weight = nn.Parameter(torch.zeros(num_experts, hidden_size))

    def forward(self, hidden_TD: Tensor, noise_TE: Tensor | None) -> Choice:
        """Choose for each token.

        Args:
            hidden_TD: what the layer reads.
            noise_TE: standard normal numbers; None for no noise.
        """
        exact = torch.promote_types(hidden_TD.dtype, torch.float32)
        hidden_TD = hidden_TD.to(exact)
        clean_TE = functional.linear(hidden_TD, self.weight.to(exact))
        if noise_TE is None:
            return choose(clean_TE, None, None, self.num_chosen)
        spread_TE = functional.softplus(functional.linear(hidden_TD, self.noise_weight.to(exact)))
        return choose(clean_TE, spread_TE.clamp_min(LEAST_SPREAD), noise_TE.to(exact), self.num_chosen)


def choose(clean_TE: Tensor, spread_TE: Tensor | None, noise_TE: Tensor | None, num_chosen: int) -> Choice:
    """The k largest of noisy values.

    Args:
        clean_TE: x W_g.
        spread_TE: standard deviation of the noise, above 0; None without noise.
        noise_TE: standard normal numbers; None without noise.
        num_chosen: k, from 1 to E.
    """
    noisy_TE = clean_TE if spread_TE is None or noise_TE is None else clean_TE + noise_TE * spread_TE
    ordered_TE, experts_TE = noisy_TE.sort(dim=-1, descending=True, stable=True)
    experts_Tk = experts_TE[:, :num_chosen]
    chosen_TE = torch.zeros_like(clean_TE).scatter(1, experts_Tk, 1.0)
    chance_TE = chosen_TE
    if spread_TE is not None and num_chosen < clean_TE.shape[1]:
        last, next_one = ordered_TE[:, num_chosen - 1 : num_chosen], ordered_TE[:, num_chosen : num_chosen + 1]
        threshold_TE = torch.where(chosen_TE > 0, next_one, last)
        chance_TE = torch.special.ndtr((clean_TE - threshold_TE) / spread_TE)
    weights_Tk = functional.softmax(ordered_TE[:, :num_chosen], dim=-1)
    return Choice(experts_Tk=experts_Tk, weights_Tk=weights_Tk, chance_TE=chance_TE)


def loads_of(choice: Choice, counted_T: Tensor) -> Loads:
    """Sums over tokens, each as often as `counted_T` says: 1, or 0 for padding and what is computed a second time."""
    counted_T1 = counted_T.to(choice.weights_Tk.dtype)[:, None]
    nothing_TE = torch.zeros_like(choice.chance_TE)
    gates_TE = nothing_TE.scatter(1, choice.experts_Tk, choice.weights_Tk)
    chosen_TE = nothing_TE.scatter(1, choice.experts_Tk, 1.0)
    return Loads(*((counted_T1 * each_TE).sum(0) for each_TE in (gates_TE, choice.chance_TE, chosen_TE)))


class Routing:
    """What goes into the gates of one forward pass, and what comes out of them.

    Args:
        counted_T: how often each token counts in the loads, T tokens in the order of the rows.
        noise_TLE: standard normal numbers for every layer; None for no noise.
    """

    def __init__(self, counted_T: Tensor, noise_TLE: Tensor | None) -> None:
        self.counted_T = counted_T
        self._noise_TLE = noise_TLE
        self._found: dict[int, Loads] = {}

    def noise_of(self, layer: int) -> Tensor | None:
        """Of one layer. (T, E)"""
        return None if self._noise_TLE is None else self._noise_TLE[:, layer]

    def note(self, layer: int, choice: Choice) -> None:
        """What a gate has chosen. With gradient checkpointing a layer runs again; the first time counts."""
        self._found.setdefault(layer, loads_of(choice, self.counted_T))

    def loads(self) -> Loads:
        """Of all layers. (layers, E) each"""
        rows = [self._found[layer] for layer in sorted(self._found)]
        return Loads(*(torch.stack(values) for values in zip(*rows, strict=True)))


def squared_variation(sums: Tensor) -> Tensor:
    """CV^2 along the last dimension: variance over squared mean, E sum s_i^2 / (sum s_i)^2 - 1. (..., E) -> (...)"""
    return sums.shape[-1] * sums.square().sum(-1) / sums.sum(-1).square() - 1.0
