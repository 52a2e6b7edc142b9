"""Tree batches: the docstring's picture, and properties of any batch in both layouts."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.batch import Branch, Segment, Tree, TreeBatch, pack, padded_rows

PADDING = 0
TOKENS = st.integers(PADDING, 5)  # few, so that real tokens equal the padding token often


@st.composite
def branches(draw):
    tokens = draw(st.lists(TOKENS, max_size=6))
    size = {"min_size": len(tokens), "max_size": len(tokens)}
    return Branch(
        tokens=tokens,
        weights=draw(st.lists(st.sampled_from([0.0, 0.25, 1.0]), **size)),
        columns={"rank": draw(st.integers(0, 3)), "score": draw(st.floats(-4, 4, width=32))},
        token_columns={"old_logp": draw(st.lists(st.floats(-9, 0, width=32), **size))},
    )


@st.composite
def tree_lists(draw):
    count = draw(st.integers(1, 4))
    return [
        Tree(
            id=f"example {index}",
            prompt=draw(st.lists(TOKENS, min_size=1, max_size=5)),
            branches=tuple(draw(st.lists(branches(), min_size=1, max_size=3))),
        )
        for index in range(count)
    ]


def scored_entries(trees):
    """What must be scored, by walking every path: (previous token, its position, target, weight, completion, logp)."""
    entries = []
    paths = [(tree.prompt, branch) for tree in trees for branch in tree.branches]
    for number, (prompt, branch) in enumerate(paths):
        path = [*prompt, *branch.tokens]
        for offset, weight in enumerate(branch.weights):
            place = len(prompt) + offset
            if weight > 0:
                logp = branch.token_columns["old_logp"][offset]
                entries.append((path[place - 1], place - 1, path[place], weight, number, logp))
    return entries


def packed_entries(batch: TreeBatch):
    return list(
        zip(
            batch.tokens_T[batch.source_N].tolist(),
            batch.positions_T[batch.source_N].tolist(),
            batch.target_N.tolist(),
            batch.weight_N.tolist(),
            batch.completion_N.tolist(),
            batch.token_columns["old_logp"].tolist(),
            strict=True,
        )
    )


def branch(*tokens, weights=None, **columns):
    return Branch(tokens=tokens, weights=weights or [1.0] * len(tokens), columns=columns)


# The letters of the picture: p = 1, a = 2, b = 3, q = 4, c = 5.
PICTURE = [
    Tree(id="first", prompt=[1, 1, 1, 1], branches=(branch(2, 2, 2), branch(3, 3, weights=[0.0, 0.5]))),
    Tree(id="second", prompt=[4, 4], branches=(branch(5, 5, 5, 5),)),
]


def test_the_picture_of_the_docstring():
    batch = pack(PICTURE)
    assert batch.num_tokens == 15
    assert batch.num_completions == 3
    assert batch.ids == ("first", "second")
    assert batch.tokens_T.tolist() == [1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 5, 5]
    assert batch.positions_T.tolist() == [0, 1, 2, 3, 4, 5, 6, 4, 5, 0, 1, 2, 3, 4, 5]
    assert batch.segments == (
        Segment(0, 4, -1),
        Segment(4, 7, 0),
        Segment(7, 9, 0),
        Segment(9, 11, -1),
        Segment(11, 15, 3),
    )
    # The first b has no weight; the second is predicted by the first. The first a is predicted by the last p.
    assert batch.source_N.tolist() == [3, 4, 5, 7, 10, 11, 12, 13]
    assert batch.target_N.tolist() == [2, 2, 2, 3, 5, 5, 5, 5]
    assert batch.weight_N.tolist() == [1, 1, 1, 0.5, 1, 1, 1, 1]
    assert batch.completion_N.tolist() == [0, 0, 0, 1, 2, 2, 2, 2]
    assert batch.tree_C.tolist() == [0, 0, 1]


def test_the_picture_padded():
    rows = padded_rows(pack(PICTURE), padding_token=9)
    assert rows.tokens_BL.tolist() == [[1, 1, 1, 1, 2, 2, 2], [1, 1, 1, 1, 3, 3, 9], [4, 4, 5, 5, 5, 5, 9]]
    assert rows.mask_BL.tolist() == [[1] * 7, [1] * 6 + [0], [1] * 6 + [0]]
    assert rows.positions_BL.tolist() == [list(range(7))] * 3
    assert rows.source_N.tolist() == [3, 4, 5, 7 + 4, 14 + 1, 14 + 2, 14 + 3, 14 + 4]


def test_completions_of_one_prompt_share_the_source_of_their_first_token():
    batch = pack([Tree(id="x", prompt=[1, 2], branches=(branch(3), branch(4), branch(5)))])
    assert batch.source_N.tolist() == [1, 1, 1]


def test_dtypes():
    batch = pack(PICTURE)
    for name in ("tokens_T", "positions_T", "source_N", "target_N", "completion_N", "tree_C"):
        assert getattr(batch, name).dtype == torch.int64, name
    assert batch.weight_N.dtype == torch.float32


@settings(deadline=None, max_examples=60)
@given(tree_lists())
def test_segments_tile_the_row_and_positions_count_along_every_path(trees):
    batch = pack(trees)
    assert batch.num_tokens == sum(tree.num_tokens for tree in trees)
    edges = [segment.start for segment in batch.segments] + [batch.num_tokens]
    for segment, (start, stop) in zip(batch.segments, pairwise(edges), strict=True):
        assert (segment.start, segment.stop) == (start, stop)
    prompts = [index for index, segment in enumerate(batch.segments) if segment.parent < 0]
    assert len(prompts) == len(trees)
    for index, segment in enumerate(batch.segments):
        if segment.parent >= 0:
            assert segment.parent == max(prompt for prompt in prompts if prompt < index)
            parent = batch.segments[segment.parent]
            path = [*range(parent.start, parent.stop), *range(segment.start, segment.stop)]
            assert batch.positions_T[path].tolist() == list(range(len(path)))


@settings(deadline=None, max_examples=60)
@given(tree_lists())
def test_sources_point_at_the_previous_token_of_their_own_path(trees):
    batch = pack(trees)
    assert packed_entries(batch) == scored_entries(trees)
    # Tokens repeat, so the place itself is checked too: inside the completion, or the last of its own prompt.
    children = [segment for segment in batch.segments if segment.parent >= 0]
    for source, number in zip(batch.source_N.tolist(), batch.completion_N.tolist(), strict=True):
        child = children[number]
        assert child.start <= source < child.stop or source == batch.segments[child.parent].stop - 1


@settings(deadline=None, max_examples=40)
@given(tree_lists())
def test_columns_follow_their_completions(trees):
    batch = pack(trees)
    all_branches = [branch for tree in trees for branch in tree.branches]
    assert batch.columns["rank"].tolist() == [branch.columns["rank"] for branch in all_branches]
    assert batch.columns["score"].tolist() == [branch.columns["score"] for branch in all_branches]
    assert batch.columns["score"].dtype == torch.float32
    assert batch.tree_C.tolist() == [index for index, tree in enumerate(trees) for _ in tree.branches]
    assert batch.num_scored_C().tolist() == [branch.num_scored for branch in all_branches]


@settings(deadline=None, max_examples=40)
@given(tree_lists())
def test_sums_over_completions(trees):
    batch = pack(trees)
    expected = [sum(w for w in branch.weights if w > 0) for tree in trees for branch in tree.branches]
    assert batch.sum_C(batch.weight_N).tolist() == expected


@settings(deadline=None, max_examples=40)
@given(tree_lists())
def test_pieces_score_the_same_entries(trees):
    pieces = [piece for tree in trees for piece in tree.pieces()]
    assert all(len(piece.branches) == 1 for piece in pieces)
    assert [piece.id for piece in pieces] == [tree.id for tree in trees for _ in tree.branches]
    assert packed_entries(Tree.collate(pieces)) == packed_entries(Tree.collate(trees))


@settings(deadline=None, max_examples=60)
@given(tree_lists())
def test_padded_rows_hold_the_same_paths_and_score_the_same_entries(trees):
    batch = pack(trees)
    rows = padded_rows(batch, padding_token=PADDING)
    paths = [[*tree.prompt, *branch.tokens] for tree in trees for branch in tree.branches]
    width = max(map(len, paths))
    for row, path in enumerate(paths):
        rest = width - len(path)
        assert rows.tokens_BL[row].tolist() == [*path, *[PADDING] * rest]
        assert rows.mask_BL[row].tolist() == [1] * len(path) + [0] * rest, (
            "the mask comes from lengths, not from tokens"
        )
        assert rows.positions_BL[row, : len(path)].tolist() == list(range(len(path)))
    assert torch.equal(rows.tokens_BL.flatten()[rows.source_N], batch.tokens_T[batch.source_N])
    assert torch.equal(rows.positions_BL.flatten()[rows.source_N], batch.positions_T[batch.source_N])
    assert torch.equal(rows.source_N // width, batch.completion_N), "every entry reads the row of its completion"


def test_a_batch_moves_as_a_whole():
    trees = [Tree(id="x", prompt=[1], branches=(Branch(tokens=[2], weights=[1.0], columns={"rank": 0},
                                                       token_columns={"old_logp": [-1.0]}),))]  # fmt: skip
    moved = pack(trees).to(torch.device("meta"))
    tensors = [value for value in vars(moved).values() if isinstance(value, torch.Tensor)]
    tensors += [*moved.columns.values(), *moved.token_columns.values()]
    assert len(tensors) == 9
    assert all(tensor.is_meta for tensor in tensors)


@pytest.mark.parametrize(
    "columns", [{"weights": [1.0]}, {"weights": [1.0] * 2, "token_columns": {"old_logp": [0.0] * 3}}]
)
def test_a_branch_with_lengths_that_differ_is_refused(columns):
    name, count = ("old_logp", 3) if "token_columns" in columns else ("weights", 1)
    with pytest.raises(ValueError, match=f"{name} has {count} entries for 2 tokens"):
        Branch(tokens=[1, 2], **columns)


def test_an_empty_prompt_is_refused_by_name():
    with pytest.raises(ValueError, match="example 'row 7' has an empty prompt; begin it with"):
        Tree(id="row 7", prompt=[], branches=())


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one tree"):
        pack([])


@pytest.mark.parametrize("kind", ["columns", "token_columns"])
def test_completions_with_different_columns_are_refused(kind):
    plain = Branch(tokens=[1], weights=[1.0])
    value = {"old": [0.5]} if kind == "token_columns" else {"old": 0.5}
    other = Branch(tokens=[1], weights=[1.0], **{kind: value})
    with pytest.raises(ValueError, match=r"must carry the same columns; found .*old"):
        pack([Tree(id="x", prompt=[1], branches=(plain, other))])
