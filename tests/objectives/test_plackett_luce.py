"""Plackett-Luce: the worked number, that it is a distribution over rankings, that two answers are DPO, and ties."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.batch import Branch, Tree
from burnish.errors import DataError
from burnish.metrics import values
from burnish.objectives.dpo import DPO
from burnish.objectives.plackett_luce import PlackettLuce
from tests.objectives.tables import batch_of, branch, pair

FEW = settings(max_examples=20, deadline=None)
RATIOS = st.lists(st.floats(-5, 5), min_size=2, max_size=5)


def ranking(name: str, ratios: Sequence[float], ranks: Sequence[int] | None = None) -> Tree:
    """Answers of one token with log-prob -6 + ratio under the policy and -6 under the reference, best first."""
    ranks = ranks if ranks is not None else range(len(ratios))
    branches = tuple(
        branch([0.0], first_token=10 + place, rank=rank, reference_logp=-6.0)
        for place, (_, rank) in enumerate(zip(ratios, ranks, strict=True))
    )
    return Tree(id=name, prompt=[1], branches=branches)


def computed(objective: PlackettLuce, rows: Sequence[Sequence[float]], ranks: Sequence[int] | None = None):
    """The loss per ranking, the gradient of each answer's log-prob, and the metrics."""
    trees = [ranking(str(i), row, ranks) for i, row in enumerate(rows)]
    batch, logp = batch_of(trees, {str(i): [[-6.0 + ratio] for ratio in row] for i, row in enumerate(rows)})
    found = objective.loss({"logp": logp}, batch, {})
    loss = found.terms["plackett_luce"] / objective.weights(batch)["plackett_luce"]
    loss.backward()
    assert logp.grad is not None
    return float(loss.detach()), logp.grad.tolist(), {name: float(v) for name, v in values(found.metrics).items()}


def test_the_worked_number():
    """Log-ratios 1, 0, -1: log(e + 1 + 1/e) - 1 = 0.4076060 for the first choice, log(1 + 1/e) = 0.3132617 then."""
    loss, _, metrics = computed(PlackettLuce(beta=1.0), [[1.0, 0.0, -1.0]])
    assert loss == pytest.approx(0.7208677, abs=1e-7)
    assert metrics["reward_chosen"] == pytest.approx(1.0)
    assert metrics["reward_rejected"] == pytest.approx(-0.5)
    assert metrics["margin"] == pytest.approx((1 + 2 + 1) / 3), "the mean over all three pairs"
    assert metrics["accuracy"] == 1.0
    assert metrics["kl_proxy"] == pytest.approx(2 / 3)


@FEW
@given(st.lists(RATIOS, min_size=1, max_size=3), st.floats(0.05, 2))
def test_closed_form_for_any_number_of_answers(rows: list[list[float]], beta: float):
    loss, _, _ = computed(PlackettLuce(beta=beta), rows)
    total = 0.0
    for row in rows:
        for place, ratio in enumerate(row):
            total -= beta * ratio - math.log(sum(math.exp(beta * other) for other in row[place:]))
    assert loss == pytest.approx(total / len(rows), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("ratios", [[0.5, -1.0, 2.0], [0.1, 0.2, 0.3, -0.4]])
def test_the_probabilities_of_all_rankings_add_up_to_1(ratios: list[float]):
    orders = itertools.permutations(range(len(ratios)))
    assert sum(math.exp(-computed(PlackettLuce(beta=1.0), [ratios], order)[0]) for order in orders) == pytest.approx(1)


@FEW
@given(st.lists(st.tuples(st.floats(-6, 0), st.floats(-6, 0)), min_size=1, max_size=4), st.floats(0.01, 2))
def test_two_answers_are_dpo(rows: list[tuple[float, float]], beta: float):
    """Loss, gradient and every metric."""
    trees = [pair(str(i), [c], [r], (-2.0, -3.0)) for i, (c, r) in enumerate(rows)]
    logps = {str(i): [[c], [r]] for i, (c, r) in enumerate(rows)}
    found = []
    for objective in (DPO(beta=beta), PlackettLuce(beta=beta)):
        batch, logp = batch_of(trees, logps)
        loss = objective.loss({"logp": logp}, batch, {})
        ((name, term),) = loss.terms.items()
        term.backward()
        assert logp.grad is not None
        found.append((float(term.detach()), logp.grad.tolist(), values(loss.metrics), objective.weights(batch)[name]))
    for mine, theirs in zip(found[1], found[0], strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5, abs=1e-6)


def test_the_gradient_adds_up_to_0_and_the_last_choice_is_free():
    _, gradient, _ = computed(PlackettLuce(beta=1.0), [[1.0, 0.0, -1.0]])
    assert sum(gradient) == pytest.approx(0, abs=1e-6)
    first = [math.exp(r) / (math.e + 1 + 1 / math.e) for r in (1, 0, -1)]
    second = [math.exp(r) / (1 + 1 / math.e) for r in (0, -1)]
    expected = [first[0] - 1, first[1] + second[0] - 1, first[2] + second[1]]
    assert gradient == pytest.approx(expected, rel=1e-5)


def test_only_the_order_of_the_ranks_matters():
    """Reward models and readers may count from 0 or skip; the branches may stand in any order."""
    ratios = [0.3, -0.7, 1.1]
    straight, _, _ = computed(PlackettLuce(), [ratios], [0, 1, 2])
    assert computed(PlackettLuce(), [ratios], [1, 4, 9])[0] == straight
    assert computed(PlackettLuce(), [[1.1, 0.3, -0.7]], [2, 0, 1])[0] == pytest.approx(straight)


def test_reference_free():
    assert PlackettLuce().needs == ("reference_logp",)
    objective = PlackettLuce(beta=1.0, reference_free=True)
    assert objective.needs == ()
    loss, _, metrics = computed(objective, [[1.0, 0.0, -1.0]])
    assert loss == pytest.approx(0.7208677, abs=1e-6), "a constant reference drops out"
    assert "kl_proxy" not in metrics


def test_ties_are_refused_by_name():
    tied = ranking("draw", [0.0] * 4, [0, 1, 1, 2])
    with pytest.raises(DataError, match=r"'draw' has ties, ranks \(0, 1, 1, 2\); .*keep one of the answers that share"):
        PlackettLuce().check([ranking("good", [0.0] * 3), tied])


@pytest.mark.parametrize(
    ("branches", "found"),
    [
        ((branch([-1.0], rank=0),), r"1 completions of ranks \(0\); a ranking has at least two"),
        ((branch([-1.0]), branch([-1.0, -1.0])), r"2 completions of ranks \(none, none\); a ranking has at least two"),
    ],
)
def test_what_is_no_ranking_is_refused_by_name(branches: tuple[Branch, ...], found: str):
    with pytest.raises(DataError, match=f"'x' has {found}"):
        PlackettLuce().check([Tree(id="x", prompt=[1], branches=branches)])


def test_equal_and_empty_answers_are_refused_by_name():
    same = Tree(id="twins", prompt=[1], branches=tuple(branch([-1.0], rank=rank) for rank in range(2)))
    with pytest.raises(DataError, match="'twins': two of its answers are the same"):
        PlackettLuce().check([same])
    mute = Tree(id="mute", prompt=[1], branches=(branch([-1.0], rank=0), branch([-1.0] * 2, weights=[0, 0], rank=1)))
    with pytest.raises(DataError, match="'mute': one of its 2 answers has no supervised token"):
        PlackettLuce().check([mute])
