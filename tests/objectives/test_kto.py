"""KTO: the worked number, the reference point and its pool, the asymmetry of gains and losses, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.batch import Branch, Tree, pack
from burnish.config import load
from burnish.errors import ConfigError, DataError
from burnish.metrics import merged, values
from burnish.objectives.kto import KTO, with_mismatched
from tests.objectives.tables import batch_of, branch, pair

FEW = settings(max_examples=20, deadline=None)

Row = tuple[float, float, float, float]
"""Log-prob, reference's, label, mismatched; answers of one token."""

ROWS = st.lists(
    st.tuples(st.floats(-6, 0), st.floats(-6, 0), st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])),
    min_size=1,
    max_size=6,
)


def batched(rows: Sequence[Row]):
    """One tree for every answer."""
    trees = [
        Tree(id=str(i), prompt=[1], branches=(branch([r[0]], reference_logp=r[1], label=r[2], mismatched=r[3]),))
        for i, r in enumerate(rows)
    ]
    return batch_of(trees, {str(i): [[r[0]]] for i, r in enumerate(rows)})


def computed(objective: KTO, rows: Sequence[Row], kl: float | None = None):
    """The loss per answer, the gradient of each log-prob of it, and the metrics; z from the pool unless given."""
    batch, logp = batched(rows)
    statistics = values(objective.statistics({"logp": logp}, batch)) if kl is None else {"kl": kl}
    found = objective.loss({"logp": logp}, batch, statistics)
    loss = found.terms["kto"] / objective.weights(batch)["kto"]
    loss.backward()
    assert logp.grad is not None
    return float(loss.detach()), logp.grad.tolist(), {name: float(v) for name, v in values(found.metrics).items()}


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_the_worked_number():
    """beta 0.5; z = 1 from a pool with log-ratios 3 and -1. r = 3 desirable, r = 0 undesirable.

    (1 - sigmoid(0.5 * (3 - 1)) + 1 - sigmoid(0.5 * (1 - 0))) / 2 = (0.2689414 + 0.3775407) / 2 = 0.3232410
    """
    rows = [(-1.0, -4.0, 1.0, 0.0), (-2.0, -2.0, 0.0, 0.0), (-1.0, -4.0, 1.0, 1.0), (-2.0, -1.0, 0.0, 1.0)]
    loss, gradient, metrics = computed(KTO(beta=0.5), rows)
    assert loss == pytest.approx(0.3232410, abs=1e-7)
    assert metrics["loss_chosen"] == pytest.approx(0.2689414, abs=1e-7)
    assert metrics["loss_rejected"] == pytest.approx(0.3775407, abs=1e-7)
    assert metrics["kl"] == pytest.approx(1.0)
    assert metrics["pool"] == 2
    assert metrics["reward_chosen"] == pytest.approx(1.5)
    assert metrics["gain_rejected"] == pytest.approx(0.0)
    assert metrics["kl_proxy"] == pytest.approx((3 + 0) / 2), "of the scored answers, not of the mismatched"
    assert metrics["margin"] == pytest.approx((1.0 + 0.5) / 2)
    assert metrics["accuracy"] == 1.0
    assert gradient[2:] == [0.0, 0.0], "a mismatched answer is never scored"


@FEW
@given(ROWS, st.floats(0.01, 2), st.floats(0.1, 3), st.floats(0.1, 3))
def test_closed_form(rows: list[Row], beta: float, gain: float, loss_weight: float):
    """lambda_y - v, with z from the mismatched alone, not below 0, and beta once."""
    rows = [*rows, (-1.0, -2.0, 1.0, 0.0), (-1.0, -1.5, 1.0, 1.0)]
    pool = [r[0] - r[1] for r in rows if r[3] == 1]
    zero = max(0.0, sum(pool) / len(pool))
    each = [
        gain - gain * sigmoid(beta * (r[0] - r[1] - zero))
        if r[2]
        else loss_weight - loss_weight * sigmoid(beta * (zero - r[0] + r[1]))
        for r in rows
        if r[3] == 0
    ]
    objective = KTO(beta=beta, desirable_weight=gain, undesirable_weight=loss_weight)
    loss, _, metrics = computed(objective, rows)
    assert loss == pytest.approx(sum(each) / len(each), rel=1e-4)
    assert metrics["kl"] == pytest.approx(zero, rel=1e-4, abs=1e-6)


def test_a_negative_pool_counts_as_0():
    rows = [(-1.0, -2.0, 1.0, 0.0), (-5.0, -1.0, 1.0, 1.0)]
    loss, _, metrics = computed(KTO(beta=1.0), rows)
    assert metrics["kl"] == 0.0
    assert loss == pytest.approx(1 - sigmoid(1.0))


def test_gains_and_losses_are_asymmetric():
    """lambda weighs each side; the pull is strongest at the reference point and fades on both sides."""
    objective = KTO(beta=1.0, desirable_weight=1.0, undesirable_weight=2.0)

    def pull(ratio: float, label: float, kl: float) -> float:
        return computed(objective, [(-1.0, -1.0 - ratio, label, 0.0)], kl)[1][0]

    assert pull(0.7, 1.0, 0.7) == pytest.approx(-1 / 4)
    assert pull(0.7, 0.0, 0.7) == pytest.approx(+2 / 4)
    assert abs(pull(4.0, 1.0, 0.0)) < abs(pull(1.0, 1.0, 0.0)) < 1 / 4
    assert abs(pull(-4.0, 1.0, 0.0)) < abs(pull(-1.0, 1.0, 0.0)) < 1 / 4, "a hopeless answer is given up"
    assert pull(1.0, 1.0, 0.0) == pytest.approx(pull(-1.0, 1.0, 0.0)), "sigmoid, not its logarithm"
    raised = [computed(objective, [(-1.0, -2.0, label, 0.0)], 3.0)[0] for label in (1.0, 0.0)]
    start = [computed(objective, [(-1.0, -2.0, label, 0.0)], 0.0)[0] for label in (1.0, 0.0)]
    assert raised[0] > start[0], "a policy that raises everything gains less by a desirable answer"
    assert raised[1] < start[1]


def test_where_policy_and_reference_agree_a_loss_is_half_its_weight():
    objective = KTO(desirable_weight=1.5, undesirable_weight=0.5)
    rows = [(-1.0, -1.0, 1.0, 0.0), (-2.0, -2.0, 0.0, 0.0), (-3.0, -3.0, 1.0, 1.0)]
    loss, _, metrics = computed(objective, rows)
    assert loss == pytest.approx((0.75 + 0.25) / 2)
    assert metrics["accuracy"] == 0.5


def test_the_document_would_apply_beta_twice():
    """Lifecycle document 4.8.2: sigmoid(beta (r_hat - z)) with r_hat = beta * log-ratio. The paper: beta once."""
    beta, ratio = 0.1, 2.0
    loss, _, _ = computed(KTO(beta=beta), [(-1.0, -1.0 - ratio, 1.0, 0.0)], 0.0)
    assert loss == pytest.approx(1 - sigmoid(beta * ratio))
    assert abs(loss - (1 - sigmoid(beta * beta * ratio))) > 0.04


def test_gradient_check():
    rows = [(-1.0, -2.0, 1.0, 0.0), (-0.5, -0.25, 0.0, 0.0), (-3.0, -2.0, 1.0, 0.0), (-1.0, -3.0, 0.0, 1.0)]
    batch, logp = batched(rows)
    objective = KTO(beta=0.7, undesirable_weight=1.3)

    def total(value: torch.Tensor) -> torch.Tensor:
        return objective.loss({"logp": value}, batch, {"kl": 0.4}).terms["kto"]

    assert torch.autograd.gradcheck(total, (logp,))


@FEW
@given(ROWS, st.randoms(), st.integers(1, 6))
def test_neither_order_nor_split_matters(rows: list[Row], random, cut: int):
    rows = [*rows, (-1.0, -2.0, 0.0, 0.0), (-1.0, -1.5, 1.0, 1.0)]
    mixed = random.sample(rows, len(rows))
    objective = KTO(beta=0.5)
    loss, _, metrics = computed(objective, rows)
    parts = [batched(part) for part in (mixed[:cut], mixed[cut:]) if part]
    statistics = values(merged([objective.statistics({"logp": logp}, batch) for batch, logp in parts]))
    found = [objective.loss({"logp": logp}, batch, statistics) for batch, logp in parts]
    count = sum(objective.weights(batch)["kto"] for batch, _ in parts)
    assert sum(float(one.terms["kto"].detach()) for one in found) / count == pytest.approx(loss, rel=1e-5)
    assert values(merged([one.metrics for one in found])) == pytest.approx(metrics, rel=1e-4, abs=1e-6, nan_ok=True)


# The pool -------------------------------------------------------------------------------------------------------------


def labelled(count: int, *, length: int = 3) -> list[Tree]:
    """Trees with their own prompts and answers."""
    return [
        Tree(
            id=f"row {i}",
            prompt=[100 + i],
            branches=(branch([-1.0] * length, first_token=10 * i, label=float(i % 2)),),
        )
        for i in range(count)
    ]


@pytest.mark.parametrize(("pool", "batch_size"), [(8, 2), (8, 8), (12, 4)])
def test_every_global_batch_has_the_same_pool(pool: int, batch_size: int):
    trees = with_mismatched(labelled(24), pool=pool, batch_size=batch_size, seed=1)
    for start in range(0, 24, batch_size):
        batch = pack(trees[start : start + batch_size])
        assert int(batch.columns["mismatched"].sum()) == pool
        assert KTO().weights(batch) == {"kto": batch_size}


def test_a_mismatched_answer_belongs_to_another_prompt():
    rows = labelled(6)
    rows[1] = replace(rows[1], prompt=rows[0].prompt)
    trees = with_mismatched(rows, pool=120, batch_size=6, seed=0)
    of = {tuple(row.branches[0].tokens): (tuple(row.prompt), row.branches[0].columns["label"]) for row in rows}
    for tree, row in zip(trees, rows, strict=True):
        own, *others = tree.branches
        assert own.tokens == row.branches[0].tokens
        assert own.columns == {**row.branches[0].columns, "mismatched": 0.0}
        found = [of[tuple(other.tokens)] for other in others]
        assert len(set(found)) > 3, "they are drawn from all the others"
        assert all(prompt != tuple(row.prompt) for prompt, _ in found)
        assert [other.columns for other in others] == [{"label": label, "mismatched": 1.0} for _, label in found]


def test_the_draw_is_a_function_of_the_seed():
    rows = labelled(10)
    first, again, other = (with_mismatched(rows, pool=4, batch_size=2, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_every_place_draws_for_itself():
    """With one draw for all, the pool of a batch would be one answer behind many prompts."""
    trees = with_mismatched(labelled(40), pool=8, batch_size=8, seed=0)
    assert len({tuple(tree.branches[1].tokens) for tree in trees}) > 15


def test_pairs_become_a_desirable_and_an_undesirable_answer():
    pairs = [replace(pair(str(i), [-1.0], [-2.0, -1.0]), prompt=[i + 1]) for i in range(3)]
    KTO().check(pairs)
    trees = with_mismatched(pairs, pool=3, batch_size=3, seed=0)
    KTO().check(trees)
    assert [[b.columns["label"] for b in tree.branches[:2]] for tree in trees] == [[1.0, 0.0]] * 3
    assert KTO().weights(pack(trees)) == {"kto": 6.0}


def test_a_mismatched_answer_is_cut_to_fit():
    trees = with_mismatched(labelled(4, length=5), pool=4, batch_size=4, seed=0, max_tokens=4)
    assert all(len(tree.branches[0].tokens) == 5 for tree in trees)
    assert all(len(tree.branches[1].tokens) == 3 for tree in trees)
    with pytest.raises(DataError, match="'row 0': 1000 draws found no answer to another prompt that fits"):
        with_mismatched(labelled(4), pool=4, batch_size=4, seed=0, max_tokens=1)


@pytest.mark.parametrize(("pool", "batch_size", "allowed"), [(24, 16, "16 or 32"), (8, 16, "16"), (16, 3, "15 or 18")])
def test_a_pool_that_does_not_divide_is_refused(pool: int, batch_size: int, allowed: str):
    with pytest.raises(DataError, match=rf"pool is {pool} and .* is {batch_size};.* set objective.pool to {allowed}$"):
        with_mismatched(labelled(4), pool=pool, batch_size=batch_size, seed=0)


def test_one_prompt_alone_has_nothing_to_mismatch():
    same = [replace(row, prompt=[1]) for row in labelled(3)]
    with pytest.raises(DataError, match="'row 0': every example has its prompt"):
        with_mismatched(same, pool=3, batch_size=3, seed=0)


def test_reference_log_probs_come_after_the_mismatched_answers():
    done = Tree(id="early", prompt=[1], branches=(branch([-1.0], label=1.0, reference_logp=-1.0),))
    with pytest.raises(DataError, match="'early' has reference log-probs already"):
        with_mismatched([done, *labelled(3)], pool=4, batch_size=4, seed=0)


def test_without_a_pool_the_loss_says_what_is_missing():
    with pytest.raises(DataError, match="fill the column 'mismatched' with with_mismatched"):
        computed(KTO(), [(-1.0, -1.0, 1.0, 0.0)])


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({}, "no label"),
        ({"label": 0.5}, r"the label 0\.5"),
        ({"label": -1.0}, "the label -1"),
        ({"rank": 0}, "no label"),
    ],
)
def test_a_label_that_is_not_boolean_is_refused_by_name(columns: dict[str, float], found: str):
    bad = Tree(id="row 7", prompt=[1], branches=(branch([-1.0], **columns),))
    for refuse in (KTO().check, lambda rows: with_mismatched(rows, pool=2, batch_size=2, seed=0)):
        with pytest.raises(DataError, match=rf"'row 7' has an answer with {found}; KTO needs true \(desirable\) or"):
            refuse([*labelled(1), bad])


def test_an_answer_without_a_supervised_token_is_refused_by_name():
    mute = Tree(id="mute", prompt=[1], branches=(Branch(tokens=[1], weights=[0.0], columns={"label": 1.0}),))
    with pytest.raises(DataError, match="'mute' has an answer without a supervised token"):
        KTO().check([*labelled(1), mute])


@pytest.mark.parametrize(
    "wrong",
    [{"beta": 0}, {"pool": 0}, {"desirable_weight": -1}, {"desirable_weight": 0, "undesirable_weight": 0}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]):
    with pytest.raises(ConfigError):
        load(KTO, wrong)
