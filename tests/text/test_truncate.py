"""Truncation: what is kept, cut and dropped, and that everything is counted."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.batch import Branch, Tree
from burnish.config import load
from burnish.errors import ConfigError, DataError
from burnish.text.truncate import Truncation, TruncationReport, truncated


def tree_of(prompt, *lengths, id="t", begin=1, silent=0):
    """A tree whose completions have `lengths` tokens, the first `silent` of each without weight."""
    branches = tuple(
        Branch(
            tokens=tuple(range(10, 10 + length)),
            weights=tuple(0.0 if index < silent else 1.0 for index in range(length)),
            columns={"rank": float(rank)},
            token_columns={"old_logp": tuple(-float(index) for index in range(length))},
        )
        for rank, length in enumerate(lengths)
    )
    return Tree(id=id, prompt=(begin, *range(2, prompt + 1)), branches=branches)


def test_drop_leaves_out_the_whole_pair():
    fits, long = tree_of(4, 6, 3), tree_of(4, 3, 7, id="pair")
    kept, report = truncated([fits, long], Truncation(max_tokens=10))
    assert kept == [fits]
    assert report == TruncationReport(kept=1, too_long=("pair",))
    assert str(report) == "1 kept, 0 of them cut; 1 dropped; too long (1): pair"


def test_cut_completion_keeps_the_beginning_of_each_completion():
    ((tree,), report) = truncated([tree_of(4, 8, 2)], Truncation(max_tokens=10, longer="cut_completion"))
    first, second = tree.branches
    assert first.tokens == (10, 11, 12, 13, 14, 15)
    assert first.weights == (1.0,) * 6
    assert first.token_columns["old_logp"] == (0.0, -1.0, -2.0, -3.0, -4.0, -5.0)
    assert first.columns == {"rank": 0.0}
    assert second.tokens == (10, 11)
    assert (report.kept, report.cut, report.dropped) == (1, 1, 0)


def test_a_pair_is_dropped_when_one_answer_loses_all_supervised_tokens():
    pair = replace(tree_of(4, 3, id="pair"), branches=tree_of(4, 3).branches + tree_of(4, 9, silent=7).branches)
    kept, report = truncated([pair], Truncation(max_tokens=10, longer="cut_completion"))
    assert (kept, report.emptied, report.too_long) == ([], ("pair",), ())


def test_a_prompt_as_long_as_the_limit_empties_the_completion():
    kept, report = truncated([tree_of(12, 3, id="row 9")], Truncation(max_tokens=10, longer="cut_completion"))
    assert (kept, report.emptied) == ([], ("row 9",))


def test_cut_prompt_keeps_its_end_and_its_begin_token():
    rule = Truncation(max_tokens=10, longer="cut_prompt")
    ((tree,), report) = truncated([tree_of(8, 3, 6)], rule)
    assert tree.prompt == (5, 6, 7, 8)
    assert [len(branch.tokens) for branch in tree.branches] == [3, 6]
    assert (report.kept, report.cut) == (1, 1)
    assert truncated([tree_of(8, 3, 6)], rule, begin_token=1)[0][0].prompt == (1, 6, 7, 8)
    assert truncated([tree_of(8, 3, 6, begin=9)], rule, begin_token=1)[0][0].prompt == (5, 6, 7, 8)


def test_cut_prompt_drops_what_leaves_the_prompt_no_room():
    rule = Truncation(max_tokens=10, longer="cut_prompt")
    kept, report = truncated([tree_of(8, 10, id="a"), tree_of(8, 9, id="b")], rule)
    assert ([tree.id for tree in kept], report.too_long) == (["b"], ("a",))
    kept, report = truncated([tree_of(8, 9, id="b")], rule, begin_token=1)
    assert (kept, report.too_long) == ([], ("b",))


def test_reports_add_up_and_name_a_few():
    one = TruncationReport(kept=2, cut=1, too_long=tuple("abc"))
    both = one.merge(TruncationReport(kept=1, too_long=tuple("defg"), emptied=("z",)))
    assert (both.kept, both.cut, both.dropped) == (3, 1, 8)
    assert str(both) == (
        "3 kept, 1 of them cut; 8 dropped; too long (7): a, b, c, d, e and 2 more; emptied by the cut (1): z"
    )


def test_settings_are_checked():
    with pytest.raises(ConfigError):
        load(Truncation, {"max_tokens": 1})
    with pytest.raises(ConfigError):
        load(Truncation, {"longer": "cut"})


sizes = st.tuples(st.integers(1, 12), st.lists(st.integers(1, 12), min_size=1, max_size=3), st.integers(0, 3))


@given(
    shapes=st.lists(sizes, max_size=6),
    limit=st.integers(2, 14),
    longer=st.sampled_from(["drop", "cut_completion", "cut_prompt"]),
    begin=st.sampled_from([None, 1]),
)
def test_everything_is_counted_and_nothing_is_too_long_or_empty(shapes, limit, longer, begin):
    trees = [tree_of(p, *lengths, id=str(i), silent=s) for i, (p, lengths, s) in enumerate(shapes)]
    trees = [tree for tree in trees if all(branch.num_scored for branch in tree.branches)]
    kept, report = truncated(trees, Truncation(max_tokens=limit, longer=longer), begin_token=begin)
    assert report.kept == len(kept)
    assert {tree.id for tree in kept} | {*report.too_long, *report.emptied} == {tree.id for tree in trees}
    assert report.kept + report.dropped == len(trees)
    originals = {tree.id: tree for tree in trees}
    for tree in kept:
        assert len(tree.prompt) + max(len(branch.tokens) for branch in tree.branches) <= limit
        assert all(branch.num_scored for branch in tree.branches)
        assert len(tree.branches) == len(originals[tree.id].branches)
    assert report.cut == sum(tree != originals[tree.id] for tree in kept)


def test_windows_predict_every_token_of_a_long_text_once():
    tokens = tuple(range(10, 33))
    tree = Tree(id="book", prompt=(1,), branches=(Branch(tokens=tokens, weights=(1.0,) * len(tokens)),))
    windows, report = truncated([tree], Truncation(max_tokens=8, longer="windows"))
    assert all(window.num_tokens <= 8 for window in windows)
    assert sum((tuple(window.branches[0].tokens) for window in windows), ()) == tokens
    for before, after in itertools.pairwise(windows):
        assert after.prompt == (before.branches[0].tokens[-1],)
    assert [window.id for window in windows] == ["book[0]", "book[1]", "book[2]", "book[3]"]
    assert (report.kept, report.cut, report.dropped) == (4, 1, 0)


def test_windows_do_not_tear_a_pair_apart():
    branch = Branch(tokens=(1,) * 9, weights=(1.0,) * 9)
    with pytest.raises(DataError, match="has 2 completions"):
        truncated([Tree(id="pair", prompt=(1,), branches=(branch, branch))], Truncation(max_tokens=8, longer="windows"))
