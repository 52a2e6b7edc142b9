"""What holds for every preference objective, on a tiny model: gradients, and what the loss must not depend on.

Not on the order of examples or of a prompt's answers, not on the layout, not on what an example is packed with, and not
on how the real trainer splits a batch. The mean over a batch is that of its parts, weighted by what they hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from burnish.batch import Branch, Tree, pack
from burnish.metrics import merged, values
from burnish.models.language import LanguageModel
from burnish.objectives.dpo import DPO
from burnish.objectives.ipo import IPO
from burnish.objectives.kto import KTO, with_mismatched
from burnish.objectives.objective import Objective
from burnish.objectives.orpo import ORPO
from burnish.objectives.plackett_luce import PlackettLuce
from burnish.objectives.simpo import SimPO
from burnish.training.columns import completion_logps, with_column
from burnish.training.optimizer import AdamW
from burnish.training.plan import packed_cost, padded_cost
from burnish.training.trainer import Trainer, Updates
from tests.training.toys import chats, gradient_of, parts_of, policy, without_clocks

COUNT, POOL = 8, 16
LOGGED = {f"{name}_{side}" for name in ("reward", "logp", "length", "gain") for side in ("chosen", "rejected")}
LOGGED |= {"margin", "accuracy", "kl_proxy"}
POLICIES = {layout: policy(layout=layout) for layout in ("tree", "padded")}
REFERENCE = policy(seed=1)


def ranked(completions: int) -> list[Tree]:
    """Random trees whose answers have ranks in an order that is not that of the branches."""
    trees = []
    for index, tree in enumerate(chats(COUNT, completions=completions)):
        ranks = [(place + index) % completions for place in range(completions)]
        trees.append(with_columns(tree, [{"rank": float(rank)} for rank in ranks]))
    return trees


def with_columns(tree: Tree, columns: Sequence[Mapping[str, float]]) -> Tree:
    pairs = zip(tree.branches, columns, strict=True)
    return replace(tree, branches=tuple(replace(branch, columns=own) for branch, own in pairs))


def referenced(trees: Sequence[Tree], *, lower: float = 0.0) -> list[Tree]:
    """The trees with another model's log-probs, `lower` nats below what they are."""
    logps = completion_logps(REFERENCE, trees, budget=4096, cost=packed_cost, device=torch.device("cpu"))
    return with_column(trees, "reference_logp", [[value - lower for value in row] for row in logps])


PAIRS, RANKINGS = referenced(ranked(2)), referenced(ranked(3))
LABELLED = [with_columns(tree, [{"label": float(i % 2)}]) for i, tree in enumerate(chats(COUNT, seed=5))]
FAR = 8.0
"""Nats that keep KTO's reference point well above 0, where it is clipped."""

POOLED = referenced(with_mismatched(LABELLED, pool=POOL, batch_size=COUNT, seed=0), lower=FAR)
CASES: dict[str, tuple[Objective, list[Tree]]] = {
    "dpo": (DPO(beta=0.3), PAIRS),
    "dpo-conservative": (DPO(beta=0.3, label_smoothing=0.1), PAIRS),
    "dpo-robust": (DPO(beta=0.3, label_smoothing=0.1, loss_kind="robust"), PAIRS),
    "dpo-hinge": (DPO(beta=0.05, loss_kind="hinge"), PAIRS),
    "dpo-length-sft": (DPO(beta=1.0, length_normalised=True, sft_weight=0.5), PAIRS),
    "ipo": (IPO(tau=0.2), PAIRS),
    "simpo": (SimPO(watch_reference=True), PAIRS),
    "orpo": (ORPO(odds_weight=0.5, watch_reference=True), PAIRS),
    "plackett-luce": (PlackettLuce(beta=0.3), RANKINGS),
    "plackett-luce-2": (PlackettLuce(beta=0.3), PAIRS),
    "kto": (KTO(beta=0.2, undesirable_weight=1.5, pool=POOL), POOLED),
}
EVERY = pytest.mark.parametrize("case", CASES)


def update(
    case: str, trees: Sequence[Tree] | None = None, *, layout: str = "tree", **changes: Any
) -> tuple[Tensor, dict[str, float]]:
    """The gradient of the real trainer, and the metrics of an update at rate 0."""
    objective, items = CASES[case]
    part = POLICIES[layout]
    updates = replace(Updates(optimizer=AdamW(learning_rate=0.0), clip_norm=0.0), **changes)
    cost = packed_cost if layout == "tree" else padded_cost
    trainer = Trainer(parts_of(part), objective, updates, steps=1, cost=cost)
    part.zero_grad(set_to_none=True)
    trainer.forward_backward(items if trees is None else trees)
    gradient = gradient_of(trainer)
    return gradient, without_clocks(trainer.optimizer_step())


def assert_same(found: tuple[Tensor, dict[str, float]], wanted: tuple[Tensor, dict[str, float]]) -> None:
    assert float(wanted[0].norm()) > 0.05
    assert float((found[0] - wanted[0]).norm() / wanted[0].norm()) < 2e-5
    numbers = [{name: v for name, v in metrics.items() if name != "tokens"} for _, metrics in (found, wanted)]
    assert numbers[0] == pytest.approx(numbers[1], rel=2e-4, abs=1e-5)


@EVERY
def test_what_is_always_logged(case: str):
    _, metrics = update(case)
    assert metrics.keys() >= LOGGED
    assert metrics["kl_proxy"] > 0.1, "the reference must differ, or half of this file tests nothing"
    assert case != "kto" or metrics["kl"] > 1


@EVERY
def test_one_example_in_a_micro_batch(case: str):
    assert_same(update(case, micro_batch_size=1), update(case))
    assert_same(update(case, micro_batch_size=3), update(case))


@EVERY
def test_the_layouts_agree(case: str):
    assert_same(update(case, layout="padded"), update(case))
    assert_same(update(case, layout="padded", token_budget=64), update(case))


@EVERY
def test_the_order_of_examples_and_of_answers_does_not_matter(case: str):
    items = CASES[case][1]
    turned = [replace(tree, branches=tree.branches[::-1]) for tree in reversed(items)]
    assert_same(update(case, turned), update(case))


def test_a_small_budget_tears_the_answers_of_kto_apart_and_nothing_changes():
    """The mismatched answers then stand in micro-batches of their own, which have no term."""
    longest = max(len(tree.prompt) + len(branch.tokens) for tree in POOLED for branch in tree.branches)
    assert_same(update("kto", token_budget=longest), update("kto"))


@pytest.mark.parametrize("size", [2, 4, 8])
def test_the_pool_of_kto_does_not_depend_on_the_batch(size: int):
    """Batches of 2, 4 and 8 examples all have 16 mismatched pairs; and so has every split of them."""
    trees = referenced(with_mismatched(LABELLED, pool=POOL, batch_size=size, seed=0), lower=FAR)
    for start in range(0, COUNT, size):
        _, metrics = update("kto", trees[start : start + size], micro_batch_size=1)
        assert metrics["pool"] == POOL
        assert metrics["kl"] > 1


def alone(objective: Objective, part: LanguageModel, trees: Sequence[Tree], statistics: Mapping[str, Any]):
    """The summed terms and the log-probs of a batch."""
    batch = pack(trees)
    outputs = {"logp": part(batch, frozenset({"logp"}), {})["logp"].detach()}
    found = objective.loss(outputs, batch, statistics)
    return {name: float(term) for name, term in found.terms.items()}, objective.weights(batch)


@EVERY
def test_packed_with_others_an_example_costs_what_it_costs_alone(case: str):
    objective, items = CASES[case]
    part = POLICIES["tree"]
    batch = pack(items)
    statistics = values(merged([objective.statistics({"logp": part(batch, frozenset({"logp"}), {})["logp"]}, batch)]))
    together, weight = alone(objective, part, items, statistics)
    singles = [alone(objective, part, [tree], statistics) for tree in items]
    for name, total in together.items():
        assert sum(terms[name] for terms, _ in singles) == pytest.approx(total, rel=1e-4)
        assert sum(weights[name] for _, weights in singles) == weight[name]


@EVERY
def test_a_batch_twice_as_large_of_the_same_examples_has_the_same_gradient(case: str):
    items = CASES[case][1]
    again = [replace(tree, id=f"{tree.id} again") for tree in items]
    found, wanted = update(case, [*items, *again]), update(case)
    for _, metrics in (found, wanted):
        metrics.pop("pool", None)
    assert_same(found, wanted)


@EVERY
def test_gradient_check(case: str):
    """In float64, by differences, through every term together."""
    objective, items = CASES[case]
    batch = pack(items[:3])
    with torch.no_grad():
        logp = POLICIES["tree"](batch, frozenset({"logp"}), {})["logp"].double().clamp(max=-0.01)
    statistics = values(objective.statistics({"logp": logp}, batch))

    def total(value: Tensor) -> Tensor:
        return torch.stack(list(objective.loss({"logp": value}, batch, statistics).terms.values())).sum()

    assert torch.autograd.gradcheck(total, (logp.requires_grad_(True),), eps=1e-5, atol=1e-4)


@EVERY
def test_descent_lowers_the_loss(case: str):
    """Ten updates of a fresh model on one batch."""
    objective, items = CASES[case]
    trainer = Trainer(parts_of(policy()), objective, Updates(optimizer=AdamW(learning_rate=3e-3)), steps=10)
    losses = [trainer.step(items)["loss"] for _ in range(10)]
    assert losses[-1] < 0.97 * losses[0]


@EVERY
def test_the_check_passes_what_the_objective_can_compute(case: str):
    objective, items = CASES[case]
    objective.check(items)
    assert set(objective.needs) <= set(items[0].branches[0].columns)
    assert all(isinstance(branch, Branch) for branch in items[0].branches)
