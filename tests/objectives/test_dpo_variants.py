"""DPO's variants: robust and hinge losses, length normalisation, and the SFT term beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.config import load
from burnish.errors import ConfigError
from burnish.metrics import values
from burnish.objectives.dpo import DPO
from tests.objectives.tables import batch_of, pair

FEW = settings(max_examples=20, deadline=None)

Pair = tuple[list[float], list[float], float, float]
"""Log-probs of the chosen and the rejected answer's tokens, and both references."""

LOGPS = st.lists(st.floats(-6, 0), min_size=1, max_size=3)
PAIR = st.tuples(LOGPS, LOGPS, st.floats(-12, 0), st.floats(-12, 0))
WORKED: Pair = ([-1.5, -0.5], [-4.0], -3.0, -3.0)
"""Log-ratios 1 and -1: h = 2."""


def computed(objective: DPO, rows: Sequence[Pair]) -> tuple[dict[str, float], list[float]]:
    """Each term over its weight, and the gradient of each token's log-prob of their sum."""
    trees = [pair(str(i), c, r, (rc, rr)) for i, (c, r, rc, rr) in enumerate(rows)]
    batch, logp = batch_of(trees, {str(i): [c, r] for i, (c, r, _, _) in enumerate(rows)})
    found, weights = objective.loss({"logp": logp}, batch, {}).terms, objective.weights(batch)
    assert set(found) == set(weights)
    terms = {name: term / weights[name] for name, term in found.items()}
    torch.stack(list(terms.values())).sum().backward()
    assert logp.grad is not None
    return {name: float(term.detach()) for name, term in terms.items()}, logp.grad.tolist()


def flipped(row: Pair) -> Pair:
    return row[1], row[0], row[3], row[2]


@pytest.mark.parametrize(
    ("objective", "loss"),
    [
        (DPO(beta=0.5), 0.3132617),
        (DPO(beta=0.5, label_smoothing=0.1), 0.4132617),
        (DPO(beta=0.5, label_smoothing=0.1, loss_kind="robust"), 0.1882617),
        (DPO(beta=0.5, loss_kind="hinge"), 0.0),
        (DPO(beta=0.25, loss_kind="hinge"), 0.5),
        # per token: 1/2 and -1, so beta h = 0.75, and -log sigmoid(0.75) = 0.3868711
        (DPO(beta=0.5, length_normalised=True), 0.3868711),
    ],
)
def test_the_worked_numbers(objective: DPO, loss: float):
    assert computed(objective, [WORKED])[0] == pytest.approx({"dpo": loss}, abs=1e-7)


@FEW
@given(PAIR, st.floats(0.01, 2), st.floats(0.01, 0.45))
def test_robust_is_unbiased_under_flipped_labels_and_conservative_is_not(row: Pair, beta: float, eps: float):
    """(1 - eps) l(pair) + eps l(flipped pair) is the loss without noise (Chowdhury et al. 2024)."""
    clean = computed(DPO(beta=beta), [row])[0]["dpo"]

    def expected(objective: DPO) -> float:
        right, wrong = (computed(objective, [one])[0]["dpo"] for one in (row, flipped(row)))
        return (1 - eps) * right + eps * wrong

    robust = DPO(beta=beta, label_smoothing=eps, loss_kind="robust")
    assert expected(robust) == pytest.approx(clean, rel=1e-4, abs=1e-5)
    margin = beta * (sum(row[0]) - row[2] - sum(row[1]) + row[3])
    smooth = DPO(beta=beta, label_smoothing=eps)
    assert expected(smooth) - clean == pytest.approx(2 * eps * (1 - eps) * margin, rel=1e-3, abs=1e-5)


def test_the_gradient_of_robust_is_that_of_the_clean_loss_in_the_mean():
    eps = 0.2
    robust = DPO(beta=0.5, label_smoothing=eps, loss_kind="robust")
    _, right = computed(robust, [WORKED])
    _, wrong = computed(robust, [flipped(WORKED)])
    _, clean = computed(DPO(beta=0.5), [WORKED])
    wrong = [*wrong[1:], wrong[0]]  # the flipped pair has the other answer first
    assert [(1 - eps) * a + eps * b for a, b in zip(right, wrong, strict=True)] == pytest.approx(clean, rel=1e-5)


def test_robust_without_noise_is_dpo():
    rows = [WORKED, flipped(WORKED), ([-1.0], [-0.5, -0.5, -2.0], -2.0, -1.0)]
    assert computed(DPO(loss_kind="robust"), rows) == computed(DPO(), rows)


def test_the_hinge_leaves_pairs_alone_that_are_apart():
    """Beyond h = 1/beta there is no gradient; below it is beta on every token, whatever the distance."""
    for h, pull in ((2.1, 0.0), (1.9, 0.5), (-7.0, 0.5)):
        _, gradient = computed(DPO(beta=0.5, loss_kind="hinge"), [([-1.0], [-1.0 - h], 0.0, 0.0)])
        assert gradient == [-pull, pull]


@FEW
@given(PAIR, st.floats(0.01, 2))
def test_length_normalised_divides_each_log_ratio_by_its_own_tokens(row: Pair, beta: float):
    c, r, rc, rr = row
    logit = beta * ((sum(c) - rc) / len(c) - (sum(r) - rr) / len(r))
    terms, _ = computed(DPO(beta=beta, length_normalised=True), [row])
    assert terms["dpo"] == pytest.approx(math.log1p(math.exp(-logit)), rel=1e-5, abs=1e-6)


def test_the_sft_term_counts_every_pair_once():
    """Means per token of the chosen answers: 1 and 3, whatever their lengths; half of the mean over pairs is 1."""
    rows = [([-1.0, -1.0, -1.0, -1.0], [-2.0], -1.0, -1.0), ([-3.0], [-2.0], -1.0, -1.0)]
    terms, gradient = computed(DPO(sft_weight=0.5), rows)
    assert terms["sft"] == pytest.approx(1.0)
    assert terms["dpo"] == pytest.approx(computed(DPO(), rows)[0]["dpo"])
    alone = computed(DPO(), rows)[1]
    added = [a - b for a, b in zip(gradient, alone, strict=True)]
    assert added == pytest.approx([-0.5 / 4 / 2] * 4 + [0.0] + [-0.5 / 2, 0.0], rel=1e-4, abs=1e-7)


def test_the_sft_term_is_not_per_token_of_the_batch():
    """Dividing by all chosen tokens, as token averages do, gives 1.4 where the paper's mean over answers gives 2."""
    rows = [([-1.0, -1.0, -1.0, -1.0], [-2.0], -1.0, -1.0), ([-3.0], [-2.0], -1.0, -1.0)]
    assert computed(DPO(sft_weight=1.0), rows)[0]["sft"] == pytest.approx(2.0)


@FEW
@given(st.lists(PAIR, min_size=1, max_size=4))
def test_beta_to_0(rows: list[Pair]):
    """The loss goes to log 2 and each pair's gradient over beta to 1/2."""
    beta = 1e-5
    terms, gradient = computed(DPO(beta=beta), rows)
    assert terms["dpo"] == pytest.approx(math.log(2), abs=1e-3)
    assert [abs(value) / beta * len(rows) for value in gradient] == pytest.approx([0.5] * len(gradient), rel=1e-3)


def test_metrics_are_those_of_the_implicit_reward():
    batch, logp = batch_of([pair("a", *WORKED[:2], (-3.0, -3.0))], {"a": WORKED[:2]})
    found = values(DPO(beta=0.5, length_normalised=True, sft_weight=1.0).loss({"logp": logp}, batch, {}).metrics)
    assert found["reward_chosen"] == pytest.approx(0.25)
    assert found["reward_rejected"] == pytest.approx(-0.5)
    assert found["gain_chosen"] == pytest.approx(1.0)
    assert found["gain_rejected"] == pytest.approx(-1.0)
    assert found["logp_chosen"] == pytest.approx(-2.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loss_kind": "hinge", "label_smoothing": 0.1}, "the hinge does not read it"),
        ({"loss_kind": "ipo"}, "loss_kind"),
        ({"sft_weight": -1}, "sft_weight"),
        ({"loss_kind": "robust", "label_smoothing": 0.5}, "label_smoothing"),
    ],
)
def test_settings_that_do_not_fit_are_refused(wrong: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        load(DPO, wrong)
