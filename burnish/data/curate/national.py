"""National identifiers in a text, by country: the form in which each is written, and what can be computed from it.

    us  social security number         123-45-6789          blocks that are never given out
    gb  national insurance number      QQ 12 34 56 C        letters that are never used
    de  tax identification number      12 345 678 901       one digit repeated among ten; ISO 7064 mod 11, 10
    fr  social security number (NIR)   1 23 45 67 890 123 45   mod 97
    it  fiscal code                    ABCDEF12A34B567C     check letter
    es  DNI and NIE                    12345678Z, X1234567L    letter mod 23
    pl  PESEL                          12345678901          date, weighted sum mod 10
    se  personal number                123456-7890          date, Luhn
    br  CPF                            123.456.789-01       two digits mod 11
    in  Aadhaar                        2345 6789 0123       Verhoeff
    cn  resident identity number       11010519491231002X   date, ISO 7064 mod 11, 2

Numbers of countries whose form says too little (nine digits in Canada, the Netherlands, Portugal) are not looked for.
A number of the right form and checksum that is something else is taken too: one in ten of random numbers in that form
where the check is one digit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from burnish.data.curate.personal import Span, luhn

Country = Literal["us", "gb", "de", "fr", "it", "es", "pl", "se", "br", "in", "cn"]


def national_ids(text: str, countries: Sequence[Country]) -> Iterator[Span]:
    """The identifiers of some countries, country after country; spans of two countries may overlap."""
    for country in countries:
        pattern, valid = _FORMS[country]
        for match in pattern.finditer(text):
            if valid(_SIGNS.sub("", match[0])):
                yield match.span()


_SIGNS = re.compile(r"[ .\-+/]")
_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_CPF = tuple(range(11, 1, -1))
_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21),
            *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        ),
        strict=True,
    )
)
"""What a sign at an odd place of an Italian fiscal code counts."""


def _us(number: str) -> bool:
    return number[:3] not in ("000", "666") and number[0] != "9" and number[3:5] != "00" and number[5:] != "0000"


def _gb(number: str) -> bool:
    return number[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")


def _de(number: str) -> bool:
    often = sorted(number[:10].count(digit) for digit in set(number[:10]))
    if often[-1] not in (2, 3) or often[-2] != 1:
        return False
    product = 10
    for digit in number[:10]:
        product = 2 * ((int(digit) + product) % 10 or 10) % 11
    return (11 - product) % 10 == int(number[10])


def _fr(number: str) -> bool:
    base = number[:13].replace("2A", "19").replace("2B", "18") if number[5:7] in ("2A", "2B") else number[:13]
    return base.isdigit() and 97 - int(base) % 97 == int(number[13:])


def _it(code: str) -> bool:
    values = (
        _ODD[sign] if place % 2 == 0 else int(sign, 36) % 10 if sign.isdigit() else ord(sign) - 65
        for place, sign in enumerate(code[:15])
    )
    return chr(65 + sum(values) % 26) == code[15]


def _es(number: str) -> bool:
    digits = number[:-1].translate(str.maketrans("XYZ", "012"))
    return _LETTERS[int(digits) % 23] == number[-1]


def _pl(number: str) -> bool:
    month, day = int(number[2:4]), int(number[4:6])
    total = sum(int(digit) * weight for digit, weight in zip(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), strict=True))
    return total % 10 == 0 and 1 <= month % 20 <= 12 and 1 <= day <= 31


def _se(number: str) -> bool:
    month, day = int(number[-8:-6]), int(number[-6:-4])
    return 1 <= month <= 12 and (1 <= day <= 31 or 61 <= day <= 91) and luhn(number[-10:])


def _br(number: str) -> bool:
    if len(set(number)) == 1:
        return False
    for size in (9, 10):
        rest = sum(int(digit) * weight for digit, weight in zip(number, _CPF[-size:], strict=False)) * 10 % 11 % 10
        if rest != int(number[size]):
            return False
    return True


def _in(number: str) -> bool:
    check = 0
    for place, digit in enumerate(reversed(number)):
        check = _turned(check, _permuted(int(digit), place % 8))
    return check == 0


def _turned(a: int, b: int) -> int:
    """The product in the dihedral group of order ten, on which Verhoeff's checksum rests."""
    if a < 5:
        return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
    return 5 + (a - b) % 5 if b < 5 else (a - b) % 5


def _permuted(digit: int, times: int) -> int:
    for _ in range(times):
        digit = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[digit]
    return digit


def _cn(number: str) -> bool:
    year, month, day = int(number[6:10]), int(number[10:12]), int(number[12:14])
    total = sum(int(digit) * 2 ** (17 - place) for place, digit in enumerate(number[:17]))
    return 1900 <= year < 2100 and 1 <= month <= 12 and 1 <= day <= 31 and "10X98765432"[total % 11] == number[17]


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.-]){pattern}(?!\w|[.-]\d)", re.ASCII)


_FORMS: Mapping[Country, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "us": (_form(r"\d{3}-\d{2}-\d{4}"), _us),
    "gb": (_form(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]"), _gb),
    "de": (_form(r"[1-9](?:\d{10}|\d \d{3} \d{3} \d{3})"), _de),
    "fr": (_form(r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}"), _fr),
    "it": (_form(r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]"), _it),
    "es": (_form(r"(?:\d{8}|[XYZ]-?\d{7})[ -]?[TRWAGMYFPDXBNJZSQVHLCKE]"), _es),
    "pl": (_form(r"\d{11}"), _pl),
    "se": (_form(r"(?:19|20)?\d{6}[-+]\d{4}"), _se),
    "br": (_form(r"\d{3}\.\d{3}\.\d{3}-\d{2}"), _br),
    "in": (_form(r"[2-9]\d{3} \d{4} \d{4}"), _in),
    "cn": (_form(r"[1-9]\d{16}[\dX]"), _cn),
}
