"""Muon: the orthogonalised update on worked numbers, what it is for, what AdamW keeps, and a run that goes on."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import LlamaConfig, LlamaForCausalLM

from burnish.errors import TrainingError
from burnish.models.language import LanguageModel
from burnish.training.muon import Muon, hidden_matrices, muon_over
from burnish.training.optimizer import AdamW, MasterOptimizer
from burnish.training.part import trainable_parameters

RATES = AdamW(learning_rate=0.1, beta1=0.8, beta2=0.95, epsilon=0.01, weight_decay=0.2)
PLAIN = Muon(momentum=0.0, nesterov=False, scale="original")


def model() -> LanguageModel:
    config = LlamaConfig(
        vocab_size=60,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LanguageModel(LlamaForCausalLM(config))


def quintic(value: float, times: int) -> float:
    """What one singular value becomes: Jordan et al. 2024, a = 3.4445, b = -4.7750, c = 2.0315."""
    for _ in range(times):
        value = 3.4445 * value - 4.7750 * value**3 + 2.0315 * value**5
    return value


def moved(gradient: Tensor, muon: Muon = PLAIN, *, decay: float = 0.0, updates: int = 1) -> Tensor:
    """Where a matrix of zeros, beside a vector, goes at a rate of 1."""
    matrix, vector = nn.Parameter(torch.zeros_like(gradient)), nn.Parameter(torch.zeros(2))
    settings = AdamW(learning_rate=1.0, weight_decay=decay)
    optimizer = MasterOptimizer({"m": matrix, "v": vector}, settings, muon=muon, by_muon={"m"})
    for _ in range(updates):
        matrix.grad = gradient.clone()
        optimizer.step(1.0)
    return matrix.detach()


def test_a_diagonal_gradient_moves_every_direction_by_the_worked_number():
    """The norm of 3 and 4 is 5, so the iterations begin at 0.6 and 0.8."""
    found = moved(torch.diag(torch.tensor([3.0, 4.0])))
    expected = -torch.diag(torch.tensor([quintic(0.6, 5), quintic(0.8, 5)]))
    assert torch.allclose(found, expected, atol=0.03)  # the iterations are in bf16
    assert quintic(0.6, 1) == pytest.approx(1.193, abs=0.001)


def test_the_update_has_the_directions_of_the_gradient_and_singular_values_near_one():
    gradient = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    found = -moved(gradient) / (6 / 4) ** 0.5  # "original" scales a tall matrix by the root of its shape
    assert torch.allclose(torch.linalg.svdvals(found), torch.ones(4), atol=0.35)
    cosine = torch.nn.functional.cosine_similarity(found.flatten(), (left @ right).flatten(), dim=0)
    assert cosine > 0.97
    assert torch.equal(moved(gradient * 1024), moved(gradient))  # only the directions count


def test_the_scale_that_matches_adamw_has_its_size():
    gradient = torch.randn(8, 32, generator=torch.Generator().manual_seed(0))
    found = moved(gradient, replace(PLAIN, scale="match_rms_adamw"))
    assert float(found.square().mean().sqrt()) == pytest.approx(0.2, rel=0.15)  # 0.2 sqrt(32) on 8 values near 1


def test_momentum_remembers_the_gradients_before():
    gradient = torch.diag(torch.tensor([3.0, 4.0]))
    still = replace(PLAIN, momentum=0.9)
    matrix, vector = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2))
    optimizer = MasterOptimizer({"m": matrix, "v": vector}, AdamW(learning_rate=1.0), muon=still, by_muon={"m"})
    matrix.grad = gradient.clone()
    optimizer.step(1.0)
    before = matrix.detach().clone()
    matrix.grad = torch.zeros(2, 2)
    optimizer.step(1.0)
    assert torch.allclose(matrix.detach() - before, before, atol=0.02)  # the mean has shrunk, its directions have not


@pytest.mark.parametrize("name", [field.name for field in fields(Muon)])
def test_every_setting_is_read(name: str):
    other = {"learning_rate": 0.5, "momentum": 0.5, "nesterov": True, "iterations": 2, "scale": "match_rms_adamw"}
    base = replace(PLAIN, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(3, 5, generator=generator) for _ in range(3)]

    def after(muon: Muon) -> Tensor:
        matrix, vector = nn.Parameter(torch.zeros(3, 5)), nn.Parameter(torch.zeros(2))
        optimizer = MasterOptimizer({"m": matrix, "v": vector}, AdamW(learning_rate=1.0), muon=muon, by_muon={"m"})
        for gradient in gradients:
            matrix.grad = gradient.clone()
            optimizer.step(1.0)
        return matrix.detach()

    assert not torch.equal(after(replace(base, **{name: other[name]})), after(base))


def test_decay_and_the_schedule_act_on_matrices():
    matrix, vector = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    optimizer = MasterOptimizer({"m": matrix, "v": vector}, RATES, muon=PLAIN, by_muon={"m"})
    matrix.grad = torch.zeros(2, 2)
    assert optimizer.step(0.5) == pytest.approx(0.05)
    assert torch.allclose(matrix.detach(), torch.full((2, 2), 1 - 0.05 * 0.2))
    matrix.grad = torch.eye(2)
    before = matrix.detach().clone()
    optimizer.step(0.0)
    assert torch.equal(matrix.detach(), before)


def test_the_matrices_of_the_layers_are_muons_and_the_rest_is_adamws():
    part = model()
    found = hidden_matrices(part)
    names = set(trainable_parameters(part))
    assert {name.rsplit(".", 2)[-2] for name in found} == {
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    }
    assert len(found) == 14
    assert {name for name in names - found if "norm" not in name} == {
        "model.model.embed_tokens.weight",
        "model.lm_head.weight",
    }
    assert hidden_matrices(nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.Linear(3, 1))) == {"1.weight"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_state_comes_back_to_the_bit(dtype: torch.dtype):
    def fresh() -> MasterOptimizer:
        named = {"m": nn.Parameter(torch.ones(3, 4, dtype=dtype)), "v": nn.Parameter(torch.ones(4, dtype=dtype))}
        return MasterOptimizer(named, RATES, muon=Muon(), by_muon={"m"})

    def step(optimizer: MasterOptimizer, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for master in optimizer.masters.values():
            master.grad = torch.randn(master.shape, generator=generator)
        optimizer.step(1.0)

    whole, killed = fresh(), fresh()
    for seed in range(3):
        step(whole, seed)
    step(killed, 0)
    state = {name: value.clone() for name, value in killed.state().items()}
    assert set(state) == {
        *("master.m", "muon.momentum.m", "master.v"),
        *("adam.step.v", "adam.exp_avg.v", "adam.exp_avg_sq.v"),
    }
    assert killed.like("muon.momentum.m") is killed.masters["m"]
    resumed = fresh()
    resumed.restore(state)
    for seed in (1, 2):
        step(resumed, seed)
    for name, master in whole.masters.items():
        assert torch.equal(resumed.masters[name], master)
        assert torch.equal(resumed.parameters[name], whole.parameters[name])
    assert torch.equal(resumed.state()["muon.momentum.m"], whole.state()["muon.momentum.m"])


def test_what_muon_cannot_do_is_refused():
    one = nn.Parameter(torch.ones(2, 2))
    with pytest.raises(TrainingError, match="no trainable matrix"):
        MasterOptimizer({"v": nn.Parameter(torch.ones(2))}, RATES, muon=Muon())
    with pytest.raises(TrainingError, match="every trained weight"):
        MasterOptimizer({"m": one}, RATES, muon=Muon(), by_muon={"m"})


def test_matrices_that_are_divided_among_processes_are_refused():
    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        rows = distribute_tensor(torch.ones(4, 4), init_device_mesh("cpu", (2,)), [Shard(0)])
        with pytest.raises(TrainingError, match=r"--train\.divide nothing"):
            muon_over([nn.Parameter(rows)], Muon(), rate=1.0, decay=0.0)
    finally:
        distributed.destroy_process_group()
