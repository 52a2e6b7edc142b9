"""What methods make of graded groups, against numbers worked by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from burnish.batch import Branch, Tree
from burnish.example import Example
from burnish.protocols import Grade
from burnish.sampling.kl_control import AdaptiveKL, FixedKL, KLController
from burnish.training.groups import Group
from burnish.training.valuation import GAE, GroupBaseline, Measured, PairValuation, PolicyValuation


def group(scores: Sequence[float], lengths: Sequence[int], name: str = "p") -> Group:
    branches = tuple(
        Branch(tokens=(5,) * length, weights=(1.0,) * length, token_columns={"sampler_logp": (-1.0,) * length})
        for length in lengths
    )
    tree = Tree(id=name, prompt=(1,), branches=branches)
    return Group(tree=tree, example=Example(id=name), grades=tuple(Grade(score=score) for score in scores))


def constant(value: float) -> Any:
    return lambda trees: [[[value] * len(branch.tokens) for branch in tree.branches] for tree in trees]


def column(trees: Sequence[Tree], name: str) -> list[list[list[float]]]:
    return [[list(branch.token_columns[name]) for branch in tree.branches] for tree in trees]


def valuation(how: Any, *, weight: float = 0.0, updates: int = 1, reference: Any = None, critic: Any = None) -> Any:
    measured = Measured(policy=constant(-1.0), reference=reference, critic=critic)
    return PolicyValuation(measured, how, KLController(FixedKL(weight=weight)), updates=updates)


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ("normalised", [[1.0, -1.0], [1.0, -1.0]]),
        ("mean_only", [[0.5, -0.5], [1.5, -1.5]]),
        ("leave_one_out", [[1.0, -1.0], [3.0, -3.0]]),
        ("rollout_mean", [[0.0, -1.0], [2.0, -1.0]]),
        ("none", [[1.0, 0.0], [3.0, 0.0]]),
    ],
)
def test_every_token_of_an_answer_has_the_answers_advantage(baseline: Any, expected: Any):
    groups = [group([1.0, 0.0], [2, 3], "a"), group([3.0, 0.0], [1, 2], "b")]
    (batch,), _ = valuation(GroupBaseline(baseline=baseline)).valued([groups])
    lengths = [[2, 3], [1, 2]]
    for rows, values, counts in zip(column(batch, "advantage"), expected, lengths, strict=True):
        for row, value, count in zip(rows, values, counts, strict=True):
            assert row == pytest.approx([value] * count)


def test_the_kl_in_the_reward_is_taken_off_before_answers_are_compared():
    """Log-ratio 0.5 a token: the answers of 2 and 4 tokens lose 0.1 * 1 and 0.1 * 2 of their rewards 1 and 0."""
    (batch,), figures = valuation(GroupBaseline(baseline="mean_only"), weight=0.1, reference=constant(-1.5)).valued(
        [[group([1.0, 0.0], [2, 4])]]
    )
    mean = (0.9 - 0.2) / 2
    found = column(batch, "advantage")[0]
    assert found[0] == pytest.approx([0.9 - mean] * 2)
    assert found[1] == pytest.approx([-0.2 - mean] * 4)
    assert figures["kl"] == pytest.approx(1.5)
    assert figures["kl_weight"] == 0.1


def test_a_critics_advantages_and_returns():
    """Score 1 on the last of two tokens, values 0.5 and 0.25, gamma 1, lambda 0.5: the example of `advantages.py`."""

    def critic(trees: Sequence[Tree]) -> Any:
        return [[[0.5, 0.25] for _ in tree.branches] for tree in trees]

    (batch,), figures = valuation(GAE(trace=0.5, whiten=False), critic=critic).valued([[group([1.0], [2])]])
    assert column(batch, "advantage") == [[[0.125, 0.75]]]
    assert column(batch, "return") == [[[0.625, 1.0]]]
    assert column(batch, "old_value") == [[[0.5, 0.25]]]
    assert figures["return"] == pytest.approx(0.8125)


def test_whitening_is_over_the_whole_rollout():
    groups = [group([1.0, 0.0], [1, 1], "a"), group([4.0, 0.0], [1, 1], "b")]
    cut, _ = valuation(GAE(), critic=constant(0.0)).valued([[groups[0]], [groups[1]]])
    values = [value for batch in cut for rows in column(batch, "advantage") for row in rows for value in row]
    assert math.fsum(values) == pytest.approx(0)
    assert math.fsum(value**2 for value in values) / 4 == pytest.approx(1)
    assert abs(values[0]) != pytest.approx(1)


@pytest.mark.parametrize(("updates", "reference", "there"), [(1, None, False), (2, None, True), (1, -1.5, True)])
def test_old_log_probs_are_computed_where_something_reads_them(updates: int, reference: Any, there: bool):
    rows = None if reference is None else constant(reference)
    (batch,), _ = valuation(GroupBaseline(), updates=updates, reference=rows).valued([[group([1.0, 0.0], [2, 3])]])
    assert all(("old_logp" in branch.token_columns) == there for tree in batch for branch in tree.branches)


def test_batches_stay_apart():
    groups = [group([1.0, 0.0], [1, 1], name) for name in "abcde"]
    cut, _ = valuation(GroupBaseline()).valued([groups[:2], groups[2:4], groups[4:]])
    assert [[tree.id for tree in batch] for batch in cut] == [["a", "b"], ["c", "d"], ["e"]]


def test_the_best_and_the_worst_answer_make_a_pair():
    groups = [group([0.2, 0.9, 0.1, 0.9], [1, 2, 3, 4], "a"), group([0.5, 0.5], [1, 2], "b")]
    (batch,), figures = PairValuation(constant(-1.0)).valued([groups])
    (pair,) = batch
    assert [len(branch.tokens) for branch in pair.branches] == [2, 3]
    assert [branch.columns for branch in pair.branches] == [
        {"rank": 0.0, "reference_logp": -2.0},
        {"rank": 1.0, "reference_logp": -3.0},
    ]
    assert figures == {"pairs": 1, "reward_gap": pytest.approx(0.4)}


@pytest.mark.parametrize(("kind", "each"), [("k1", -0.5), ("k2", 0.125), ("k3", math.exp(0.5) - 1 - 0.5)])
def test_the_kl_in_the_reward_is_by_the_estimator_that_was_named(kind: Any, each: float):
    """log pi - log ref is -0.5 at every token; an answer of 3 tokens pays 0.1 times three of them."""
    measured = Measured(policy=constant(-1.0), reference=constant(-0.5))
    control = KLController(FixedKL(weight=0.1, estimator=kind))
    groups = [[group([1.0, 0.0], [3, 1])]]
    (batch,), figures = PolicyValuation(measured, GroupBaseline(baseline="none"), control, updates=1).valued(groups)
    found = column(batch, "advantage")[0]
    assert found[0] == pytest.approx([1.0 - 0.1 * 3 * each] * 3)
    assert found[1] == pytest.approx([-0.1 * each])
    assert figures["kl"] == pytest.approx(-1.0)  # whatever is paid, what is logged is the mean log-ratio


def test_the_score_is_paid_on_the_last_token_of_answers_of_every_length_and_the_kl_on_each():
    """With a critic of 0 and trace 0 an advantage is the reward of its own token."""
    groups = [group([3.0], [1], "a"), group([-2.0], [4], "b"), group([5.0], [2], "c")]
    how = GAE(trace=0.0, whiten=False)
    (batch,), _ = valuation(how, weight=0.1, reference=constant(-1.5), critic=constant(0.0)).valued([groups])
    assert [[pytest.approx(row) for row in rows] for rows in column(batch, "advantage")] == [
        [[3.0 - 0.05]],
        [[-0.05, -0.05, -0.05, -2.0 - 0.05]],
        [[-0.05, 5.0 - 0.05]],
    ]


def test_the_weight_of_the_kl_changes_for_the_next_rollout_and_not_for_this_one():
    control = KLController(AdaptiveKL(weight=0.1, target=1.0, horizon=4))
    measured = Measured(policy=constant(-1.0), reference=constant(-1.5))
    one = PolicyValuation(measured, GroupBaseline(baseline="none"), control, updates=1)
    seen = [one.valued([[group([0.0, 0.0], [8, 8])]]) for _ in range(2)]
    assert [figures["kl_weight"] for _, figures in seen] == pytest.approx([0.1, 0.1 * (1 + 0.2 * 2 / 4)])
    assert [column(batches[0], "advantage")[0][0][0] for batches, _ in seen] == pytest.approx([-0.4, -0.44])
