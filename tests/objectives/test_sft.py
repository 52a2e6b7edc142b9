"""SFT and causal language modelling: the worked number, the gradient, and what they refuse."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.batch import Branch, Tree
from burnish.errors import DataError
from burnish.metrics import Mean, values
from burnish.objectives.sft import SFT, CausalLM
from tests.objectives.tables import batch_of, branch

FEW = settings(max_examples=20, deadline=None)


def test_the_worked_number():
    """Two answers with token probabilities (1/2, 1/4) and (1/8), the last with weight 1/2.

    sum   = ln 2 + ln 4 + 0.5 ln 8 = 4.5 ln 2
    weight = 1 + 1 + 0.5 = 2.5
    loss  = 4.5 ln 2 / 2.5 = 1.8 ln 2 = 1.24766 nats per token
    """
    logps = {"a": [[math.log(1 / 2), math.log(1 / 4)]], "b": [[math.log(1 / 8)]]}
    trees = [
        Tree(id="a", prompt=[1], branches=(branch(logps["a"][0]),)),
        Tree(id="b", prompt=[1, 2], branches=(branch(logps["b"][0], weights=[0.5]),)),
    ]
    batch, logp = batch_of(trees, logps)
    total = SFT().loss({"logp": logp}, batch, {}).terms["nll"].detach()
    weight = SFT().weights(batch)["nll"]
    assert weight == 2.5
    assert float(total) == pytest.approx(4.5 * math.log(2))
    assert float(total) / weight == pytest.approx(1.24766, abs=1e-5)


def test_tokens_without_weight_are_neither_counted_nor_learned():
    answer = [-1.0, -2.0, -3.0]
    tree = Tree(id="a", prompt=[1], branches=(branch(answer, weights=[1.0, 0.0, 1.0]),))
    batch, logp = batch_of([tree], {"a": [answer]})
    assert logp.tolist() == [-1.0, -3.0]
    assert SFT().weights(batch) == {"nll": 2.0}
    assert float(SFT().loss({"logp": logp}, batch, {}).terms["nll"].detach()) == 4.0


def test_the_gradient_of_each_log_prob_is_minus_its_weight():
    answer = [-1.0, -2.0, -3.0]
    tree = Tree(id="a", prompt=[1], branches=(branch(answer, weights=[1.0, 0.25, 0.5]),))
    batch, logp = batch_of([tree], {"a": [answer]})

    def total(value: torch.Tensor) -> torch.Tensor:
        return SFT().loss({"logp": value}, batch, {}).terms["nll"]

    assert torch.autograd.gradcheck(total, (logp,))
    total(logp).backward()
    assert logp.grad is not None
    assert logp.grad.tolist() == [-1.0, -0.25, -0.5]


@FEW
@given(st.lists(st.lists(st.floats(-9, 0), min_size=1, max_size=4), min_size=1, max_size=5), st.randoms())
def test_the_order_of_examples_does_not_matter(answers: list[list[float]], random):
    logps = {str(index): [answer] for index, answer in enumerate(answers)}
    trees = [Tree(id=name, prompt=[1], branches=(branch(row[0]),)) for name, row in logps.items()]
    mixed = random.sample(trees, len(trees))
    found = []
    for order in (trees, mixed):
        batch, logp = batch_of(order, logps)
        found.append((float(SFT().loss({"logp": logp}, batch, {}).terms["nll"].detach()), SFT().weights(batch)["nll"]))
    assert found[0][0] == pytest.approx(found[1][0])
    assert found[0][1] == found[1][1]


def test_an_example_without_a_supervised_token_is_refused_by_name():
    good = Tree(id="good", prompt=[1], branches=(branch([-1.0]),))
    empty = Tree(id="row 7", prompt=[1], branches=(Branch(tokens=[5], weights=[0.0]),))
    bare = Tree(id="row 8", prompt=[1], branches=())
    SFT().check([good])
    for tree in (empty, bare):
        with pytest.raises(DataError, match=f"'{tree.id}' has no supervised token"):
            SFT().check([good, tree])


def test_bits_per_byte():
    """Four tokens of probability 1/2 over texts of 3 and 5 bytes: 4 bits / 8 bytes = 0.5."""
    logps = {"a": [[math.log(0.5)] * 3], "b": [[math.log(0.5)]]}
    trees = [
        Tree(id="a", prompt=[1], branches=(branch(logps["a"][0], num_bytes=3),)),
        Tree(id="b", prompt=[1], branches=(branch(logps["b"][0], num_bytes=5),)),
    ]
    batch, logp = batch_of(trees, logps)
    loss = CausalLM().loss({"logp": logp}, batch, {})
    assert values(loss.metrics)["bits_per_byte"] == pytest.approx(0.5)
    assert isinstance(loss.metrics["bits_per_byte"], Mean)
    assert float(loss.terms["nll"].detach()) / CausalLM().weights(batch)["nll"] == pytest.approx(math.log(2))
    assert CausalLM().needs == ("num_bytes",)
