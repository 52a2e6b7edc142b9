"""Elastic weight consolidation: the optimum of a quadratic, the goal as it is, Fisher information in closed form."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from burnish.batch import Branch, Tree, pack
from burnish.models.language import LanguageModel, head_of
from burnish.objectives.elastic import Elastic, elastic
from burnish.objectives.kto import KTO
from burnish.objectives.objective import Loss, Objective
from burnish.objectives.reward import BradleyTerry
from burnish.objectives.sft import SFT
from burnish.training.fisher import diagonal_fisher, weight_digests
from burnish.training.optimizer import AdamW
from burnish.training.part import Part
from burnish.training.trainer import Trainer, Updates
from tests.training.toys import chats, gradient_of, on_ranks, parts_of, policy

TARGET = torch.tensor([1.0, -2.0, 3.0])
START = torch.tensor([0.0, 0.5, 3.0])
FISHER = torch.tensor([1.5, 0.0, 4.0])
STRENGTH = 2.0


class Point(nn.Module):
    """A point as a part of training."""

    provides = frozenset({"logp"})

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(START.clone())

    def forward(self, batch: object, reads: frozenset[str], context: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"logp": self.place}


class Quadratic(Objective):
    """Half the squared distance from the target, the same for any batch."""

    def weights(self, batch: object) -> Mapping[str, float]:
        return {"distance": 1.0}

    def loss(self, outputs: Mapping[str, Tensor], batch: object, statistics: object) -> Loss:
        return Loss(terms={"distance": 0.5 * (outputs["logp"] - TARGET).square().sum()})


def held(goal: Objective, named: Mapping[str, Tensor], fisher: float | Tensor, strength: float = STRENGTH) -> Objective:
    start = {name: value.detach().clone() for name, value in named.items()}
    values = {name: fisher if isinstance(fisher, Tensor) else torch.full_like(v, fisher) for name, v in start.items()}
    return elastic(goal, strength=strength, trained=named, start=start, fisher=values)


@pytest.mark.parametrize("micro", [None, 1])
def test_the_optimum_of_a_quadratic_is_the_known_one(micro):
    part = Point()
    updates = Updates(optimizer=AdamW(learning_rate=0.05), clip_norm=0.0, micro_batch_size=micro)
    trainer = Trainer({"point": Part(module=part)}, Quadratic(), updates, steps=400)
    trainer.objective = held(trainer.objective, trainer.optimizers["point"].masters, FISHER)
    for _ in range(400):
        metrics = trainer.step(chats(3))
    optimum = (TARGET + STRENGTH * FISHER * START) / (1 + STRENGTH * FISHER)
    assert optimum[0] == 0.25
    torch.testing.assert_close(part.place.detach(), optimum, atol=1e-3, rtol=0)
    by_hand = 0.5 * STRENGTH * (FISHER * (optimum - START).square()).sum()
    assert metrics["penalty"] == pytest.approx(float(by_hand), rel=1e-2)


@pytest.mark.parametrize("micro", [None, 1, 2])
def test_the_gradient_of_the_penalty_is_added_once_on_float32_weights_and_on_every_rank(micro):
    items, first = chats(5), policy()

    def gradient(strength: float, ranks: object = None, dtype: torch.dtype = torch.float32) -> Tensor:
        part = copy.deepcopy(first).to(dtype)
        exact = {name: value.detach().float() + 1e-4 for name, value in part.named_parameters()}
        updates = Updates(clip_norm=0.0, micro_batch_size=micro)
        trainer = Trainer({"policy": Part(module=part, exact=exact)}, SFT(), updates, steps=1, ranks=ranks)
        if strength:
            trainer.objective = held(SFT(), trainer.optimizers["policy"].masters, 0.5, strength)
            for value in trainer.objective.start.values():
                value.sub_(0.25)
        trainer.forward_backward(items)
        masters = trainer.optimizers["policy"].masters.values()
        trainer.ranks.sum_gradients(masters)
        trainer._penalty()
        return gradient_of(trainer)

    for dtype in (torch.float32, torch.bfloat16):
        plain = gradient(0.0, dtype=dtype)
        torch.testing.assert_close(
            gradient(3.0, dtype=dtype) - plain, torch.full_like(plain, 3 * 0.5 * 0.25), atol=1e-4, rtol=1e-4
        )
    plain = gradient(0.0)
    for one in on_ranks(2, lambda ranks: gradient(3.0, ranks)):
        torch.testing.assert_close(one - plain, torch.full_like(plain, 3 * 0.5 * 0.25), atol=1e-4, rtol=1e-4)


def test_everything_else_is_the_goal_s():
    values = {"x": torch.zeros(1)}
    goal = BradleyTerry(score_margin=0.1)
    found = elastic(goal, strength=1.0, trained=values, start=values, fisher=values)
    assert (found.reads, found.needs, found.coupling) == (goal.reads, goal.needs, "group")
    assert not found.has_statistics
    assert elastic(KTO(), strength=1.0, trained=values, start=values, fisher=values).has_statistics
    assert elastic(SFT(), strength=1.0, trained=values, start=values, fisher=values).coupling == "completion"
    twice = elastic(found, strength=1.0, trained={"x": torch.ones(1)}, start=values, fisher={"x": torch.ones(1)})
    assert isinstance(twice, Elastic)
    assert float(twice.penalty({})) == 0.5
    with pytest.raises(ValueError, match="at least one weight"):
        elastic(goal, strength=1.0, trained={}, start={}, fisher={})


def last_layer(part: LanguageModel) -> LanguageModel:
    part.model.requires_grad_(False)
    head_of(part.model).weight.requires_grad_(True)
    return part


def test_the_sampled_estimate_is_unbiased_for_a_softmax_layer():
    """Of a linear softmax layer F is known: E_p of the square is p_v (1 - p_v) h_d^2, summed over tokens."""
    part = policy()
    part.model.lm_head.weight = nn.Parameter(part.model.lm_head.weight.detach().clone())
    last_layer(part)
    tree = Tree(id="x", prompt=[5, 6], branches=(Branch(tokens=[7, 8, 9], weights=[1.0] * 3),))
    found = torch.zeros_like(head_of(part.model).weight)
    rounds = 300
    for number in range(rounds):
        one = diagonal_fisher(
            part, [replace(tree, id=str(number))], source="sampled", seed=0, device=torch.device("cpu")
        )
        found += one.values["lm_head.weight"] / rounds
    with torch.no_grad():
        hidden = part.hidden(pack([tree]))
        p = torch.softmax(head_of(part.model).logits(hidden), -1)
        expected = torch.einsum("nv,nd->vd", p * (1 - p), hidden.square()) / 3
    assert one.num_targets == 3
    assert float((found - expected).norm() / expected.norm()) < 0.4
    assert float(found.sum()) == pytest.approx(float(expected.sum()), rel=0.1)


def test_the_empirical_estimate_is_the_square_of_the_gradient_of_each_example():
    part, trees = policy(), chats(3)
    found = diagonal_fisher(part, trees, source="data", seed=0, device=torch.device("cpu"))
    by_hand = 0.0
    for tree in trees:
        trainer = Trainer(parts_of(policy()), SFT(), Updates(clip_norm=0.0), steps=1)
        trainer.forward_backward([tree])
        by_hand = by_hand + (gradient_of(trainer) * sum(branch.num_scored for branch in tree.branches)) ** 2
    flat = torch.cat([value.flatten() for value in found.values.values()])
    torch.testing.assert_close(flat, by_hand / found.num_targets, rtol=1e-3, atol=1e-7)
    again = diagonal_fisher(part, trees, source="sampled", seed=0, device=torch.device("cpu"))
    same = diagonal_fisher(part, trees, source="sampled", seed=0, device=torch.device("cpu"))
    other = diagonal_fisher(part, trees, source="sampled", seed=1, device=torch.device("cpu"))
    name = next(iter(found.values))
    assert torch.equal(again.values[name], same.values[name])
    assert not torch.equal(again.values[name], other.values[name])
    assert not torch.equal(again.values[name], found.values[name])


def test_a_digest_knows_shapes_and_values():
    one = torch.arange(6.0)
    named = {"a": one, "b": one.clone(), "c": one.reshape(2, 3), "d": one + 1e-6, "e": one.to(torch.bfloat16)}
    found = weight_digests(named.items())
    assert found.keys() == named.keys()
    assert found["a"] == found["b"] == found["e"], "whole numbers are the same in bf16"
    assert len({found[name] for name in "acd"}) == 3
