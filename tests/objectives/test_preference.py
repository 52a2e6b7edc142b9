"""What every pair objective checks and logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from burnish.batch import Branch, Tree, pack
from burnish.errors import DataError
from burnish.metrics import Mean, merged, values
from burnish.objectives.kto import KTO
from burnish.objectives.preference import check_pairs, check_rankings, num_pairs, pair_metrics, split_pairs
from tests.objectives.tables import branch, pair

GOOD = pair("good", [-1.0], [-2.0])


def tree(name: str, *branches: Branch) -> Tree:
    return Tree(id=name, prompt=[1], branches=branches)


def test_a_pair_passes():
    check_pairs([GOOD])


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (tree("x", branch([-1.0], rank=0)), r"1 completions of ranks \(0\)"),
        (tree("x"), r"0 completions of ranks \(\)"),
        (tree("x", branch([-1.0]), branch([-1.0, -1.0])), r"2 completions of ranks \(none, none\)"),
        (tree("x", branch([-1.0], rank=0), branch([-1.0, -1.0], rank=0)), r"2 completions of ranks \(0, 0\)"),
        (
            tree("x", branch([-1.0], rank=0), branch([-1.0, -1.0], rank=1), branch([-1.0] * 3, rank=2)),
            r"3 completions of ranks \(0, 1, 2\)",
        ),
    ],
)
def test_what_is_not_a_pair_is_refused_by_name(bad: Tree, found: str):
    with pytest.raises(DataError, match=rf"'x' has {found}; a preference pair has two, chosen \(rank 0\)"):
        check_pairs([GOOD, bad])


def test_equal_answers_are_refused_by_name():
    same = tree("twins", branch([-1.0, -2.0], rank=0), branch([-1.0, -2.0], rank=1))
    with pytest.raises(DataError, match="'twins': chosen and rejected are the same"):
        check_pairs([GOOD, same])


@pytest.mark.parametrize("check", [check_pairs, check_rankings, KTO().check])
def test_a_turn_that_counts_in_part_is_refused_by_name(check: Callable[[Sequence[Tree]], None]):
    """The log-prob of an answer is a plain sum, which would count such a turn whole."""
    answers = (branch([-1.0], rank=0), branch([-1.0, -2.0], weights=[1.0, 0.25], rank=1))
    with pytest.raises(DataError, match=r"'half' has a turn of weight 0.25; a preference counts a turn whole"):
        check([GOOD, tree("half", *answers)])
    check([GOOD, tree("none", answers[0], branch([-1.0, -2.0], weights=[1.0, 0.0], rank=1))])


def test_an_answer_without_a_supervised_token_is_refused_by_name():
    silent = tree("mute", branch([-1.0], rank=0), branch([-1.0, -2.0], weights=[0.0, 0.0], rank=1))
    with pytest.raises(DataError, match="'mute': one of its two answers has no supervised token"):
        check_pairs([GOOD, silent])


def test_split_pairs_goes_by_rank_and_keeps_the_order_of_trees():
    turned = Tree(id="turned", prompt=[1], branches=GOOD.branches[::-1])
    batch = pack([GOOD, turned, GOOD])
    chosen, rejected = split_pairs(torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), batch)
    assert chosen.tolist() == [0.0, 3.0, 4.0]
    assert rejected.tolist() == [1.0, 2.0, 5.0]
    assert num_pairs(batch) == 3


def test_metrics_by_hand():
    """Three pairs: won by 0.3, tied, lost by 0.1.

    accuracy = (1 + 1/2 + 0) / 3; margin = 0.2 / 3; kl_proxy = (2 + 1 + 0 + 0 + 3 + 2) / 6; gains (2 + 0 + 3) / 3 and
    (-1 + 0 - 2) / 3
    """
    lengths = [(2, 1), (1, 3), (3, 2)]
    batch = pack([pair(str(i), [-1.0] * c, [-1.0] * r) for i, (c, r) in enumerate(lengths)])
    logp = torch.tensor([-2.0, -1.0, -4.0, -3.0, -5.0, -6.0], requires_grad=True)
    reward = torch.tensor([0.2, -0.1, 0.4, 0.4, 0.1, 0.2])
    log_ratio = torch.tensor([2.0, -1.0, 0.0, 0.0, 3.0, -2.0])
    found = values(pair_metrics(logp, reward, batch, log_ratio_C=log_ratio))
    expected = {
        "accuracy": 1.5 / 3,
        "margin": 0.2 / 3,
        "reward_chosen": 0.7 / 3,
        "reward_rejected": 0.5 / 3,
        "logp_chosen": -11 / 3,
        "logp_rejected": -10 / 3,
        "length_chosen": 2.0,
        "length_rejected": 2.0,
        "gain_chosen": 5 / 3,
        "gain_rejected": -3 / 3,
        "kl_proxy": 8 / 6,
    }
    assert found == pytest.approx(expected)


def test_metrics_of_two_micro_batches_are_those_of_one():
    """Pairs of sums: 2 pairs here and 1 there weigh 2 to 1."""
    trees = [pair(str(i), [-1.0] * (i + 1), [-1.0] * 2) for i in range(3)]
    logp = torch.tensor([-1.0, -2.0, -2.0, -2.5, -3.0, -2.0])
    whole = pair_metrics(logp, 0.1 * logp, pack(trees), log_ratio_C=logp)
    parts = [
        pair_metrics(logp[:4], 0.1 * logp[:4], pack(trees[:2]), log_ratio_C=logp[:4]),
        pair_metrics(logp[4:], 0.1 * logp[4:], pack(trees[2:]), log_ratio_C=logp[4:]),
    ]
    assert all(isinstance(metric, Mean) for metric in whole.values())
    assert values(merged(parts)) == pytest.approx(values(whole))
