"""Token files: written as they are read, across shards, with the document of every token."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.batch import Tree
from burnish.data.tokens.files import TokenFiles
from burnish.data.tokens.layout import Spelling, manifest_digest, write_manifest
from burnish.data.tokens.segments import Segments
from burnish.data.tokens.writing import TokenDocument, write_shard
from burnish.errors import DataError

FIRST, END = 1, 0
SHARDS = st.lists(st.lists(st.lists(st.integers(2, 299), max_size=7), max_size=5), min_size=1, max_size=4).filter(any)
"""Token ids of the documents of each shard, without the end token; some shards are empty."""


def write(folder: Path, shards: list[list[list[int]]], vocabulary: int = 300) -> TokenFiles:
    spelling = Spelling(tokenizer="x", vocabulary=vocabulary, first=FIRST, end=END)
    made = []
    for number, documents in enumerate(shards):
        rows = [
            TokenDocument(id=f"{number}/{row}", source=f"s{number}", tokens=[*tokens, END], num_bytes=len(tokens))
            for row, tokens in enumerate(documents)
        ]
        made.append(write_shard(folder, f"shard-{number:05d}", rows, spelling.dtype))
    write_manifest(folder, spelling, made)
    return TokenFiles(folder)


def flat(shards: list[list[list[int]]]) -> list[tuple[str, int, int]]:
    """Document, offset and id of every token of the stream."""
    return [
        (f"{number}/{row}", offset, token)
        for number, documents in enumerate(shards)
        for row, tokens in enumerate(documents)
        for offset, token in enumerate([*tokens, END])
    ]


@settings(deadline=None, max_examples=40)
@given(shards=SHARDS, data=st.data())
def test_any_stretch_of_the_stream_is_what_was_written(shards, data, tmp_path_factory):
    files, expected = write(tmp_path_factory.mktemp("t"), shards), flat(shards)
    assert files.num_tokens == len(expected)
    assert files.num_documents == sum(map(len, shards))
    start = data.draw(st.integers(0, len(expected)))
    stop = data.draw(st.integers(start, len(expected)))
    assert files.tokens(start, stop).tolist() == [token for _, _, token in expected[start:stop]]
    found = [(s.document, s.offset + i, t) for s in files.stretches(start, stop) for i, t in enumerate(s.tokens)]
    assert found == expected[start:stop]


@settings(deadline=None, max_examples=40)
@given(shards=SHARDS)
def test_every_token_is_traced_to_its_document(shards, tmp_path_factory):
    files = write(tmp_path_factory.mktemp("t"), shards)
    for number, (document, offset, _) in enumerate(flat(shards)):
        holder = files.holder(number)
        assert (holder.document, holder.offset, holder.start) == (document, offset, number - offset)
        assert holder.source == f"s{document.partition('/')[0]}"
        assert files.tokens(holder.start, holder.stop).tolist().index(END) == holder.stop - holder.start - 1


@settings(deadline=None, max_examples=40)
@given(shards=SHARDS, length=st.integers(1, 9), joined=st.booleans())
def test_segments_predict_every_token_once_from_the_token_before(shards, length, joined, tmp_path_factory):
    files, expected = write(tmp_path_factory.mktemp("t"), shards), flat(shards)
    segments = Segments(files, length=length, joined=joined, measure=lambda prompt, tokens: len(tokens))
    trees = [segments.trees(number) for number in range(len(segments))]
    assert [t for group in trees for tree in group for t in tree.branches[0].tokens] == [t for _, _, t in expected]
    sizes = [sum(len(tree.branches[0].tokens) for tree in group) for group in trees]
    assert all(size == length for size in sizes[:-1])
    assert sum(tree.branches[0].columns["num_bytes"] for group in trees for tree in group) == len(expected)
    place = 0
    for group in trees:
        assert len(group) == 1 or not joined
        for tree in group:
            _, offset, _ = expected[place]
            assert tree.prompt == ((expected[place - 1][2] if offset else FIRST),)
            if not joined:
                assert END not in tree.branches[0].tokens[:-1]
            place += len(tree.branches[0].tokens)


def test_the_worked_example_of_segments(tmp_path):
    files = write(tmp_path, [[[9, 9, 9, 9], [5, 5]], [[7, 7, 7, 7, 7]]])

    def shown(joined: bool) -> list[list[tuple[str, int, list[int]]]]:
        segments = Segments(files, length=5, joined=joined, measure=lambda prompt, tokens: len(tokens))
        return [[row(tree) for tree in segments.trees(number)] for number in range(len(segments))]

    def row(tree: Tree) -> tuple[str, int, list[int]]:
        return tree.id, tree.prompt[0], list(tree.branches[0].tokens)

    assert shown(joined=False) == [
        [("0/0[0:5]", FIRST, [9, 9, 9, 9, END])],
        [("0/1[0:3]", FIRST, [5, 5, END]), ("1/0[0:2]", FIRST, [7, 7])],
        [("1/0[2:6]", 7, [7, 7, 7, END])],
    ]
    assert shown(joined=True)[1] == [("0/1[0:5]", FIRST, [5, 5, END, 7, 7])]


def test_nothing_is_loaded_and_ids_take_two_or_four_bytes(tmp_path):
    small, large = write(tmp_path / "a", [[[7, 8]]]), write(tmp_path / "b", [[[7, 70_000]]], vocabulary=70_001)
    assert (small.folder / "shard-00000.tokens").read_bytes() == bytes([7, 0, 8, 0, END, 0])
    assert (large.folder / "shard-00000.tokens").read_bytes()[4:8] == (70_000).to_bytes(4, "little")
    assert isinstance(small.tokens(0, 2), np.memmap)
    assert large.tokens(0, 3).tolist() == [7, 70_000, END]


def test_many_shards_stay_readable_when_few_stay_mapped(tmp_path, monkeypatch):
    monkeypatch.setattr("burnish.data.tokens.files._MAPPED", 2)
    files = write(tmp_path, [[[number]] for number in range(2, 8)])
    assert [files.tokens(2 * n, 2 * n + 1)[0] for n in (5, 0, 3, 0, 5)] == [7, 2, 5, 2, 7]
    assert len(files._mapped) == 2


def test_what_is_not_whole_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no token files \(no tokens.json\); make them with: burnish tokenise"):
        TokenFiles(tmp_path)
    files = write(tmp_path, [[[5, 6]]])
    with pytest.raises(IndexError, match="has the tokens 0 to 2; found 3 to 4"):
        files.holder(3)
    digest = manifest_digest(tmp_path)
    write(tmp_path, [[[5, 7]]])
    assert manifest_digest(tmp_path) != digest
    (tmp_path / "shard-00000.tokens").write_bytes(b"\0\0")
    with pytest.raises(DataError, match="found 2 bytes, expected 6"):
        TokenFiles(tmp_path)
    (tmp_path / "tokens.json").write_text(json.dumps({"shards": []}))
    with pytest.raises(DataError, match="is no manifest"):
        TokenFiles(tmp_path)
    with pytest.raises(DataError, match="no document has any token"):
        write(tmp_path / "none", [[]])
