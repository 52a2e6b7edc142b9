r"""Numbers as people and models write them, read exactly: text to a rational number, and when two are the same.

    written                                  value          written                          value
    72   +72   72.0   72.                    72             1/2   \frac{1}{2}   ½            1/2
    1,000   1{,}000   1\,000                 1000           3 1/2   3\frac{1}{2}             7/2
    -5   −5   -$5   $-5                      -5             1.5e3   1.5 x 10^3               1500
    25%   25 percent                         25 or 1/4      .5                               1/2

Not numbers: 1,00 and 1.000,5 (groups of three, and a comma never marks decimals), 3.5.2, 1/0, 2^5, \sqrt{2}, words
("two"), and more than `MOST_DIGITS` digits. A minus behind a digit, a letter or a bracket is an operator or a hyphen.
Digits inside of words ("m2", "x1") are no numbers. Units are not looked at: 10 km and 10 miles are both 10.

Two numbers are the same if their values are equal as fractions. A decimal also equals a fraction that no decimal can
write (1/3) if it is that fraction rounded, with at least `LEAST_DECIMALS` decimals: 0.33 and 0.333 are 1/3, 0.3 is not,
and 0.51 is not 1/2. A percentage means its number or the hundredth of it, whichever the other side means.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

MOST_DIGITS = 1000
"""Longest number, and largest exponent: what is longer is no answer, and would cost time and memory to compute."""

LEAST_DECIMALS = 2
"""Decimals that a rounded answer needs."""

_RUN = r"(?:(?<!\w)[0-9]++(?:[.,][0-9]++)*+|(?<![\w.])\.[0-9]++)"
_TOKEN = re.compile(
    rf"""
    (?P<prefix> (?:(?<![\w)\]}}%.])[-+])? (?:[$€£¥₹]\ ?-?)? )
    (?P<run> {_RUN} )
    (?:
        [eE] (?P<exponent> [-+]?[0-9]++ ) (?!\w)
      | \ *[x×*·]\ *10\ *\^\ * (?: \{{\ *(?P<braced>[-+]?[0-9]++)\ *\}} | (?P<power>[-+]?[0-9]++) )
      | \ + (?P<top>[0-9]++) / (?P<bottom>[0-9]++) (?!\w)
      | \ */\ * (?P<divisor> [0-9]++(?:[.,][0-9]++)*+ )
    )?
    (?P<more> \ *(?:\^|\*\*) | \ */\ *[0-9] )?
    (?P<percent> \ *(?:%|percent\b|per\ cent\b) )?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PLAIN = re.compile(r"(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]+)?|\.[0-9]+")
_BEFORE = re.compile(r"(?:√|\\sqrt(?:\[[^\]]*\])?|\^|\*\*)\s*[{(]?\s*\Z")  # what the number behind it is only a part of
_BEFORE_LENGTH = 16

_FRACTION = re.compile(r"\\[dt]?frac\s*(?:\{([^{}]+)\}\s*\{([^{}]+)\}|([0-9])\s*([0-9]))")
_WORDS = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_NOTHING = re.compile(r"\\(?:left|right|displaystyle)(?![A-Za-z])|\^\s*\{?\s*\\circ\s*\}?|\\degree(?![A-Za-z])")
_GROUPS = re.compile(r"(?<=[0-9])(?:\{,\}|\\[,!]|[\u00a0\u2007\u2009\u202f])(?=[0-9]{3}(?![0-9]))")
_SPACES = re.compile(r"\\[,;:! ()\[\]]|~")
_MARKS = str.maketrans({**dict.fromkeys("−–‐‑﹣－", "-"), "⁄": "/", "≈": "=", "％": "%"})
_BOLD = re.compile(r"(?<![0-9])\*\*|\*\*(?![0-9])")
_NOT_PLAIN = re.compile(r"[\\^√±<>≤≥+π∞]")


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number as it was written.

    Attributes:
        value: exactly.
        decimals: digits behind the point, None for a fraction.
        percent: whether a percent sign stood behind it.
    """

    value: Fraction
    decimals: int | None = None
    percent: bool = False

    def __str__(self) -> str:
        return f"{_shown(self.value)}%" if self.percent else _shown(self.value)


def only_number(text: str) -> Number:
    """The one number that `text` states, such as "x = $1,000 in total".

    Raises:
        ValueError: there is none, there are several ("3 or 4", "3 + 4 = 7"), or it is part of an expression.
    """
    stated = _prepared(text)
    tokens = list(_TOKEN.finditer(stated))
    if len(tokens) != 1:
        found = "no number" if not tokens else f"{len(tokens)} numbers"
        raise ValueError(f"{found} in {_short(text)}; expected one")
    token = tokens[0]
    number = _number(token, stated)
    rest = stated[: token.start()] + stated[token.end() :]
    if _NOT_PLAIN.search(rest):
        raise ValueError(f"{_short(text)} is an expression; expected a number")
    return number


def last_number(text: str) -> Number:
    """The last number of `text`.

    Raises:
        ValueError: there is none, or what looks like the last one cannot be read; says why.
    """
    prepared = _prepared(text)
    token = _last(_TOKEN.finditer(prepared))
    if token is None:
        raise ValueError("no number")
    return _number(token, prepared)


def last_written(text: str) -> tuple[str, str] | None:
    """The last number of `text` as plain digits ("-1234.50", "1/2", "1.5e3"), and what stands behind it.

    None if there is no number, or the last one cannot be read.
    """
    prepared = _prepared(text)
    token = _last(_TOKEN.finditer(prepared))
    if token is None:
        return None
    try:
        _number(token, prepared)
    except ValueError:
        return None
    sign = "-" if token["prefix"].count("-") % 2 else ""
    whole = f"{token['run']} {token['top']}" if token["top"] else token["run"]
    over, power = token["divisor"] or token["bottom"], token["exponent"] or token["braced"] or token["power"]
    plain = whole + (f"/{over}" if over else "") + (f"e{power}" if power else "")
    return sign + plain.replace(",", ""), prepared[token.end() :]


def is_number(text: str) -> bool:
    """Whether `text` is a number and nothing else."""
    prepared = _prepared(text).strip()
    token = _TOKEN.fullmatch(prepared)
    try:
        return token is not None and bool(_number(token, prepared))
    except ValueError:
        return False


def same(one: Number, other: Number) -> bool:
    """Whether two numbers are the same, by the rules at the top of the file."""
    if one.percent and other.percent:
        return _equal(one, other)
    return any(_equal(a, b) for a in _meanings(one) for b in _meanings(other))


def _equal(one: Number, other: Number) -> bool:
    return one.value == other.value or _rounds(one, other) or _rounds(other, one)


def _rounds(decimal: Number, fraction: Number) -> bool:
    """Whether `decimal` is a rounded form of a `fraction` that has no exact one."""
    if decimal.decimals is None or decimal.decimals < LEAST_DECIMALS or _terminates(fraction.value):
        return False
    return abs(decimal.value - fraction.value) <= Fraction(1, 2 * 10**decimal.decimals)


def _terminates(value: Fraction) -> bool:
    """Whether a decimal with finitely many digits is `value`: its denominator has no factors but 2 and 5."""
    denominator = value.denominator
    while (common := gcd(denominator, 10)) > 1:
        denominator //= common
    return denominator == 1


def _meanings(number: Number) -> Iterator[Number]:
    yield number
    if number.percent:
        decimals = None if number.decimals is None else number.decimals + 2
        yield Number(value=number.value / 100, decimals=decimals)


def _prepared(text: str) -> str:
    """`text` with one form for marks and LaTeX that mean the same."""
    text = "".join(map(_digit, text)).translate(_MARKS)
    text = _BOLD.sub("", text.replace("\\$", "$").replace("\\%", "%"))
    text = _WORDS.sub(r" \1 ", _NOTHING.sub("", text))
    text = _FRACTION.sub(lambda found: f"{_apart(found)}{found[1] or found[3]}/{found[2] or found[4]}", text)
    text = text.replace("\\times", "×").replace("\\cdot", "·").replace("\\approx", "=")
    return _SPACES.sub(" ", _GROUPS.sub(",", text))


def _digit(character: str) -> str:
    """Digits of any script as 0 to 9, and ½ as 1/2, apart from a whole number in front of it."""
    if character.isascii():
        return character
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    return f" {unicodedata.normalize('NFKC', character)}" if "VULGAR" in unicodedata.name(character, "") else character


def _apart(fraction: re.Match[str]) -> str:
    """A space between a whole number and the LaTeX fraction behind it."""
    start = fraction.start()
    return " " if fraction.string[max(0, start - 1) : start].isdigit() else ""


def _number(token: re.Match[str], text: str) -> Number:
    """The number of a match of `_TOKEN` in `text`."""
    found = _short(token[0].strip())
    before = text[max(0, token.start() - _BEFORE_LENGTH) : token.start()]
    if token["more"] or _BEFORE.search(before):
        raise ValueError(f"{found} is part of an expression; expected a number")
    value, decimals = _decimal(token["run"])
    if (exponent := token["exponent"] or token["braced"] or token["power"]) is not None:
        power = _exponent(exponent)
        value, decimals = value * Fraction(10) ** power, max(0, decimals - power)
    over = token["divisor"] or token["bottom"]
    if over is not None:
        divisor = _decimal(over)[0]
        if not divisor:
            raise ValueError(f"{found} divides by zero")
        value = value / divisor if token["divisor"] else value + _decimal(token["top"])[0] / divisor
    sign = -1 if token["prefix"].count("-") % 2 else 1
    percent = token["percent"] is not None
    return Number(value=sign * value, decimals=None if over else decimals, percent=percent)


def _decimal(run: str) -> tuple[Fraction, int]:
    """The value of digits with separators, and how many of them stand behind the point."""
    if sum(map(str.isdigit, run)) > MOST_DIGITS:
        raise ValueError(f"a number of {sum(map(str.isdigit, run))} digits; at most {MOST_DIGITS} are read")
    if not _PLAIN.fullmatch(run):
        raise ValueError(f"{_short(run)} is no number: thousands are grouped by commas, decimals follow one point")
    whole, _, behind = run.replace(",", "").partition(".")
    return Fraction(int(whole + behind), 10 ** len(behind)), len(behind)


def _exponent(digits: str) -> int:
    if len(digits) > len(str(MOST_DIGITS)) + 1 or abs(int(digits)) > MOST_DIGITS:
        raise ValueError(f"10 to the power {_short(digits)}; at most {MOST_DIGITS} is read")
    return int(digits)


def _last(tokens: Iterator[re.Match[str]]) -> re.Match[str] | None:
    found = None
    for found in tokens:  # noqa: B007
        pass
    return found


def _short(text: str) -> str:
    return f"'{text}'" if len(text) <= 40 else f"'{text[:39]}…'"


def _shown(value: Fraction) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
