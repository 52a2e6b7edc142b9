"""The gate against numbers worked by hand, against what its words mean, and its gradients against differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from burnish.models.gate import Choice, NoisyTopKGate, Routing, choose, loads_of, squared_variation
from burnish.numerics import generator_from
from burnish.objectives.balance import slope_of_variation


def normal(*shape: int, key: str = "gate") -> Tensor:
    return torch.randn(*shape, generator=generator_from("test gate", key), dtype=torch.float64)


def gates_of(choice: Choice) -> Tensor:
    return torch.zeros_like(choice.chance_TE).scatter(1, choice.experts_Tk, choice.weights_Tk)


def test_the_largest_k_share_a_softmax():
    choice = choose(torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 3.0 - math.log(3)]]), None, None, 2)
    assert choice.experts_Tk.tolist() == [[0, 1], [1, 2]]
    expected = torch.tensor([[0.731059, 0.268941, 0.0], [0.0, 0.75, 0.25]])
    assert torch.allclose(gates_of(choice), expected, atol=1e-6)
    assert choice.chance_TE.tolist() == [[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]


def test_the_chance_to_be_chosen_by_hand():
    """H = (2, 1, 0): thresholds are 0 for the chosen, the third value, and 1 for the other, the second."""
    clean, spread = torch.tensor([[1.5, 1.2, 0.1]]), torch.full((1, 3), 0.5)
    choice = choose(clean, spread, torch.tensor([[1.0, -0.4, -0.2]]), 2)
    assert torch.allclose(gates_of(choice), torch.tensor([[0.731059, 0.268941, 0.0]]), atol=1e-6)
    assert torch.allclose(choice.chance_TE, torch.tensor([[0.998650, 0.991802, 0.035930]]), atol=1e-6)


def test_importance_load_and_their_variation_by_hand():
    """Two tokens that count and one that does not. Importances (0.75, 1, 0.25): mean 2/3, CV^2 = 0.21875."""
    clean = torch.tensor([[math.log(3), 0.0, -9.0], [-9.0, 1.0, 1.0 - 1e-9], [5.0, 4.0, 3.0]], dtype=torch.float64)
    clean[1] = torch.tensor([-9.0, math.log(3), 0.0])
    loads = loads_of(choose(clean, None, None, 2), torch.tensor([1.0, 1.0, 0.0]))
    assert torch.allclose(loads.importance, torch.tensor([0.75, 1.0, 0.25], dtype=torch.float64))
    assert loads.tokens.tolist() == loads.load.tolist() == [1.0, 2.0, 1.0]
    assert float(squared_variation(loads.importance)) == pytest.approx(3 * (0.5625 + 1 + 0.0625) / 4 - 1)
    assert float(squared_variation(loads.tokens)) == pytest.approx(3 * 6 / 16 - 1)


def test_the_variation_is_variance_over_squared_mean_and_its_slope_is_its_gradient():
    sums = normal(4, 5).abs().requires_grad_()
    expected = sums.var(-1, correction=0) / sums.mean(-1).square()
    assert torch.allclose(squared_variation(sums), expected)
    (gradient,) = torch.autograd.grad(squared_variation(sums).sum(), sums)
    assert torch.allclose(slope_of_variation(sums.detach()), gradient)
    assert torch.allclose((gradient * sums).sum(-1), torch.zeros(4, dtype=torch.float64), atol=1e-12)
    by_hand = slope_of_variation(torch.tensor([0.75, 0.25]))
    assert torch.allclose(by_hand, torch.tensor([0.5, -1.5]))


def test_ties_go_to_the_lower_number():
    choice = choose(torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.0, 2.0, 1.0, 1.0]]), None, None, 2)
    assert choice.experts_Tk.tolist() == [[0, 1], [1, 2]]
    assert choice.weights_Tk[0].tolist() == [0.5, 0.5]
    assert NoisyTopKGate(3, 64, 8)(torch.ones(2, 3), None).experts_Tk.tolist() == [list(range(8))] * 2


def test_where_all_experts_see_a_token_each_is_certain():
    choice = choose(normal(5, 3), torch.ones(5, 3), normal(5, 3, key="noise"), 3)
    assert choice.chance_TE.tolist() == [[1.0] * 3] * 5
    assert torch.allclose(gates_of(choice).sum(-1), torch.ones(5, dtype=torch.float64))


def test_the_chance_is_how_often_a_new_draw_of_its_own_noise_chooses_it():
    clean, spread, noise = normal(1, 6), normal(1, 6, key="spread").abs() + 0.2, normal(1, 6, key="noise")
    expected = choose(clean, spread, noise, 2).chance_TE[0]
    assert float(expected.min()) < 0.2 < 0.5 < float(expected.max())
    draws = 20_000
    for expert in range(6):
        again = noise.repeat(draws, 1)
        again[:, expert] = normal(draws, key=f"again {expert}")
        chosen = choose(clean.expand(draws, 6), spread.expand(draws, 6), again, 2).experts_Tk
        share = float((chosen == expert).any(-1).double().mean())
        assert share == pytest.approx(float(expected[expert]), abs=4 * 0.5 / draws**0.5)


def test_gradients_are_those_of_differences():
    """In float64, for tokens whose k-th and next values are far apart: at a tie the choice jumps."""
    gate = NoisyTopKGate(4, 5, 2).double()
    hidden, noise = normal(60, 4), normal(60, 5, key="noise")
    weights = [normal(5, 4, key=name) for name in ("gate", "noise gate")]

    def found(hidden: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        named = dict(zip(("weight", "noise_weight"), weights, strict=True))
        choice = torch.func.functional_call(gate, named, (hidden, noise[kept]))
        loads = loads_of(choice, torch.linspace(0.5, 1, len(hidden)))
        return choice.weights_Tk, loads.importance, loads.load

    noisy = hidden @ weights[0].T + noise * torch.nn.functional.softplus(hidden @ weights[1].T)
    ordered = noisy.sort(descending=True).values
    kept = (ordered[:, :3].diff() < -0.05).all(-1)
    assert int(kept.sum()) > 30
    inputs = [value.clone().requires_grad_() for value in (hidden[kept], *weights)]
    assert torch.autograd.gradcheck(found, inputs, eps=1e-6, atol=1e-7)
    for output in (1, 2):
        gradients = torch.autograd.grad(found(*inputs)[output].square().sum(), inputs)
        assert all(float(gradient.norm()) > 0.01 for gradient in gradients)


def test_noise_that_has_faded_away_leaves_finite_gradients():
    gate = NoisyTopKGate(3, 4, 2)
    torch.nn.init.constant_(gate.noise_weight, -1000.0)
    gate.weight.data = normal(4, 3).float()
    loads = loads_of(gate(torch.ones(7, 3), normal(7, 4).float()), torch.ones(7))
    loads.load.square().sum().backward()
    assert loads.load.tolist() == loads.tokens.tolist()
    assert torch.isfinite(gate.weight.grad).all()
    assert torch.isfinite(gate.noise_weight.grad).all()


def test_a_gate_starts_at_zero_and_its_noise_alone_decides():
    gate = NoisyTopKGate(3, 4, 2)
    noise = normal(4000, 4).float()
    choice = gate(normal(4000, 3, key="x").float(), noise)
    assert torch.equal(choice.experts_Tk, noise.topk(2).indices)
    shares = loads_of(choice, torch.ones(4000)).tokens / 2000
    assert shares.tolist() == pytest.approx([1.0] * 4, abs=0.1)


def test_a_layer_that_runs_again_is_noted_once():
    routing = Routing(torch.tensor([1.0, 0.0]), torch.zeros(2, 3, 4))
    first, again = (choose(normal(2, 4, key=key), None, None, 2) for key in ("first", "again"))
    routing.note(1, first)
    routing.note(0, again)
    routing.note(1, again)
    assert routing.noise_of(2).shape == (2, 4)
    loads = routing.loads()
    assert loads.tokens.sum(-1).tolist() == [2.0, 2.0]
    assert torch.equal(loads.importance[1], gates_of(first)[0])
    assert Routing(torch.ones(1), None).noise_of(0) is None
