"""DPO: the worked number, its gradient, its limits, its identity with Bradley-Terry, and parity with a peer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.batch import Tree
from burnish.config import load
from burnish.errors import ConfigError
from burnish.metrics import values
from burnish.objectives.dpo import DPO
from tests.objectives.tables import batch_of, pair

FEW = settings(max_examples=20, deadline=None)

Pair = tuple[list[float], list[float], float, float]
"""Log-probs of the chosen and the rejected answer's tokens, and both references."""

FOUR: list[Pair] = [
    ([-1.2, -0.7, -0.1], [-0.8, -1.9], -2.3, -2.5),
    ([-2.5, -0.4], [-1.4, -0.6, -0.5], -2.1, -2.9),
    ([-0.3, -0.9, -1.6, -0.2], [-2.2, -0.1], -3.4, -2.0),
    ([-1.1], [-0.7, -0.7], -1.6, -1.4),
]
"""Four pairs with h = 0.5, -1.2, 0.7, 0.5; the numbers of the peer below are for these."""

LOGPS = st.lists(st.floats(-6, 0), min_size=1, max_size=3)
PAIRS = st.lists(st.tuples(LOGPS, LOGPS, st.floats(-12, 0), st.floats(-12, 0)), min_size=1, max_size=4)


def computed(objective: DPO, rows: Sequence[Pair]) -> tuple[float, list[float], dict[str, float]]:
    """The loss per pair, the gradient of each token's log-prob of that loss, and the metrics."""
    trees = [pair(str(i), c, r, (rc, rr)) for i, (c, r, rc, rr) in enumerate(rows)]
    batch, logp = batch_of(trees, {str(i): [c, r] for i, (c, r, _, _) in enumerate(rows)})
    found = objective.loss({"logp": logp}, batch, {})
    loss = found.terms["dpo"] / objective.weights(batch)["dpo"]
    loss.backward()
    assert logp.grad is not None
    return float(loss.detach()), logp.grad.tolist(), {name: float(v) for name, v in values(found.metrics).items()}


def logit(row: Pair) -> float:
    """h: the difference of the log-ratios."""
    return (sum(row[0]) - row[2]) - (sum(row[1]) - row[3])


def log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value))


def test_the_worked_number():
    """One pair, beta 0.5. Log-ratios: chosen -2 - (-3) = 1, rejected -4 - (-3) = -1, so h = 2 and beta h = 1.

    loss = -log sigmoid(1) = log(1 + 1/e) = 0.3132617
    rewards 0.5 and -0.5, margin 1
    """
    loss, _, metrics = computed(DPO(beta=0.5), [([-1.5, -0.5], [-4.0], -3.0, -3.0)])
    assert loss == pytest.approx(0.3132617, abs=1e-7)
    assert metrics["reward_chosen"] == pytest.approx(0.5)
    assert metrics["reward_rejected"] == pytest.approx(-0.5)
    assert metrics["margin"] == pytest.approx(1.0)


@FEW
@given(PAIRS, st.floats(0.01, 2), st.floats(0, 0.49))
def test_closed_form_with_label_smoothing(rows: list[Pair], beta: float, smoothing: float):
    loss, _, _ = computed(DPO(beta=beta, label_smoothing=smoothing), rows)
    each = [
        -(1 - smoothing) * log_sigmoid(beta * logit(row)) - smoothing * log_sigmoid(-beta * logit(row)) for row in rows
    ]
    assert loss == pytest.approx(sum(each) / len(rows), rel=1e-5, abs=1e-6)


@FEW
@given(PAIRS, st.floats(0.01, 2))
def test_the_gradient_of_a_pair_carries_its_weight(rows: list[Pair], beta: float):
    """d loss / d logp is -beta sigmoid(-beta h) on chosen tokens and + on rejected ones, per pair."""
    _, gradient, _ = computed(DPO(beta=beta), rows)
    expected: list[float] = []
    for row in rows:
        weight = beta / (1 + math.exp(beta * logit(row))) / len(rows)
        expected += [-weight] * len(row[0]) + [weight] * len(row[1])
    assert gradient == pytest.approx(expected, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("objective", [DPO(), DPO(beta=0.7, label_smoothing=0.2), DPO(reference_free=True)])
def test_gradient_check(objective: DPO):
    trees = [pair(str(i), c, r, (rc, rr)) for i, (c, r, rc, rr) in enumerate(FOUR)]
    batch, logp = batch_of(trees, {str(i): [c, r] for i, (c, r, _, _) in enumerate(FOUR)})
    assert torch.autograd.gradcheck(lambda value: objective.loss({"logp": value}, batch, {}).terms["dpo"], (logp,))


@FEW
@given(PAIRS, st.floats(0.01, 2))
def test_it_is_bradley_terry_on_the_implicit_rewards(rows: list[Pair], beta: float):
    """P(chosen beats rejected) = exp(r_w) / (exp(r_w) + exp(r_l)), and the loss is its negative log-likelihood."""
    loss, _, metrics = computed(DPO(beta=beta), rows)
    rewards = [(beta * (sum(c) - rc), beta * (sum(r) - rr)) for c, r, rc, rr in rows]
    likelihood = [math.exp(w) / (math.exp(w) + math.exp(x)) for w, x in rewards]
    assert loss == pytest.approx(-sum(math.log(p) for p in likelihood) / len(rows), rel=1e-5, abs=1e-6)
    assert metrics["reward_chosen"] == pytest.approx(sum(w for w, _ in rewards) / len(rows), rel=1e-4, abs=1e-5)


@FEW
@given(PAIRS, st.floats(0.01, 5), st.floats(0, 0.49))
def test_the_loss_is_log_2_where_policy_and_reference_agree(rows: list[Pair], beta: float, smoothing: float):
    same = [(c, r, sum(c), sum(r)) for c, r, _, _ in rows]
    loss, _, metrics = computed(DPO(beta=beta, label_smoothing=smoothing), same)
    assert loss == pytest.approx(math.log(2), abs=1e-5)
    assert metrics["kl_proxy"] == pytest.approx(0, abs=1e-5)


def test_as_beta_goes_to_0_the_gradient_is_the_plain_difference():
    """(loss - log 2) / beta goes to -h / 2, so every pair pulls alike."""
    beta = 1e-6
    _, gradient, _ = computed(DPO(beta=beta), FOUR)
    assert [abs(value) / beta for value in gradient] == pytest.approx([0.5 / len(FOUR)] * len(gradient), rel=1e-4)


def test_label_smoothing_bounds_the_margin_that_it_wants():
    """The loss of one pair is least where sigmoid(beta h) = 1 - eps: beta h = log((1 - eps) / eps)."""
    eps, best = 0.1, math.log(0.9 / 0.1)
    losses = {}
    for margin in (best - 0.1, best, best + 0.1):
        losses[margin], gradient, _ = computed(DPO(beta=1.0, label_smoothing=eps), [([-1.0], [-1.0 - margin], 0, 0)])
        if margin == best:
            assert gradient == pytest.approx([0.0, 0.0], abs=1e-6)
    assert min(losses, key=losses.__getitem__) == best


def test_reference_free_reads_no_reference():
    """The reference is uniform: h is the difference of the log-probs alone, and there is no KL to report."""
    rows = [([-1.0], [-2.0, -1.0], -50.0, 50.0)]
    objective = DPO(beta=0.5, reference_free=True)
    assert objective.needs == ()
    assert DPO().needs == ("reference_logp",)
    loss, _, metrics = computed(objective, rows)
    assert loss == pytest.approx(-log_sigmoid(0.5 * 2.0))
    assert "kl_proxy" not in metrics
    tree = pair("bare", [-1.0], [-2.0, -1.0])
    batch, logp = batch_of([tree], {"bare": [[-1.0], [-2.0, -1.0]]})
    bare = objective.loss({"logp": logp}, batch, {}).terms["dpo"]
    assert float(bare.detach()) == pytest.approx(loss)


@FEW
@given(PAIRS, st.randoms())
def test_neither_the_order_of_pairs_nor_of_answers_matters(rows: list[Pair], random):
    trees = [pair(str(i), c, r, (rc, rr)) for i, (c, r, rc, rr) in enumerate(rows)]
    logps = {str(i): [c, r] for i, (c, r, _, _) in enumerate(rows)}
    batch, logp = batch_of(trees, logps)
    straight = DPO().loss({"logp": logp}, batch, {})
    turned = [Tree(id=tree.id, prompt=tree.prompt, branches=tree.branches[::-1]) for tree in trees]
    mixed = random.sample(turned, len(turned))
    batch, logp = batch_of(mixed, {name: answers[::-1] for name, answers in logps.items()})
    other = DPO().loss({"logp": logp}, batch, {})
    assert float(other.terms["dpo"].detach()) == pytest.approx(float(straight.terms["dpo"].detach()), rel=1e-5)
    assert values(other.metrics) == pytest.approx(values(straight.metrics), rel=1e-5, abs=1e-6)


def test_parity_with_trl():
    """TRL 1.16.0, `DPOTrainer._compute_loss` on the log-probs of FOUR, torch 2.13, float32, beta 0.1 and 0.5.

    Its rewards and log-probs agree too. It has no reference-free loss.
    """
    loss, gradient, metrics = computed(DPO(), FOUR)
    assert loss == pytest.approx(0.6876562237739563, abs=1e-6)
    assert computed(DPO(beta=0.5), FOUR)[0] == pytest.approx(0.6806872487068176, abs=1e-6)
    first_tokens = [gradient[place] for place in (0, 5, 10, 16)]
    theirs = [-0.012187565676867962, -0.013249102048575878, -0.012062679044902325, -0.012187565676867962]
    assert first_tokens == pytest.approx(theirs, rel=1e-5)
    theirs_by_name = {"reward_chosen": 0.009999990463256836, "reward_rejected": -0.002499997615814209}
    theirs_by_name |= {"margin": 0.01249998714774847, "accuracy": 0.75}
    theirs_by_name |= {"logp_chosen": -2.250000238418579, "logp_rejected": -2.2249999046325684}
    for name, value in theirs_by_name.items():
        assert metrics[name] == pytest.approx(value, abs=1e-6), name


def test_parity_with_trl_where_it_reads_label_smoothing():
    """TRL 1.16.0 reads `label_smoothing` 0.1 in `aot` and `robust`, and ignores it in `sigmoid`, its default.

    `aot` on one pair alone sorts nothing, so it is Mitchell's loss. `robust` (Chowdhury et al. 2024) subtracts the
    flipped term and divides by 1 - 2 eps: another loss, from which ours must differ.
    """
    smooth = DPO(label_smoothing=0.1)
    aot = [0.6734596490859985, 0.7429460883140564, 0.6657596230506897, 0.6734596490859985]
    robust = [0.662209689617157, 0.7699460387229919, 0.6500095725059509, 0.662209689617157]
    ours = [computed(smooth, [row])[0] for row in FOUR]
    assert ours == pytest.approx(aot, abs=1e-6)
    assert all(abs(a - b) > 1e-3 for a, b in zip(ours, robust, strict=True))
    assert computed(smooth, FOUR)[0] == pytest.approx(sum(aot) / 4, abs=1e-6)
    assert computed(smooth, FOUR)[0] != pytest.approx(0.6876562237739563, abs=1e-4), "the smoothing was not read"


@pytest.mark.parametrize(
    "values", [{"beta": 0}, {"beta": -0.1}, {"label_smoothing": 0.5}, {"label_smoothing": -0.1}, {"betta": 0.1}]
)
def test_settings_out_of_range_are_refused(values: dict[str, float]):
    with pytest.raises(ConfigError):
        load(DPO, values)
