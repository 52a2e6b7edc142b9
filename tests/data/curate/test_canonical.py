"""The canonical order: shards by key, ids unique by a rule, whatever the order of the rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.data.curate.canonical import (
    derived_id,
    digest,
    key_of,
    num_shards,
    ordered,
    shard_of,
    shard_rows,
    stem_of,
)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=60), st.integers(1, 50))
def test_every_key_is_in_one_shard(values, shards):
    keys = np.sort(np.array(values, dtype=np.uint64))
    slices = [shard_rows(keys, shard, shards) for shard in range(shards)]
    assert [one for part in slices for one in range(part.start, part.stop)] == list(range(len(keys)))


@given(st.lists(st.text(max_size=8), max_size=40), st.integers(1, 9))
def test_the_shard_of_a_document_is_the_one_that_it_is_cut_into(names, shards):
    stems = sorted({stem_of(name) for name in names}, key=key_of)
    keys = np.array([key_of(stem) for stem in stems], dtype=np.uint64)
    for shard in range(shards):
        for stem in stems[shard_rows(keys, shard, shards)]:
            assert shard_of(stem, shards) == shard


@given(st.lists(st.sampled_from(["a", "a~2", "a~3", "b", "a~2~2", "~2", "c"]), max_size=14), st.randoms())
def test_ids_are_unique_and_follow_no_order_of_rows(names, random):
    rows = [(name, digest(str(number // 2))) for number, name in enumerate(names)]
    results = []
    for _ in range(3):
        random.shuffle(rows)
        stems = [stem_of(name) for name, _ in rows]
        keys = np.array([key_of(stem) for stem in stems], dtype=np.uint64)
        found = ordered(keys, stems, [name for name, _ in rows], [content for _, content in rows])
        results.append([(name, rows[row]) for name, row in zip(found.ids, found.rows.tolist(), strict=True)])
        assert len(set(found.ids)) == len(rows)
        for place, given_name in found.renamed.items():
            assert rows[found.rows[place]][0] == given_name
            assert found.ids[place].startswith(f"{stem_of(given_name)}~")
        assert {found.ids[p] for p in range(len(rows)) if p not in found.renamed} == set(names)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize(("total", "size", "shards"), [(0, 10, 1), (10, 10, 1), (11, 10, 2), (95, 10, 10)])
def test_shards_follow_the_bytes(total, size, shards):
    assert num_shards(total, size) == shards


def test_stems_and_digests():
    assert [stem_of(name) for name in ("a", "a~2", "a~x", "a~2~3", "~1", "a~")] == ["a", "a", "a~x", "a~2", "", "a~"]
    assert digest("a", "b") != digest("ab", "") != digest("ab", None)
    assert derived_id(digest("a")).startswith("doc-")
    assert len(derived_id(digest("a"))) == 24
