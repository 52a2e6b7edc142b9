"""Repeated passages against brute force: every window, every chunk, every cut of a corpus into parts; hostile texts."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.curate import suffixes
from burnish.data.curate.passages import Search, find_repeats, repeats_in
from burnish.data.curate.suffixes import BORDER, BYTES_PER_BYTE, joined, repeats

pytest.importorskip("pydivsufsort", reason="the extra 'data' is not installed")

Spans = list[tuple[int, int]]


def by_brute_force(texts: Sequence[str], length: int, unit: str = "bytes") -> list[Spans]:
    """The rule in plain Python: mark what every window covers that begins after the end of its first occurrence."""
    first: dict[bytes, tuple[int, int]] = {}
    found = []
    for number, text in enumerate(texts):
        data = text.encode()
        covered = [False] * len(data)
        borders = range(len(data) + 1)
        if unit == "characters":
            borders = [len(text[:at].encode()) for at in range(len(text) + 1)]
        for start, stop in zip(borders, borders[length:], strict=False):
            document, place = first.setdefault(data[start:stop], (number, start))
            if document < number or place + (stop - start) <= start:
                covered[start:stop] = [True] * (stop - start)
        edges = [at for at in range(len(data) + 1) if (at > 0 and covered[at - 1]) != (at < len(data) and covered[at])]
        found.append(list(zip(edges[::2], edges[1::2], strict=True)))
    return found


def whole_text(texts: Sequence[str]) -> np.ndarray:
    return np.frombuffer(bytearray(b"".join(text.encode() + b"\xff" for text in texts)), np.uint8)


small = st.lists(st.text(st.sampled_from("abcé漢\x00🙂"), max_size=14), min_size=0, max_size=7)
units = st.sampled_from(["bytes", "characters"])
lengths = st.integers(1, 6)


def test_worked_examples():
    assert repeats_in(["now and now and then"], 4) == [[(8, 16)]]
    assert repeats_in(["an old song", "sing an old song"], 4) == [[], [(5, 16)]]
    assert repeats_in(["an old song", "sing an old song"], 12) == [[], []]
    assert repeats_in(["abababababab"], 4) == [[(4, 12)]]
    assert repeats_in(["aaaaaaaa", "aaa", "aaaaa"], 4) == [[(4, 8)], [], [(0, 5)]]
    assert repeats_in(["äöü", "bäöü", "öü"], 2, "characters") == [[], [(1, 7)], [(0, 4)]]
    assert repeats_in([], 4) == []
    assert repeats_in(["", "", "abcd", "", "abcd"], 4) == [[], [], [], [], [(0, 4)]]


def test_nothing_is_found_across_the_border_of_two_documents():
    assert repeats_in(["one two", "three", "one two", "three"], 9) == [[], [], [], []]
    assert repeats_in(["two three", "one two", "three"], 6) == [[], [], []]


def test_the_bytes_of_a_character_may_agree_with_those_of_another():
    assert "é".encode()[1:] == "ĩ".encode()[1:]
    assert repeats_in(["éabc", "ĩabc"], 4) == [[], [(1, 5)]]
    assert repeats_in(["éabc", "ĩabc"], 3, "characters") == [[], [(2, 5)]]


@given(texts=small, length=lengths, unit=units, chunk=st.sampled_from([1, 2, 5, 1 << 20]))
@settings(max_examples=250, deadline=None)
def test_small_corpora_as_by_brute_force(texts, length, unit, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suffixes, "CHUNK", chunk)
        assert repeats_in(texts, length, unit) == by_brute_force(texts, length, unit)


@given(texts=small, length=lengths, unit=units)
@settings(max_examples=100, deadline=None)
def test_the_first_place_is_where_the_window_stands_first(texts, length, unit):
    data = whole_text([*texts, ""])
    for start, stop, first in repeats(data, length, unit).tolist():
        width = length if unit == "bytes" else len(bytes(data[start:stop]).decode()[:length].encode())
        assert bytes(data).find(bytes(data[start : start + width])) == first <= start - width


@given(texts=small, length=lengths, unit=units, array_bytes=st.integers(8, 60))
@settings(max_examples=60, deadline=None)
def test_a_corpus_searched_in_parts_gives_the_same(tmp_path_factory, texts, length, unit, array_bytes):
    folder = tmp_path_factory.mktemp("parts")
    data = whole_text(texts)
    (folder / "texts").write_bytes(data.tobytes())
    parts = Search(length=length, unit=unit, array_bytes=array_bytes).parts(len(data))
    found = [np.zeros((0, 3), np.int64)]
    for number, part in enumerate(parts):
        result = folder / f"{number}.npy"
        find_repeats(str(folder / "texts"), part, length, unit, str(result))
        found.append(np.load(result))
    expected = repeats(np.append(data, np.uint8(BORDER)), length, unit)
    assert joined(np.concatenate(found)).tolist() == expected.tolist()


def test_parts_are_no_larger_than_asked_and_every_two_places_meet():
    search = Search(length=10, unit="bytes", array_bytes=100)
    parts = search.parts(330)
    assert len(parts) == 21
    assert all(sum(stop - start for start, stop in part) <= 100 + 2 * search.reach for part in parts)
    for one in range(0, 330, 7):
        for other in range(one, 330, 11):
            assert any(
                all(any(start <= place < stop for start, stop in part) for place in (one, other)) for part in parts
            )
    assert search.parts(100) == [((0, 100),)]
    assert len(Search(length=10, unit="characters", array_bytes=3).parts(81)) == 3


def test_a_character_that_a_part_cuts_off_equals_no_other(tmp_path):
    first, other = "漢", "本"
    assert first.encode()[:1] == other.encode()[:1]
    text = f"ABCDEFGHIJKLMNa{first}bcdefghijklma{other}nopqrstuvw"
    (tmp_path / "texts").write_bytes(text.encode())
    part = ((0, text.index(first) + 1), (18, len(text[: text.index(other)].encode()) + 1))
    find_repeats(str(tmp_path / "texts"), part, 2, "characters", str(tmp_path / "0.npy"))
    assert np.load(tmp_path / "0.npy").tolist() == []


def test_a_result_that_is_there_is_not_made_again(tmp_path):
    (tmp_path / "texts").write_bytes(b"abcd\xffabcd\xff")
    np.save(tmp_path / "0.npy", np.array([[1, 2, 0]]))
    find_repeats(str(tmp_path / "texts"), ((0, 10),), 4, "bytes", str(tmp_path / "0.npy"))
    assert np.load(tmp_path / "0.npy").tolist() == [[1, 2, 0]]


def test_texts_of_some_size_as_by_brute_force():
    draw = random.Random(3)
    lines = ["".join(draw.choices("abcdefgh é", k=draw.randint(5, 60))) for _ in range(150)]
    texts = ["".join(draw.choices(lines, k=draw.randint(0, 9))) for _ in range(200)]
    for length in (8, 40):
        assert repeats_in(texts, length) == by_brute_force(texts, length)


@pytest.mark.parametrize("period", ["a", "ab", "abcabcd", "é"])
def test_of_periodic_text_the_first_stays(period):
    text = period * 3000
    size = len(period.encode())
    (found,) = repeats_in([text], 50)
    # a window has ended before the same one begins again: the next whole number of periods
    assert found == [(-(-50 // size) * size, len(text.encode()))]


@pytest.mark.parametrize("unit", ["bytes", "characters"])
@pytest.mark.parametrize("kind", ["same", "periodic", "random", "twice"])
def test_the_memory_is_what_is_said(monkeypatch, kind, unit):
    monkeypatch.setattr(suffixes, "CHUNK", 1 << 12)
    size = 1_000_000
    data = np.random.default_rng(0).integers(97, 123, size, dtype=np.uint8)
    if kind == "same":
        data[:] = 97
    elif kind == "periodic":
        data = np.resize(data[:97], size)
    elif kind == "twice":
        data[size // 2 :] = data[: size - size // 2]
    data[999::1000] = BORDER if kind in ("random", "twice") else 98
    data[-1] = BORDER
    tracemalloc.start()
    found = repeats(data.copy(), 100, unit)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(found) > 0) == (kind != "random")
    assert 9 * size < peak <= BYTES_PER_BYTE * size + 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["same", "periodic", "fibonacci", "twice"])
def test_a_document_of_50_mb(kind):
    size = 50_000_000
    if kind == "fibonacci":
        one, other = "a", "ab"
        while len(other) < size:
            one, other = other, other + one
        text = other[:size]
    else:
        half = "".join(random.Random(0).choices("abcdefghij \n", k=size // 2))
        text = {"same": "a" * size, "periodic": ("abc" * size)[:size], "twice": half + half}[kind]
    (found,) = repeats_in([text], 200)
    expected = {"same": (200, size), "periodic": (201, size), "twice": (size // 2, size)}
    if kind == "fibonacci":
        assert found[-1][1] == size
        assert sum(stop - start for start, stop in found) > 0.99 * size
    else:
        assert found == [expected[kind]]
