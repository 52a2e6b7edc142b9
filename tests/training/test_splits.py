"""One batch gives one gradient and one set of metrics, however it is cut over micro-batches and ranks (pain 7, 8)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import ClassVar

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor

from burnish.batch import Tree, TreeBatch
from burnish.config import settings
from burnish.metrics import Max, Mean, Metric, Number, Sum
from burnish.models.language import LanguageModel
from burnish.objectives.dpo import DPO
from burnish.objectives.objective import Coupling, Loss, Objective, Outputs
from burnish.objectives.sft import SFT
from burnish.training.optimizer import AdamW
from burnish.training.parallel import Ranks
from burnish.training.plan import packed_cost, padded_cost
from burnish.training.trainer import Trainer, Updates
from tests.training.toys import chats, gradient_of, on_ranks, pairs, parts_of, policy, without_clocks


@settings
class Centred(Objective):
    """A toy with a pre-pass: squared distance of each completion's log-prob from the mean over the global batch."""

    coupling: ClassVar[Coupling] = "completion"

    def weights(self, batch: TreeBatch) -> Mapping[str, float]:
        return {"spread": float(batch.num_completions), "nll": float(batch.weight_N.sum())}

    def statistics(self, outputs: Outputs, batch: TreeBatch) -> Mapping[str, Metric]:
        return {"centre": Mean(float(batch.sum_C(outputs["logp"]).sum()), float(batch.num_completions))}

    def loss(self, outputs: Outputs, batch: TreeBatch, statistics: Mapping[str, Number]) -> Loss:
        logp_C = batch.sum_C(outputs["logp"])
        terms = {"spread": (logp_C - statistics["centre"]).square().sum(), "nll": -outputs["logp"].sum()}
        metrics = {"lowest": Max(float(-logp_C.detach().min())), "count": Sum(float(batch.num_completions))}
        return Loss(terms=terms, metrics=metrics)


@settings
class CentredGroups(Centred):
    """The same, with groups kept whole."""

    coupling: ClassVar[Coupling] = "group"


CASES: dict[str, tuple[Objective, list[Tree]]] = {
    "sft": (SFT(), chats(32, completions=2)),
    "dpo": (DPO(beta=0.3, label_smoothing=0.1), pairs(32)),
    "centred": (Centred(), chats(32, completions=2)),
    "centred-groups": (CentredGroups(), chats(32, completions=2)),
}
POLICIES = {layout: policy(layout=layout) for layout in ("tree", "padded")}


def update(
    part: LanguageModel, case: str, ranks: Ranks | None = None, *, budget: int = 4096, most: int | None = None
) -> tuple[Tensor, dict[str, float]]:
    """The gradient, and the metrics of an update at rate 0."""
    objective, items = CASES[case]
    updates = Updates(optimizer=AdamW(learning_rate=0.0), clip_norm=0.0, token_budget=budget, micro_batch_size=most)
    cost = packed_cost if part.layout == "tree" else padded_cost
    trainer = Trainer(parts_of(part), objective, updates, steps=1, cost=cost, ranks=ranks)
    part.zero_grad(set_to_none=True)
    trainer.forward_backward(items)
    gradient = gradient_of(trainer)
    return gradient, without_clocks(trainer.optimizer_step())


@functools.cache
def whole(case: str, layout: str) -> tuple[Tensor, dict[str, float]]:
    """A batch as one micro-batch: what every split must give."""
    return update(POLICIES[layout], case)


def assert_same(found: tuple[Tensor, dict[str, float]], case: str, layout: str) -> None:
    gradient, metrics = whole(case, layout)
    assert float(gradient.norm()) > 0.1
    assert float((found[0] - gradient).norm() / gradient.norm()) < 1e-5
    numbers = {name: value for name, value in found[1].items() if name != "tokens"}
    assert numbers == pytest.approx({name: value for name, value in metrics.items() if name != "tokens"}, rel=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_the_layouts_agree(case: str):
    assert_same(whole(case, "padded"), case, "tree")


@pytest.mark.parametrize("layout", POLICIES)
@pytest.mark.parametrize("case", CASES)
def test_one_example_at_a_time(case: str, layout: str):
    assert_same(update(POLICIES[layout], case, most=1), case, layout)


@pytest.mark.parametrize("case", CASES)
@hypothesis_settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(budget=st.integers(12, 120))
def test_any_token_budget(case: str, budget: int):
    """Small budgets cut trees into their completions where the objective does not couple them."""
    _, items = CASES[case]
    if case in ("dpo", "centred-groups"):
        budget += max(item.num_tokens for item in items) - 12
    assert_same(update(POLICIES["tree"], case, budget=budget), case, "tree")


@pytest.mark.parametrize("layout", POLICIES)
def test_small_budgets_in_both_layouts(layout: str):
    assert_same(update(POLICIES[layout], "centred", budget=12), "centred", layout)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("case", CASES)
def test_any_number_of_ranks(case: str, count: int):
    """Gradients summed over ranks are those of one process, and every rank reports the same metrics.

    Five at a time make seven micro-batches of 32 examples, so one is spare on two ranks and two on three.
    """
    copies = [policy() for _ in range(count)]
    found = on_ranks(count, lambda ranks: update(copies[ranks.index], case, ranks, most=5))
    total = torch.stack([gradient for gradient, _ in found]).sum(0)
    for _, metrics in found:
        assert_same((total, metrics), case, "tree")
