"""Where personal data stands in a text: e-mail, IP address, phone number, card number, IBAN; national identifiers are
in `burnish.data.curate.national`.

A pattern proposes a place and arithmetic decides: checksums (Luhn for cards, ISO 7064 mod 97 for IBANs), the length
that a country or a card network prescribes, the blocks of addresses that belong to somebody. Where nothing can be
computed (phone numbers), the way in which the number is written decides.

Every pattern reads each character a bounded number of times, whatever stands in the text: repetitions have an upper
limit, and where they meet, no character can belong to both.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator

Span = tuple[int, int]
"""First character, and the one after the last."""

Finder = Callable[[str], Iterator[Span]]


def emails(text: str) -> Iterator[Span]:
    """Addresses such as `jane.doe+news@mail.example.org`, with letters of any script in front of the `@`.

    Quoted local parts and domains that are numbers are not looked for.
    """
    for match in _DOMAIN.finditer(text):
        at = match.start()
        local = _LOCAL.match(text[max(0, at - 66) : at][::-1])
        if local is None or local.end() > 64:
            continue
        name = local[0][::-1].lstrip(".")
        if name and not name.endswith(".") and ".." not in name:
            yield at - len(name), match.end()


_DOMAIN = re.compile(
    r"@(?:[A-Za-z0-9-]{1,63}+\.){0,7}[A-Za-z0-9-]{1,63}+\.(?:xn--[a-z0-9-]{2,59}|[A-Za-z]{2,24})(?![\w-])"
)
_LOCAL = re.compile(r"[\w.%+'&-]{1,66}+")


def ip_addresses(text: str) -> Iterator[Span]:
    """Public addresses, IPv4 and IPv6; those of private networks, documentation and loopback are nobody's.

    Four small numbers with points may also be a version or a section: after `version`, `release` or `section`, or
    directly after a letter, or with two zeros at the end, they are not taken.
    """
    if text.count(".") >= 3:
        for match in _IPV4.finditer(text):
            if (
                not match[0].endswith(".0.0")
                and _is_public(match[0])
                and not _NUMBERED.search(text[max(0, match.start() - 10) : match.start()])
            ):
                yield match.span()
    if text.count(":") >= 2:
        for match in _IPV6.finditer(text):
            found = match[0].rstrip(":.") if not match[0].endswith("::") else match[0]
            if _is_public(found):
                yield match.start(), match.start() + len(found)


_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)", re.ASCII)
_IPV6 = re.compile(r"(?<![\w:.])[23][0-9a-f]{3}:[0-9a-f:.]{1,41}+(?!\w)", re.ASCII | re.IGNORECASE)
_NUMBERED = re.compile(r"(?:version|release|section|ver\.?)\s?$", re.IGNORECASE)
_NOBODY = tuple(
    ipaddress.ip_network(block)
    for block in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/3", "2001:db8::/32"),
    )
)


def _is_public(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not any(found in block for block in _NOBODY if block.version == found.version)


def phones(text: str) -> Iterator[Span]:
    """Phone numbers, by the way in which they are written.

        +49 30 1234567, 0049 30 1234567     a country's code and 8 to 15 digits in all
        (212) 555-0123, 212-555-0123        North America, with signs between the parts
        01 23 45 67 89, 030/1234567         a leading 0, with signs between the parts
        Tel.: 5550123                       7 to 15 digits after a word such as phone, tel, mobile, fax, call

    Ten bare digits without such a word are not taken: they are more often an identifier or a time.
    """
    for match in _PHONE.finditer(text):
        found = match[0].rstrip(" ().-/")
        digits = sum(map(str.isdigit, found))
        if _plausible(match.lastgroup, found, digits) and not _DATE.search(found):
            start = match.start(match.lastgroup) if match.lastgroup == "named" else match.start()
            yield start, match.start() + len(found)


def _plausible(form: str | None, found: str, digits: int) -> bool:
    """Whether a number of some form has as many digits as it must have."""
    if form == "country":
        code = found.lstrip("+0(")[:1]  # the whole codes 1 and 7 stand for ten digits after them
        return digits - 2 * found.startswith("00") == 11 if code in "17" else 8 <= digits <= 15
    return (7 if form == "named" else 8) <= digits <= 15


_PHONE = re.compile(
    r"""(?<![\w.+/-])(?:
      (?P<america>(?:\+?1[ .-]?)?(?:\([2-9]\d\d\)[ ]?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}(?!\d|[.-]\d))
    | (?P<country>(?:\+|00)\(?[1-9](?:[ ().\-/]{0,3}+\d){7,14}+(?!\d))
    | (?P<pairs>0[1-9](?P<sign>[ .-])\d\d(?:(?P=sign)\d\d){3}(?!\d))
    | (?P<trunk>(?:\(0\d{2,4}\)|0\d{2,4})(?:[ ]?[/-][ ]?|[ ])\d{3,8}(?:[ -]\d{2,6})?(?!\d|[.-]\d))
    | (?:phone|telephone|tel|telefon|fon|mobile|mobil|cell|fax|call|whatsapp)(?:[ ]number)?[.:]{0,2}[ ]{0,2}
      (?P<named>\(?\d(?:[ ().\-/]{0,2}+\d){6,14}+(?!\d))
    )""",
    re.ASCII | re.VERBOSE | re.IGNORECASE,
)
_DATE = re.compile(r"\b(?:19|20)\d\d[-/.](?:0\d|1[0-2])[-/.][0-3]\d\b", re.ASCII)


def cards(text: str) -> Iterator[Span]:
    """Numbers of payment cards: a length and a beginning that a network uses, and Luhn's checksum."""
    for match in _CARD.finditer(text):
        digits = match[0].replace(" ", "").replace("-", "")
        if _is_card(digits) and luhn(digits):
            yield match.span()


_CARD = re.compile(
    r"(?<![\w-])(?<!\d\.)"
    r"(?:\d{13,19}+|\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|3\d{3}([ -])\d{6}\2\d{4,5})"
    r"(?!\w|[-.]\d)",
    re.ASCII,
)


def _is_card(digits: str) -> bool:
    size, two, four = len(digits), int(digits[:2]), int(digits[:4])
    if digits[0] == "4":
        return size in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return size == 16
    if two in (34, 37):
        return size == 15
    if two in (36, 38, 39) or 3000 <= four <= 3059:
        return size in (14, 16, 19)
    return (four == 6011 or two in (62, 64, 65) or 3528 <= four <= 3589) and size >= 16


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    values = [int(digit) for digit in reversed(digits)]
    return (sum(values[0::2]) + sum(sum(divmod(2 * value, 10)) for value in values[1::2])) % 10 == 0


def ibans(text: str) -> Iterator[Span]:
    """International bank account numbers: the country's length, and the checksum mod 97 (ISO 13616)."""
    end = 0
    for match in _IBAN.finditer(text):
        size = _IBAN_LENGTHS.get(match[1][:2])
        compact = match[1].replace(" ", "").replace("-", "")
        if size is None or match.start() < end or not _mod_97(compact[:size], size):
            continue
        end = _after(text, match.start(), size)
        if not text[end : end + 1].isalnum():
            yield match.start(), end


_IBAN = re.compile(r"(?<![A-Za-z0-9])(?=([A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}+))", re.ASCII)
_IBAN_COUNTRIES = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28
EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26
IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28
NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25
SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20
"""
_IBAN_LENGTHS = {word[:2]: int(word[2:]) for word in _IBAN_COUNTRIES.split()}


def _mod_97(compact: str, size: int) -> bool:
    return len(compact) == size and int("".join(str(int(sign, 36)) for sign in compact[4:] + compact[:4])) % 97 == 1


def _after(text: str, start: int, size: int) -> int:
    """Where a number of `size` letters and digits ends, its blanks and hyphens not counted."""
    while size:
        size -= text[start] not in " -"
        start += 1
    return start
