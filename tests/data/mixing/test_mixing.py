"""Weights by temperature and cap; draws that can be sought; the order of segments; the mixture file."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.mixing.draws import BLOCK, Domain, Draws
from burnish.data.mixing.mixture import MIXTURE, read_mixture, write_mixture
from burnish.data.mixing.order import shuffled_place
from burnish.data.mixing.weights import tempered
from burnish.data.tokens.layout import Spelling, write_manifest
from burnish.data.tokens.writing import TokenDocument, write_shard
from burnish.errors import DataError

SIZES = {"web": 1_000_000, "code": 10_000, "wiki": 100}
FEW = settings(max_examples=15, deadline=None)


@pytest.mark.parametrize(
    ("temperature", "cap", "expected"),
    [
        (1.0, None, [1_000_000 / 1_010_100, 10_000 / 1_010_100, 100 / 1_010_100]),
        (2.0, None, [1_000 / 1_110, 100 / 1_110, 10 / 1_110]),  # square roots
        (2.0, 10_000, [100 / 210, 100 / 210, 10 / 210]),
        (1.0, 10_000, [10_000 / 20_100, 10_000 / 20_100, 100 / 20_100]),
        (1.0, 100, [1 / 3, 1 / 3, 1 / 3]),
        (1e9, None, [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_weights_by_hand(temperature, cap, expected):
    found = tempered(SIZES, temperature=temperature, cap=cap)
    assert list(found) == list(SIZES)
    assert list(found.values()) == pytest.approx(expected, rel=1e-6)


@FEW
@given(st.dictionaries(st.text(max_size=3), st.integers(1, 10**14), min_size=1, max_size=6), st.floats(1, 100))
def test_weights_keep_the_order_of_sizes_and_sum_to_one(sizes, temperature):
    found = tempered(sizes, temperature=temperature)
    assert sum(found.values()) == pytest.approx(1)
    by_size = sorted(sizes, key=lambda name: sizes[name])
    assert all(found[a] <= found[b] for a, b in itertools.pairwise(by_size))


@given(count=st.integers(1, 300), seed=st.integers(0, 2**60))
@FEW
def test_the_order_of_segments_is_one_to_one(count, seed):
    assert sorted(shuffled_place(place, count, seed) for place in range(count)) == list(range(count))


def test_the_order_depends_on_the_seed_and_is_no_run():
    orders = [[shuffled_place(place, 1000, seed) for place in range(1000)] for seed in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    for order in orders:
        assert abs(np.corrcoef(range(1000), order)[0, 1]) < 0.15
        assert sum(b == a + 1 for a, b in itertools.pairwise(order)) < 10
    assert 0 <= shuffled_place(10**15, 10**15 + 1, 1) <= 10**15
    with pytest.raises(IndexError, match="places 0 to 4; found 5"):
        shuffled_place(5, 5, 0)


DOMAINS = st.lists(
    st.tuples(st.integers(1, 3_000), st.floats(1e-3, 10), st.one_of(st.none(), st.floats(0.1, 5))),
    min_size=1,
    max_size=4,
)


def made(rows, seed: int = 0) -> Draws:
    domains = [
        Domain(name=f"d{place}", num_segments=size, weight=weight, max_epochs=bound)
        for place, (size, weight, bound) in enumerate(rows)
    ]
    return Draws(domains, seed=seed)


@given(rows=DOMAINS, data=st.data())
@FEW
def test_a_draw_is_the_same_whenever_it_is_asked_for(rows, data):
    length = 2_000 if (count := made(rows).count) is None else min(count, 2_000)
    draws = made(rows)
    through = [draws.at(draw) for draw in range(length)]
    for draw in data.draw(st.lists(st.integers(0, length - 1), max_size=5)):
        assert made(rows).at(draw) == through[draw]
        assert draws.at(draw) == through[draw]
    seen: Counter[int] = Counter()
    for domain, rank in through:
        assert rank == seen[domain]  # the segments of a domain come one after another, none twice, none left out
        seen[domain] += 1


@given(rows=DOMAINS)
@FEW
def test_bounds_hold_to_the_last_draw(rows):
    rows = [(size // 20 + 1, weight, bound or 1.0) for size, weight, bound in rows]
    draws = made(rows)
    most = [domain.most for domain in draws.domains]
    assert draws.count == sum(most)
    found = Counter(draws.at(draw)[0] for draw in range(draws.count))
    assert [found[place] for place in range(len(rows))] == most
    with pytest.raises(IndexError, match=f"there are {draws.count} draws"):
        draws.at(draws.count)


def test_shares_are_those_of_the_weights_at_every_length():
    draws = made([(10, 0.6, None), (10, 0.3, None), (10, 0.1, None)])
    seen = np.zeros(3)
    for draw in range(3_000):
        seen[draws.at(draw)[0]] += 1
        assert np.abs(seen - np.array([0.6, 0.3, 0.1]) * (draw + 1)).max() < 3
    far = 40 * BLOCK
    domain, rank = made([(10, 3, None), (10, 1, None)]).at(far)
    assert rank == far * (3, 1)[domain] // 4


def test_when_a_domain_is_used_up_the_others_keep_their_proportions():
    draws = made([(300, 0.5, 1.0), (10**6, 0.4, None), (10**6, 0.1, None)])
    found = [draws.at(draw)[0] for draw in range(5_600)]
    end = max(draw for draw, domain in enumerate(found) if domain == 0)
    assert abs(end - 600) < 5
    assert draws.steady == end + 1
    assert made([(300, 0.5, None)]).steady is None
    after = Counter(found[end + 1 :])
    assert after[0] == 0
    assert after[1] / after[2] == pytest.approx(4, rel=0.02)


def test_a_tiny_weight_is_drawn_and_the_seed_decides_where():
    rows = [(10**9, 1.0, None), (10**9, 1e-9, None)]
    places = [next(draw for draw in range(BLOCK) if draws.at(draw)[0] == 1) for draws in (made(rows, 0), made(rows, 1))]
    assert places[0] != places[1]
    assert made(rows).at(5 * BLOCK - 1)[1] >= 4


def tokens(folder: Path, count: int, tokenizer: str = "x") -> Path:
    spelling = Spelling(tokenizer=tokenizer, vocabulary=300, first=1, end=0)
    rows = [TokenDocument(id="a", source="s", tokens=[*range(2, count + 1), 0], num_bytes=count)]
    write_manifest(folder, spelling, [write_shard(folder, "shard-00000", rows, spelling.dtype)])
    return folder


def test_a_mixture_is_written_and_read_and_may_be_moved_with_its_tokens(tmp_path):
    places = {name: str(tokens(tmp_path / "all" / name, size)) for name, size in {"a": 20, "b": 7}.items()}
    write_mixture(tmp_path / "all" / "mix", places, {"a": 0.75, "b": 0.25}, {"a": 4.0, "b": None})
    (tmp_path / "all").rename(tmp_path / "moved")
    mixture = read_mixture(tmp_path / "moved" / "mix")
    assert {name: (part.weight, part.max_epochs, part.num_tokens) for name, part in mixture.parts.items()} == {
        "a": (0.75, 4.0, 20),
        "b": (0.25, None, 7),
    }
    assert {name: files.num_tokens for name, files in mixture.files.items()} == {"a": 20, "b": 7}


def test_what_is_wrong_with_a_mixture_is_told(tmp_path):
    with pytest.raises(DataError, match="is no mixture: found None"):
        read_mixture(tmp_path)
    places = {"a": str(tokens(tmp_path / "a", 20)), "b": str(tokens(tmp_path / "b", 7))}
    write_mixture(tmp_path, places, {"a": 1, "b": 1}, {"a": None, "b": None})
    tokens(tmp_path / "b", 8)
    with pytest.raises(DataError, match=r"token files of 'b' in .* are not those that the mixture was made for"):
        read_mixture(tmp_path)
    places["b"] = str(tokens(tmp_path / "b", 8, tokenizer="y"))
    write_mixture(tmp_path, places, {"a": 1, "b": 1}, {"a": None, "b": None})
    with pytest.raises(DataError, match="'a' and 'b' were made with different tokenizers"):
        read_mixture(tmp_path)
    for field, value in (("weight", 0), ("max_epochs", -1), ("wieght", 1)):
        found = json.loads((tmp_path / MIXTURE).read_text())
        found["domains"]["a"][field] = value
        (tmp_path / MIXTURE).write_text(json.dumps(found))
        with pytest.raises(DataError, match=field):
            read_mixture(tmp_path)
        write_mixture(tmp_path, places, {"a": 1, "b": 1}, {"a": None, "b": None})
