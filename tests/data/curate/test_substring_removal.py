"""Passages taken out of texts: whole characters, whole clusters, words that are not run together."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.curate.removal import in_characters, torn, without

CLUSTER = re.compile(
    "\r\n|[\U0001f1e6-\U0001f1ff]+[\u0301\u200d\ufe0f\U0001f3fd]*"
    "|[\u1100\uac00][\u1160\u11a8]*|.[\u0301\u200d\ufe0f\U0001f3fd]*",
    re.DOTALL,
)
JOINED = ["e\u0301", "👍\U0001f3fd", "🇩🇪", "\u1100\u1160\u11a8", "\uac00\u11a8", "❤\ufe0f", "👨\u200d👩"]
MARKS = ["a", " ", "\r", "\n", "é", "漢", "🙂", "🇫", *JOINED]


def clusters(text: str) -> list[str]:
    """What people see as one, by a pattern for the marks of these tests; what stands behind a joiner belongs to it."""
    found: list[str] = []
    for one in CLUSTER.findall(text):
        if found and found[-1].endswith("\u200d") and not one[0].isascii():
            found[-1] += one
        else:
            found.append(one)
    return found


def test_worked_examples():
    assert without("one two three", [(4, 8)]) == ("one three", 4)
    assert without("one two three", [(0, 4), (7, 13)]) == ("two", 10)
    assert without("one two three", [(0, 13)]) == ("", 13)
    assert without("one", []) == ("one", 0)
    assert without("naïve", [(2, 3)]) == ("naïve", 0), "half a character"
    assert without("naïve", [(1, 3)]) == ("nïve", 1)
    assert without("漢字漢字", [(1, 11)]) == ("漢字", 6)


def test_words_are_not_run_together():
    assert without("one two three", [(2, 9)]) == ("on hree", 7)
    assert without("onetwothree", [(2, 8)]) == ("onree", 6), "no white space was there"
    assert without("one two three", [(3, 9)]) == ("one hree", 6)
    assert without("one two three", [(2, 13)]) == ("on", 11)


def test_what_people_see_as_one_is_not_torn():
    family = "👨\u200d👩\u200d👧"
    for one in (family, "e\u0301", "👍\U0001f3fd", "🇩🇪🇫🇷", "\r\n", "각", "각", "❤\ufe0f", "क्षि"):
        size = len(one.encode())
        for cut in range(1, size):
            assert without(f"a{one}b", [(0, 1 + cut)])[0] == f"{one}b", (one, cut)
            assert without(f"a{one}b", [(1 + cut, size + 2)])[0] == f"a{one}", (one, cut)
        assert without(f"a{one}b", [(1, 1 + size)]) == ("a b" if one.isspace() else "ab", size)
    assert not torn("", 0)
    assert not torn("\u0301", 0)


def test_many_passages_take_time_in_proportion():
    text = "ab漢d" * 100_000
    passages = [(start, start + 3) for start in range(0, len(text.encode()) - 6, 6)]
    left, taken = without(text, passages)
    assert taken == 2 * len(passages)
    assert left.startswith("漢d漢d")
    marks = "e" + "\u0301" * 300_000
    assert without(marks, [(5, len(marks.encode()))]) == (marks, 0)


@given(
    text=st.lists(st.sampled_from(MARKS), max_size=12).map("".join),
    cuts=st.lists(st.integers(0, 70), max_size=8, unique=True).map(sorted),
)
@settings(max_examples=300, deadline=None)
def test_what_goes_is_every_cluster_within_a_passage(text, cuts):
    size = len(text.encode())
    cuts = [cut for cut in cuts if cut <= size]
    passages = list(zip(cuts[::2], cuts[1::2], strict=False))
    expected, place = [], 0
    for one in clusters(text):
        end = place + len(one.encode())
        if not any(start <= place and end <= stop for start, stop in passages):
            expected.append(one)
        place = end
    left, taken = without(text, passages)
    kept = "".join(expected)
    assert re.sub(r"\s", "", left) == re.sub(r"\s", "", kept)
    assert taken == size - len(kept.encode())
    assert 0 <= len(left) - len(kept) <= len(passages), "spaces between words"
    for start, stop in in_characters(text, passages):
        assert 0 <= start <= stop <= len(text)
