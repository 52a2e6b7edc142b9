"""Numbers as they are written: what each text means, what is no number, and when two are the same."""

from __future__ import annotations

import contextlib
import string
import time
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from burnish.graders.numbers import MOST_DIGITS, Number, is_number, last_number, last_written, only_number, same

FRACTIONS = st.fractions(min_value=-1000, max_value=1000, max_denominator=500)
DIGITS = st.text(string.digits, min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("72", 72), ("+72", 72), ("72.0", 72), ("72.", 72), ("**72**", 72), ("(5)", 5), ("٧٢", 72), ("７２", 72),
        ("1,000", 1000), ("1,000.0", 1000), ("1{,}000", 1000), ("1\\,000", 1000), ("1\u202f000", 1000),
        ("12,345,678.90", Fraction("12345678.9")),
        ("-5", -5), ("−5", -5), ("-$5", -5), ("$-5", -5), ("$5.50", Fraction(11, 2)), ("€ 5", 5), ("\\$5", 5),
        ("25%", 25), ("25\\%", 25), ("25 percent", 25),
        ("1/2", Fraction(1, 2)), ("\\frac{1}{2}", Fraction(1, 2)), ("\\dfrac12", Fraction(1, 2)), ("½", Fraction(1, 2)),
        ("-\\frac{1}{2}", Fraction(-1, 2)), ("3 1/2", Fraction(7, 2)), ("-3 1/2", Fraction(-7, 2)),
        ("3\\frac{1}{2}", Fraction(7, 2)), ("3½", Fraction(7, 2)), ("1.5/2", Fraction(3, 4)),
        ("1,000/3", Fraction(1000, 3)),
        ("1.5e3", 1500), ("15E-1", Fraction(3, 2)), ("1.5 x 10^3", 1500), ("1.5 \\times 10^{-3}", Fraction(3, 2000)),
        (".5", Fraction(1, 2)), ("00072", 72), ("-0", 0),
        ("x = $1,000 in total", 1000), ("10 km", 10), ("5 m²", 5), ("5m2", 5), ("90^\\circ", 90), ("10-foot", 10),
        ("$12$", 12), ("\\text{about } 12 \\text{ clips}", 12),
    ],
)  # fmt: skip
def test_what_a_text_means(text: str, value: Fraction):
    assert only_number(text).value == value
    assert last_number(f"First 99, then {text}").value == value


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no number"), ("two", "no number"), ("x1", "no number"), ("=", "no number"),
        ("3 or 4", "2 numbers"), ("x = 3 or x = 4", "2 numbers"), ("3 + 4 = 7", "3 numbers"), ("1 000", "2 numbers"),
        ("3-4", "2 numbers"), ("2^5", "2 numbers"), ("2**5", "2 numbers"), ("\\frac{\\sqrt{2}}{2}", "2 numbers"),
        ("1,00", "is no number"), ("1.000,5", "is no number"), ("3.5.2", "is no number"), ("1,2,3", "is no number"),
        ("1/0", "divides by zero"), ("3 1/0", "divides by zero"), ("5/0.0", "divides by zero"),
        ("\\sqrt{2}", "part of an expression"), ("√2", "part of an expression"), ("1/2/3", "part of an expression"),
        ("2\\pi", "is an expression"), ("2π", "is an expression"), ("±5", "is an expression"),
        ("<5", "is an expression"),
        ("9" * (MOST_DIGITS + 1), "digits"), ("0." + "3" * MOST_DIGITS, "digits"),
        ("1e999999999", "to the power"), ("1e-99999999999999999999", "to the power"), ("3 x 10^9999", "to the power"),
    ],
)  # fmt: skip
def test_what_is_not_one_number(text: str, fault: str):
    with pytest.raises(ValueError, match=fault):
        only_number(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5 - 3 = 2.", 2),
        ("born 2024-11-21", 21),
        ("cost$5", 5),
        ("pages 3–5", 5),
        ("it is 3 or 72", 72),
        ("Well...7", 7),
    ],
)
def test_the_last_number_of_a_text(text: str, value: int):
    assert last_number(text).value == value


@pytest.mark.parametrize("text", ["nothing", "so x = \\sqrt{16}", "that is 2^5", "we get 1/0", "in all 1,00"])
def test_a_last_number_that_cannot_be_read_is_no_number(text: str):
    """Never the number before it, nor a part of it."""
    with pytest.raises(ValueError, match=r"no number|part of|divides"):
        last_number(f"{text}")
    assert last_written(text) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,000", "1000.0"), ("\\frac{1}{2}", "0.5"), ("1/2", "50%"), ("0.25", "25%"), ("25", "25%"), ("25%", "25.0 %"),
        ("1/3", "0.33"), ("0.333", "1/3"), ("2/3", "0.67"), ("33.3%", "1/3"), ("-1/3", "-0.33"), ("1e3", "1,000"),
        ("22/7", "3.14"), ("0.50", ".5"),
    ],
)  # fmt: skip
def test_the_same_number(one: str, other: str):
    assert same(only_number(one), only_number(other))
    assert same(only_number(other), only_number(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("72", "-72"), ("1/3", "0.3"), ("1/3", "0.32"), ("1/3", "0.334"), ("1/2", "0.51"), ("0.33", "0.333"),
        ("0.666", "2/3"), ("25%", "0.5%"), ("25%", "2500%"), ("1000", "1"), ("1/3", "333/1000"), ("3.14", "3.1416"),
    ],
)  # fmt: skip
def test_not_the_same_number(one: str, other: str):
    """A tolerance is for decimals of what no decimal can write: 0.51 is not 1/2, and 0.33 is not 0.333."""
    assert not same(only_number(one), only_number(other))
    assert not same(only_number(other), only_number(one))


@settings(max_examples=60, deadline=None)
@given(FRACTIONS, FRACTIONS)
def test_fractions_are_compared_exactly(one: Fraction, other: Fraction):
    written = [f"{one}", f"\\frac{{{one.numerator}}}{{{one.denominator}}}", f"so {one} in all"]
    for text in written:
        assert only_number(text).value == one
    assert same(only_number(written[1]), Number(value=other)) == (one == other)


@settings(max_examples=60, deadline=None)
@given(st.integers(-(10**40), 10**40), st.integers(0, 3))
def test_thousands_separators_and_trailing_zeros_do_not_matter(value: int, zeros: int):
    plain = f"{value:,}" + ("." + "0" * zeros if zeros else "")
    assert same(only_number(plain), only_number(str(value)))
    assert not same(only_number(plain), only_number(str(value + 1)))


@settings(max_examples=60, deadline=None)
@given(DIGITS, DIGITS)
def test_decimals_are_exact(whole: str, behind: str):
    assert only_number(f"{whole}.{behind}").value == Fraction(f"{whole}.{behind}")
    assert only_number(f"{whole}.{behind}").decimals == len(behind)


@settings(max_examples=60, deadline=None)
@given(FRACTIONS, st.integers(2, 8))
def test_a_rounded_fraction_is_the_fraction_and_the_next_decimal_is_not(value: Fraction, decimals: int):
    assume(any(value.denominator % prime == 0 for prime in (3, 7, 11, 13)))
    rounded = round(value, decimals)
    shown = f"{'-' if rounded < 0 else ''}{abs(rounded) // 1}.{int(abs(rounded) % 1 * 10**decimals):0{decimals}d}"
    assert only_number(shown).value == rounded
    assert same(only_number(shown), Number(value=value))
    assert not same(Number(value=rounded + Fraction(1, 10**decimals), decimals=decimals), Number(value=value))


@settings(max_examples=150, deadline=None)
@given(st.text("0123456789.,/\\{}frac$%-+^*=e ×½\n#boxd<>", max_size=40))
def test_any_text_is_a_number_or_a_stated_fault(text: str):
    for read in (only_number, last_number):
        with contextlib.suppress(ValueError):
            assert isinstance(read(text).value, Fraction)
    if is_number(text):
        assert only_number(text) == last_number(text)
    written = last_written(text)
    if written is not None and not last_number(text).percent:
        assert only_number(written[0]).value == last_number(text).value


@pytest.mark.parametrize(
    ("text", "plain"), [("-$1,234.50!", "-1234.50"), ("is 1/2", "1/2"), ("3 1/2", "3 1/2"), ("2.0%", "2.0")]
)
def test_the_last_number_as_plain_digits(text: str, plain: str):
    found = last_written(text)
    assert found is not None
    assert found[0] == plain


@pytest.mark.parametrize(
    ("text", "expected"), [("72", True), (" -1,000 ", True), ("7 km", False), ("", False), ("1/0", False)]
)
def test_a_number_and_nothing_else(text: str, expected: bool):
    assert is_number(text) is expected


@pytest.mark.parametrize(
    "piece", ["1,", "1.", "\\frac{", "3\\frac{1}{2}", "5 ", "-", "$", "1/", "½", "^{", "1e", "\\text{"]
)
def test_long_texts_take_no_long_time(piece: str):
    """A quadratic rule would need minutes."""
    start = time.process_time()
    for read in (only_number, last_number):
        with contextlib.suppress(ValueError):
            read(piece * (50_000 // len(piece)))
    assert time.process_time() - start < 3
