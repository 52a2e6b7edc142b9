"""Texts that steps learn from: which are drawn, and what is no text."""

from __future__ import annotations

import json

import pytest

from burnish.data.curate.examples import drawn, example_of, examples_in
from burnish.errors import DataError


def test_what_is_drawn_follows_from_the_texts_alone():
    some = [example_of(f"text {n}") for n in range(50)]
    ten = drawn(some, count=10)
    assert drawn(some[::-1], count=10) == ten == drawn(some)[:10]
    assert drawn(some[:20], count=100) == sorted(some[:20])
    assert 0 < sum(example.is_held_out for example in map(example_of, map(str, range(1000)))) < 200


def test_bytes_are_limited_to_the_byte_and_characters_stay_whole():
    some = [example_of("ä" * n) for n in range(1, 6)]
    for limit in range(1, 40):
        found = drawn(some, max_bytes=limit)
        size = sum(len(example.text.encode()) for example in found)
        assert limit - 1 <= size <= limit or (size == 30 and limit >= 30)
        assert all(set(example.text) == {"ä"} for example in found)
    assert drawn(some, max_bytes=30) == sorted(some)


def test_damaged_texts_are_left_out_and_text_files_are_cut(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "two\\u0000"}\nbroken\n{"text": ""}\n')
    (tmp_path / "b.txt").write_text("three\n\nfour\nlines\n")
    assert sorted(example.text.strip() for example in examples_in(str(tmp_path))) == ["four\nlines", "one", "three"]
    (tmp_path / "c.jsonl").write_text(json.dumps({"text": "x", "label": True, "n": 1}))
    assert [example.label for example in examples_in(str(tmp_path / "c.jsonl"), "label")] == ["true"]
    with pytest.raises(DataError, match="row 1: no 'good' beside the text, but label, n"):
        list(examples_in(str(tmp_path / "c.jsonl"), "good"))
