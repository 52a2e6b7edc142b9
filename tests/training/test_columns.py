"""Reference log-probs: independent of how they were packed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from burnish.batch import Branch, Tree, pack
from burnish.errors import OverBudget
from burnish.training.columns import completion_logps, trees_digest, with_column, with_shared_columns
from burnish.training.plan import packed_cost, padded_cost
from tests.training.toys import chats, policy

CPU = torch.device("cpu")
TREES = chats(9, completions=3)
POLICY = policy()


def naive_logp(tree: Tree, branch: Branch) -> float:
    """The log-prob of a completion by the model's plain forward, alone."""
    model = policy(layout="padded").model
    row = torch.tensor([[*tree.prompt, *branch.tokens]])
    with torch.no_grad():
        logp = torch.log_softmax(model(input_ids=row, use_cache=False).logits[0].float(), -1)
    first = len(tree.prompt) - 1
    return sum(float(logp[first + place, token]) for place, token in enumerate(branch.tokens) if branch.weights[place])


def test_values_by_the_plain_forward():
    found = completion_logps(POLICY, TREES, budget=4096, cost=packed_cost, device=CPU)
    assert [len(row) for row in found] == [3] * 9
    for tree, row in zip(TREES[:3], found, strict=False):
        assert row == pytest.approx([naive_logp(tree, branch) for branch in tree.branches], abs=1e-4)


@hypothesis_settings(max_examples=6, deadline=None)
@given(budget=st.integers(23, 300), seed=st.randoms(), layout=st.sampled_from(["tree", "padded"]))
def test_values_do_not_depend_on_packing_order_or_layout(budget: int, seed, layout):
    whole = completion_logps(POLICY, TREES, budget=4096, cost=packed_cost, device=CPU)
    order = list(range(len(TREES)))
    seed.shuffle(order)
    part, cost = (POLICY, packed_cost) if layout == "tree" else (policy(layout="padded"), padded_cost)
    budget = max(budget, max(cost([tree]) for tree in TREES))
    found = completion_logps(part, [TREES[i] for i in order], budget=budget, cost=cost, device=CPU)
    for index, row in zip(order, found, strict=True):
        assert row == pytest.approx(whole[index], abs=1e-4)


def test_tokens_without_weight_do_not_count():
    tree = TREES[0]
    branch = tree.branches[0]
    half = replace(branch, weights=[0.0] + [1.0] * (len(branch.tokens) - 1))
    silent = replace(tree, branches=(half,))
    found = completion_logps(POLICY, [silent], budget=4096, cost=packed_cost, device=CPU)
    assert found[0][0] == pytest.approx(naive_logp(silent, half), abs=1e-4)


def test_examples_of_one_name_are_kept_apart():
    twins = [replace(tree, id="same") for tree in TREES[:4]]
    found = completion_logps(POLICY, twins, budget=30, cost=packed_cost, device=CPU)
    assert found == completion_logps(POLICY, TREES[:4], budget=30, cost=packed_cost, device=CPU)


def test_no_gradient_and_no_dropout():
    part = policy("gpt2")  # it has dropout
    part.train()
    rows = [completion_logps(part, TREES, budget=4096, cost=packed_cost, device=CPU) for _ in range(2)]
    assert rows[0] == rows[1]
    assert all(parameter.grad is None for parameter in part.parameters())


def test_a_tree_over_the_budget_is_refused():
    with pytest.raises(OverBudget):
        completion_logps(POLICY, TREES, budget=5, cost=packed_cost, device=CPU)


def test_with_column_adds_a_number_to_each_completion():
    rows = [[float(10 * i + k) for k in range(3)] for i in range(9)]
    filled = with_column(TREES, "reference_logp", rows)
    assert pack(filled).columns["reference_logp"].tolist() == [value for row in rows for value in row]
    assert not TREES[0].branches[0].columns, "the data itself is not changed"
    with pytest.raises(ValueError, match="zip"):
        with_column(TREES, "reference_logp", rows[:-1])


def test_the_digest_depends_on_every_token_and_weight_and_on_the_order():
    tree = TREES[0]
    branch = tree.branches[0]
    changed = [
        [replace(tree, prompt=[*tree.prompt[:-1], 96])],
        [replace(tree, branches=tree.branches[::-1])],
        [replace(tree, branches=(replace(branch, tokens=[*branch.tokens[:-1], 95]), *tree.branches[1:]))],
        [replace(tree, branches=(replace(branch, weights=[0.5] * len(branch.tokens)), *tree.branches[1:]))],
        [tree, TREES[1]],
        [TREES[1], tree],
    ]
    digests = {trees_digest([tree]), *(trees_digest(trees) for trees in changed)}
    assert len(digests) == len(changed) + 1
    assert trees_digest([tree]) == trees_digest([replace(tree, id="renamed")])


def test_columns_that_only_some_completions_carry_are_left_out():
    every = with_column(TREES[:3], "rank", [[0.0, 1.0, 2.0]] * 3)
    some = [*with_column(every[:1], "score", [[0.5, 0.1, 0.2]]), *every[1:]]
    assert with_shared_columns(some) == every == with_shared_columns(every)
    assert with_shared_columns([*some, TREES[3]])[0] == TREES[0]
    assert with_shared_columns([]) == []
    found = completion_logps(POLICY, some, budget=4096, cost=packed_cost, device=CPU)
    assert found == completion_logps(POLICY, TREES[:3], budget=4096, cost=packed_cost, device=CPU)
