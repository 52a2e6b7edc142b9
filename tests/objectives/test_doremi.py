"""DoReMi's objective: the worked number, plain loops, the gradient, splits, and text without a domain."""

from __future__ import annotations

import pytest
import torch

from burnish.batch import Tree
from burnish.metrics import merged, values
from burnish.objectives.doremi import DOMAIN, WEIGHT, DoReMi
from burnish.objectives.sft import CausalLM
from burnish.training.totals import share_of_loss
from tests.objectives.tables import Answer, batch_of, branch

GOAL = DoReMi(domains=("a", "b"))


def text(name: str, answer: Answer, domain: int, weight: float, **more: float) -> Tree:
    columns = {DOMAIN: float(domain), WEIGHT: weight, "num_bytes": 4.0 * len(answer), **more}
    return Tree(id=name, prompt=[1], branches=(branch(answer, **columns),))


WORKED = {"one": ([-1.0], 0, 0.75, [-2.0]), "two": ([-3.0], 0, 0.75, [-1.0]), "three": ([-2.0], 1, 0.25, [-2.5])}
"""By text: log-probs, domain, its weight, log-probs of the reference."""

MIXED = {
    "p": ([-1.0, -2.5, -0.5], 1, 0.3, [-0.5, -3.0, -1.5]),
    "q": ([-4.0, -0.25], 0, 0.7, [-1.0, -0.5]),
    "r": ([-2.0], 1, 0.3, [-1.25]),
    "s": ([-0.125, -3.5, -6.0, -1.0], 0, 0.7, [-2.0, -2.0, -2.0, -2.0]),
}


def computed(table, names=None):
    """The batch, the log-probs, and what the objective finds."""
    rows = {name: table[name] for name in names or table}
    trees = [text(name, logps, domain, weight) for name, (logps, domain, weight, _) in rows.items()]
    batch, logp = batch_of(trees, {name: [row[0]] for name, row in rows.items()})
    reference = torch.tensor([value for row in rows.values() for value in row[3]], dtype=torch.float64)
    return batch, logp, GOAL.loss({"logp": logp, "reference_logp": reference}, batch, {})


def test_the_worked_number():
    """Shares 0.75 * (1 + 3) / 2 = 1.5 and 0.25 * 2 = 0.5; lambda_a = (0 + 2) / 2, lambda_b = max(-2.5 + 2, 0) = 0."""
    batch, _, found = computed(WORKED)
    weights = GOAL.weights(batch)
    assert weights == {"loss_share/a": 2.0, "loss_share/b": 1.0}
    shares = {name: float(term.detach()) / weights[name] for name, term in found.terms.items()}
    assert shares == pytest.approx({"loss_share/a": 1.5, "loss_share/b": 0.5})
    assert float(share_of_loss(found.terms, weights).detach()) == pytest.approx(2.0)
    numbers = values(found.metrics)
    assert {name: numbers[name] for name in ("excess_loss/a", "excess_loss/b", "domain_loss/a", "domain_loss/b")} == {
        "excess_loss/a": 1.0,
        "excess_loss/b": 0.0,
        "domain_loss/a": 2.0,
        "domain_loss/b": 2.0,
    }


def test_it_is_the_loss_of_the_paper_in_plain_loops():
    batch, logp, found = computed(MIXED)
    total, excess = 0.0, {}
    for domain, weight in ((0, 0.7), (1, 0.3)):
        rows = [row for row in MIXED.values() if row[1] == domain]
        count = sum(len(row[0]) for row in rows)
        total += weight * sum(-value for row in rows for value in row[0]) / count
        gaps = [max(theirs - own, 0.0) for row in rows for own, theirs in zip(row[0], row[3], strict=True)]
        excess["ab"[domain]] = sum(gaps) / count
    loss = share_of_loss(found.terms, GOAL.weights(batch))
    assert float(loss.detach()) == pytest.approx(total)
    assert {name: values(found.metrics)[f"excess_loss/{name}"] for name in "ab"} == pytest.approx(excess)
    loss.backward()
    slopes = [-weight / (6 if domain == 0 else 4) for logps, domain, weight, _ in MIXED.values() for _ in logps]
    assert logp.grad is not None
    assert logp.grad.tolist() == pytest.approx(slopes), "each token by its domain's weight over its domain's tokens"


@pytest.mark.parametrize("cuts", [["p", "q"], ["p"], ["q", "s"]], ids=str)
def test_any_split_gives_the_same_loss_and_the_same_excess(cuts):
    whole_batch, _, whole = computed(MIXED)
    weights = GOAL.weights(whole_batch)
    parts = [computed(MIXED, names)[2] for names in (cuts, [name for name in MIXED if name not in cuts])]
    total = sum(float(share_of_loss(part.terms, weights).detach()) for part in parts)
    assert total == pytest.approx(float(share_of_loss(whole.terms, weights).detach()), rel=1e-6)
    together = values(merged([part.metrics for part in parts]))
    assert together == pytest.approx(values(whole.metrics), rel=1e-6)


def test_a_domain_without_a_token_adds_nothing_and_is_not_reported():
    batch, logp, found = computed(MIXED, ["p", "r"])
    weights = GOAL.weights(batch)
    assert weights["loss_share/a"] == 0.0
    assert not {"excess_loss/a", "domain_loss/a"} & found.metrics.keys()
    share_of_loss(found.terms, weights).backward()
    assert logp.grad is not None
    assert logp.grad.tolist() == pytest.approx([-0.3 / 4] * 4)


def test_tokens_count_by_their_weight():
    own = branch([-1.0, -2.0], weights=[1.0, 0.5], domain=0, domain_weight=0.5, num_bytes=8)
    tree = Tree(id="x", prompt=[1], branches=(own,))
    batch, logp = batch_of([tree], {"x": [[-1.0, -2.0]]})
    found = GOAL.loss({"logp": logp, "reference_logp": torch.zeros(2, dtype=torch.float64)}, batch, {})
    assert GOAL.weights(batch)["loss_share/a"] == 1.5
    assert float(found.terms["loss_share/a"].detach()) == pytest.approx(0.5 * (1 + 0.5 * 2))
    assert values(found.metrics)["excess_loss/a"] == pytest.approx((1 + 0.5 * 2) / 1.5)


def test_text_without_a_domain_has_the_plain_loss():
    tree = Tree(id="x", prompt=[1], branches=(branch([-1.0, -2.0], num_bytes=8.0),))
    batch, logp = batch_of([tree], {"x": [[-1.0, -2.0]]})
    found, plain = (goal.loss({"logp": logp, "reference_logp": logp}, batch, {}) for goal in (GOAL, CausalLM()))
    assert GOAL.weights(batch) == CausalLM().weights(batch)
    assert float(found.terms["nll"].detach()) == float(plain.terms["nll"].detach()) == 3.0
    assert found.metrics == plain.metrics
