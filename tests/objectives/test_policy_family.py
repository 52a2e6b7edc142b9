"""What holds for every policy-gradient objective on the real trainer: a gradient that does not depend on the split.

Not on the order of prompts or of a prompt's completions, not on the layout, not on what a completion is packed with,
not on how many micro-batches there are: completions of one prompt may even be torn apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.batch import Tree, TreeBatch, pack
from burnish.models.language import LayoutName
from burnish.numerics import generator_from
from burnish.objectives.grpo import GRPO
from burnish.objectives.objective import Objective
from burnish.objectives.ppo import PPO
from burnish.objectives.reinforce import Reinforce
from burnish.training.optimizer import AdamW
from burnish.training.part import Part
from burnish.training.plan import packed_cost, padded_cost
from burnish.training.trainer import Trainer, Updates
from tests.training.toys import chats, gradient_of, policy, without_clocks

COUNT, GROUP = 5, 3


class Critic(nn.Module):
    """Values from a tiny model of its own."""

    provides = frozenset({"value"})

    def __init__(self, layout: LayoutName) -> None:
        super().__init__()
        self.language = policy(seed=2, layout=layout)
        self.line = nn.Linear(self.language.model.config.hidden_size, 1)
        with torch.no_grad():
            weight = torch.randn(self.line.weight.shape, generator=generator_from("critic"))
            self.line.weight.copy_(weight)
            self.line.bias.zero_()

    def forward(self, batch: TreeBatch, reads: frozenset[str], context: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"value": self.line(self.language.hidden(batch))[:, 0]}


LAYOUTS: tuple[LayoutName, ...] = ("tree", "padded")
MODULES = {layout: {"policy": policy(layout=layout), "critic": Critic(layout)} for layout in LAYOUTS}
REFERENCE = policy(seed=1)


def rows_of(tree: Tree, values: Tensor) -> list[list[float]]:
    """Numbers of a tree's tokens, by completion."""
    return [part.tolist() for part in values.split([len(branch.tokens) for branch in tree.branches])]


@torch.no_grad()
def rolled_out(tree: Tree) -> Tree:
    """A tree with every column a source fills: what the policy gives, moved a little, and advantages at random."""
    batch, generator = pack([tree]), generator_from("rollout", tree.id)

    def noise(size: float) -> Tensor:
        return size * torch.randn(len(batch.target_N), generator=generator)

    logp = MODULES["tree"]["policy"](batch, frozenset({"logp"}), {})["logp"]
    value = MODULES["tree"]["critic"](batch, frozenset({"value"}), {})["value"]
    old = (logp + noise(0.3)).clamp(max=0)
    own = torch.randn(len(tree.branches), generator=generator)
    columns = {
        "advantage": own[batch.completion_N],
        "old_logp": old,
        "sampler_logp": (old + noise(0.3)).clamp(max=0),
        "reference_logp": REFERENCE(batch, frozenset({"logp"}), {})["logp"],
        "old_value": value + noise(0.3),
        "return": value + noise(1.0),
    }
    rows = {name: rows_of(tree, numbers) for name, numbers in columns.items()}
    branches = [
        replace(branch, token_columns={name: rows[name][index] for name in rows})
        for index, branch in enumerate(tree.branches)
    ]
    return replace(tree, branches=tuple(branches))


ROLLOUT = [rolled_out(tree) for tree in chats(COUNT, completions=GROUP)]
CASES: dict[str, Objective] = {
    "reinforce": Reinforce(),
    "rloo": Reinforce(average="constant", constant_length=6, max_importance=1.2, kl_weight=0.1, kl_estimator="k2"),
    "grpo": GRPO(average="completion", kl_weight=0.04),
    "dapo": GRPO(clip_high=0.28, max_importance=2.0, entropy_weight=0.05),
    "dr-grpo": GRPO(average="constant", constant_length=6),
    "gspo": GRPO(ratio="sequence", average="completion", clip_low=0.05, clip_high=0.05),
    "ppo": PPO(entropy_weight=0.05, kl_weight=0.04),
    "ppo-plain-value": PPO(value_clip=None, average="completion"),
}
EVERY = pytest.mark.parametrize("case", CASES)


def parts_for(case: str, layout: LayoutName) -> dict[str, Part]:
    names = ("policy", "critic") if "value" in CASES[case].reads else ("policy",)
    return {name: Part(module=MODULES[layout][name]) for name in names}


def update(
    case: str, trees: Sequence[Tree] = ROLLOUT, *, layout: LayoutName = "tree", **changes: Any
) -> tuple[Tensor, dict[str, float]]:
    """The gradient of the real trainer over all parts, and the metrics of an update at rate 0."""
    parts = parts_for(case, layout)
    updates = replace(Updates(optimizer=AdamW(learning_rate=0.0), clip_norm=0.0), **changes)
    cost = packed_cost if layout == "tree" else padded_cost
    trainer: Trainer[Tree] = Trainer(parts, CASES[case], updates, steps=1, cost=cost)
    for part in parts.values():
        part.module.zero_grad(set_to_none=True)
    trainer.forward_backward(trees)
    gradient = torch.cat([gradient_of(trainer, name) for name in parts])
    return gradient, without_clocks(trainer.optimizer_step())


def assert_same(found: tuple[Tensor, dict[str, float]], wanted: tuple[Tensor, dict[str, float]]) -> None:
    assert float(wanted[0].norm()) > 0.05
    assert float((found[0] - wanted[0]).norm() / wanted[0].norm()) < 2e-5
    numbers = [{name: v for name, v in metrics.items() if name != "tokens"} for _, metrics in (found, wanted)]
    assert numbers[0] == pytest.approx(numbers[1], rel=2e-4, abs=1e-5)


@EVERY
def test_the_check_passes_and_the_metrics_are_there(case: str):
    CASES[case].check(ROLLOUT)
    _, metrics = update(case)
    assert metrics["kl_old_new"] > 0.01, "the policy must have moved, or half of this file tests nothing"
    assert {"advantage_spread", "kl_k1_per_completion", "sampler_gap_max", "length"} <= metrics.keys()
    if "ratio_max" in metrics:
        assert metrics["ratio_max"] > 1.05
        assert metrics["clip_fraction_low"] + metrics["clip_fraction_high"] > 0.02
    if "value" in CASES[case].reads:
        assert {"value", "value_loss", "explained_variance"} <= metrics.keys()


@EVERY
def test_no_split_changes_the_gradient(case: str):
    """One prompt at a time, two, and completions of a prompt apart from each other."""
    wanted = update(case)
    longest = max(len(tree.prompt) + len(branch.tokens) for tree in ROLLOUT for branch in tree.branches)
    for changes in ({"micro_batch_size": 1}, {"micro_batch_size": 2}, {"token_budget": longest}):
        assert_same(update(case, **changes), wanted)


@EVERY
def test_the_layouts_agree(case: str):
    assert_same(update(case, layout="padded", token_budget=64), update(case))


@EVERY
def test_the_order_of_prompts_and_of_completions_does_not_matter(case: str):
    turned = [replace(tree, branches=tree.branches[::-1]) for tree in reversed(ROLLOUT)]
    assert_same(update(case, turned), update(case))


@EVERY
def test_a_batch_twice_as_large_of_the_same_rollouts_has_the_same_gradient(case: str):
    again = [replace(tree, id=f"{tree.id} again") for tree in ROLLOUT]
    assert_same(update(case, [*ROLLOUT, *again]), update(case))


@EVERY
def test_gradient_check(case: str):
    """In float64, by differences, through every term together."""
    objective, batch = CASES[case], pack(ROLLOUT[:2])
    with torch.no_grad():
        leaves = {
            "logp": MODULES["tree"]["policy"](batch, frozenset({"logp"}), {})["logp"],
            "entropy": torch.linspace(0.5, 2, len(batch.target_N)),
            "value": MODULES["tree"]["critic"](batch, frozenset({"value"}), {})["value"],
        }
    names = objective.reads
    given = tuple(leaves[name].double().requires_grad_(True) for name in names)

    def total(*values: Tensor) -> Tensor:
        terms = objective.loss(dict(zip(names, values, strict=True)), batch, {}).terms
        return torch.stack(list(terms.values())).sum()

    assert torch.autograd.gradcheck(total, given, eps=1e-6, atol=1e-4)


def trained(case: str, updates: int) -> list[dict[str, float]]:
    """Updates of fresh models on one rollout."""
    modules: dict[str, nn.Module] = {"policy": policy(), "critic": Critic("tree")}
    parts = {name: Part(module=modules[name]) for name in parts_for(case, "tree")}
    rate = AdamW(learning_rate=3e-3)
    trainer: Trainer[Tree] = Trainer(parts, CASES[case], Updates(optimizer=rate), steps=updates)
    return [dict(trainer.step(ROLLOUT)) for _ in range(updates)]


@EVERY
def test_descent_lowers_the_loss(case: str):
    history = trained(case, 8)
    assert history[-1]["loss"] < history[0]["loss"] - 0.01


def test_at_rate_0_the_ratio_stays_exactly_1():
    """Old log-probs from the trainer's own path, with the same micro-batches, in float32."""
    module = MODULES["tree"]["policy"]
    with torch.no_grad():
        logp = module(pack(ROLLOUT), frozenset({"logp"}), {})["logp"]
    places = iter(logp.tolist())
    same = [
        replace(
            tree,
            branches=tuple(
                replace(b, token_columns={**b.token_columns, "old_logp": [next(places) for _ in b.tokens]})
                for b in tree.branches
            ),
        )
        for tree in ROLLOUT
    ]
    updates = Updates(optimizer=AdamW(learning_rate=0.0))
    trainer: Trainer[Tree] = Trainer({"policy": Part(module=module)}, GRPO(), updates, steps=2)
    for _ in range(2):
        metrics = trainer.step(same)
        assert metrics["ratio_max"] == metrics["ratio_mean"] == 1.0
        assert metrics["kl_old_new"] == 0.0


def test_a_policy_learns_what_is_rewarded_and_unlearns_what_is_not():
    """One update at ratio 1: the log-probs of good completions rise, those of bad ones fall."""
    module = policy()
    signs = [1.0, -1.0, -1.0, 1.0]
    trees = []
    for tree, sign in zip(chats(4, seed=3), signs, strict=True):
        (answer,) = tree.branches
        branch = replace(answer, token_columns={"advantage": [sign] * len(answer.tokens)})
        trees.append(replace(tree, branches=(branch,)))
    before = module(pack(trees), frozenset({"logp"}), {})["logp"].detach()
    trainer: Trainer[Tree] = Trainer(
        {"policy": Part(module=module)}, GRPO(), Updates(optimizer=AdamW(learning_rate=1e-3)), steps=1
    )
    metrics = trainer.step(trees)
    batch = pack(trees)
    moved = batch.sum_C(module(batch, frozenset({"logp"}), {})["logp"].detach() - before)
    assert metrics["ratio_max"] == 1.0
    assert torch.equal(moved.sign(), torch.tensor(signs))
