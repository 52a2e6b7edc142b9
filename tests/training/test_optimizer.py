"""AdamW over masters: the paper's formula, every setting read, and a state that comes back to the bit."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor, nn

from burnish.training.optimizer import PIECE, AdamW, MasterOptimizer, put

SETTINGS = AdamW(learning_rate=0.05, beta1=0.8, beta2=0.95, epsilon=0.01, weight_decay=0.2)
FACTORS = [1.0, 0.5, 0.0, 0.25, 1.0]


def gradients(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3, 4, generator=generator) for _ in FACTORS]


def stepped(settings: AdamW, *, dtype: torch.dtype = torch.float32) -> tuple[MasterOptimizer, nn.Parameter]:
    """A matrix of ones after as many updates as there are factors."""
    parameter = nn.Parameter(torch.ones(3, 4, dtype=dtype))
    optimizer = MasterOptimizer({"weight": parameter}, settings)
    for gradient, factor in zip(gradients(), FACTORS, strict=True):
        optimizer.masters["weight"].grad = gradient.clone()
        assert optimizer.step(factor) == pytest.approx(settings.learning_rate * factor)
        assert optimizer.gradients() == []
    return optimizer, parameter


def by_the_paper(settings: AdamW) -> Tensor:
    """Loshchilov and Hutter 2019, algorithm 2, with the decay multiplied by the rate as in PyTorch; in float64."""
    weight, mean, square = torch.ones(3, 4).double(), torch.zeros(3, 4).double(), torch.zeros(3, 4).double()
    for number, (gradient, factor) in enumerate(zip(gradients(), FACTORS, strict=True), start=1):
        rate = settings.learning_rate * factor
        mean = settings.beta1 * mean + (1 - settings.beta1) * gradient
        square = settings.beta2 * square + (1 - settings.beta2) * gradient.double() ** 2
        step = (mean / (1 - settings.beta1**number)) / (
            (square / (1 - settings.beta2**number)).sqrt() + settings.epsilon
        )
        weight = weight - rate * settings.weight_decay * weight - rate * step
    return weight


@pytest.mark.parametrize("settings", [SETTINGS, AdamW(learning_rate=0.1), replace(SETTINGS, beta1=0.0)])
def test_it_follows_the_paper(settings: AdamW):
    _, parameter = stepped(settings)
    assert torch.allclose(parameter.detach().double(), by_the_paper(settings), atol=1e-5)


@pytest.mark.parametrize("name", [field.name for field in fields(AdamW) if field.name != "moments"])
def test_every_setting_is_read(name: str):
    """Pain 21: a setting that nothing reads would give the same weights."""
    changed = replace(SETTINGS, **{name: 0.5 * vars(SETTINGS)[name]})
    assert not torch.equal(stepped(changed)[1], stepped(SETTINGS)[1])


def test_bf16_parameters_are_the_rounded_masters():
    optimizer, parameter = stepped(SETTINGS, dtype=torch.bfloat16)
    master = optimizer.masters["weight"].detach()
    assert torch.equal(parameter.detach(), master.to(torch.bfloat16))
    assert torch.allclose(master.double(), by_the_paper(SETTINGS), atol=1e-5)
    assert not torch.equal(master, parameter.detach().float())


@pytest.mark.parametrize("shape", [(), (3,), (PIECE + 5,), (2 * PIECE + 1, 3)])
def test_gradients_of_any_length_are_added_whole(shape: tuple[int, ...]):
    """They are added some rows at a time: none is left out, and none is added twice."""
    parameter = nn.Parameter(torch.zeros(shape, dtype=torch.bfloat16))
    optimizer = MasterOptimizer({"weight": parameter}, SETTINGS)
    expected = torch.zeros(shape)
    for seed in range(3):
        factor = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(torch.bfloat16)
        (parameter * factor).sum().backward()
        expected += factor.float()
    assert torch.equal(optimizer.masters["weight"].grad, expected)


def test_float32_parameters_are_their_own_masters():
    optimizer, parameter = stepped(SETTINGS)
    assert optimizer.masters["weight"] is parameter


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_state_comes_back_to_the_bit(dtype: torch.dtype):
    optimizer, parameter = stepped(SETTINGS, dtype=dtype)
    state = {name: value.clone() for name, value in optimizer.state().items()}
    assert set(state) == {"master.weight", "adam.step.weight", "adam.exp_avg.weight", "adam.exp_avg_sq.weight"}
    other = nn.Parameter(torch.zeros(3, 4, dtype=dtype))
    fresh = MasterOptimizer({"weight": other}, SETTINGS)
    fresh.restore(state)
    assert torch.equal(other, parameter)
    for one in (optimizer, fresh):
        one.masters["weight"].grad = torch.ones(3, 4)
        one.step(1.0)
    assert torch.equal(fresh.masters["weight"], optimizer.masters["weight"])
    assert not torch.equal(fresh.adam.state[fresh.masters["weight"]]["exp_avg"], state["adam.exp_avg.weight"])


def test_a_state_that_does_not_fit_is_refused():
    optimizer, _ = stepped(SETTINGS)
    with pytest.raises(KeyError, match=r"master\.weight"):
        optimizer.restore({})
    with pytest.raises(RuntimeError):
        optimizer.restore({"master.weight": torch.zeros(5, 7)})


def test_masters_are_put_into_another_copy():
    optimizer, _ = stepped(SETTINGS, dtype=torch.bfloat16)
    line = nn.Linear(4, 3, bias=False)
    put(optimizer.masters.items(), line)
    assert torch.equal(line.weight, optimizer.masters["weight"])
    with pytest.raises(KeyError, match="weight"):
        put(optimizer.masters.items(), nn.Module())


def test_a_parameter_without_a_gradient_stands_still():
    """Neither decay nor an old moment moves what the batch did not touch."""
    optimizer, parameter = stepped(SETTINGS)
    before = parameter.detach().clone()
    optimizer.step(1.0)
    assert torch.equal(parameter.detach(), before)
