"""Where an answer stands by each rule, and whether it has the form that was asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.graders.extraction import CLOSE, OPEN, extracted, form_fault, last_tagged


@pytest.mark.parametrize(
    ("rule", "text", "answer"),
    [
        ("tag", "so <answer> 12 </answer>", "12"),
        ("tag", "<answer>1</answer> no, <answer>12</answer> it is", "12"),
        ("tag", "<answer><answer>12</answer></answer>", "12"),
        ("tag", "<answer>a\nb</answer>", "a\nb"),
        ("tag", "12", None),
        ("tag", "<answer>12", None),
        ("tag", "</answer>12<answer>", None),
        ("tag", "<answer> </answer>", None),
        ("last_line", "first\n\nsecond \n", "second"),
        ("last_line", "well\nAnswer: yes", "yes"),
        ("last_line", "The final answer is: yes", "yes"),
        ("last_line", "I find that the answer: yes", "I find that the answer: yes"),
        ("last_line", " \n", None),
        ("last_number", "3 + 4 = 7.", "7"),
        ("last_number", "It costs -$1,234.50 in all", "-1234.50"),
        ("last_number", "seven", None),
        ("last_number", "3, so 1/0", None),
    ],
)
def test_where_the_answer_stands(rule, text, answer):
    assert extracted(text, rule) == answer


@pytest.mark.parametrize(
    ("rule", "text", "fault"),
    [
        ("tag", "I add.\n<answer>99</answer>\n", None),
        ("tag", "99", "no <answer>...</answer>"),
        ("tag", "<answer></answer>", "nothing in it"),
        ("tag", "<answer>99</answer> done", "text behind </answer>"),
        ("tag", "<answer>98</answer><answer>99</answer>", "2 <answer> and 2 </answer>"),
        ("tag", "<answer><answer>99</answer>", "2 <answer> and 1 </answer>"),
        ("tag", "<answer>it is 99</answer>", "not a number alone"),
        ("last_line", "I add.\n99", None),
        ("last_line", "I add. It is 99", "not a number alone"),
        ("last_line", "", "nothing is written"),
        ("last_number", "I get 99.", None),
        ("last_number", "I get $99$", None),
        ("last_number", "99 is what I get", "text behind the last number"),
        ("last_number", "none", "no number"),
    ],
)
def test_the_form_of_a_number(rule, text, fault):
    found = form_fault(text, rule, "12")
    assert (found is None) == (fault is None)
    assert fault is None or fault in found


def test_the_form_of_words_has_the_shape_of_the_reference():
    assert form_fault("<answer>zebra apple</answer>", "tag", "apple zebra") is None
    assert "3 words; at most 2" in str(form_fault("<answer>apple zebra bee</answer>", "tag", "apple zebra"))
    assert "2 lines; at most 1" in str(form_fault("<answer>apple\nbee</answer>", "tag", "apple zebra"))


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_the_form_never_looks_at_the_value(said: int, right: int):
    for rule, text in (("tag", f"{OPEN}{said}{CLOSE}"), ("last_line", f"so\n{said}"), ("last_number", f"so {said}")):
        assert extracted(text, rule) == str(said)
        assert form_fault(text, rule, str(right)) is None


@given(st.text("<answer>/1 ", max_size=60))
def test_the_last_closed_pair_is_found_in_any_text(text: str):
    found = last_tagged(text)
    if found is None:
        assert CLOSE not in text or OPEN not in text[: text.rindex(CLOSE)]
    else:
        assert text.startswith(f"{OPEN}{found[1]}{CLOSE}", found[0])
        assert OPEN not in found[1]
