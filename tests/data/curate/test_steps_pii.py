"""Personal data: published examples of every kind, near misses, planted cases counted, hostile text in bounded time."""

from __future__ import annotations

import random
import time
from ipaddress import ip_address
from pathlib import Path

import pytest

from burnish.config import load
from burnish.data.curate.steps.pii import COUNTRIES, KINDS, Pii
from burnish.errors import ConfigError
from tests.data.curate.contract import check_row_step, run_steps

FOUND = {
    "email": [
        "jane.doe+news@mail.example.org",
        "müller@example.de",
        "a_b-c%d@x-y.co.uk",
        "j@example.museum",
        "o'neil@example.ie",
    ],
    "ip": ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2001:4860:4860:0:0:0:0:8888"],
    "phone": [
        "+49 30 1234567",
        "+49 (0) 171 2345678",
        "0049 30 1234567",
        "+1 212 555 0123",
        "+1-212-555-0123",
        "(212) 555-0123",
        "212-555-0123",
        "212.555.0123",
        "01 23 45 67 89",
        "030/1234567",
        "020 7946 0958",
        "0171-2345678",
    ],
    "card": [
        "4111111111111111",
        "4111 1111 1111 1111",
        "5500-0000-0000-0004",
        "378282246310005",
        "3782 822463 10005",
        "6011111111111117",
        "30569309025904",
        "3530111333300000",
        "2221000000000009",
    ],
    "iban": [
        "DE89370400440532013000",
        "DE89 3704 0044 0532 0130 00",
        "GB82 WEST 1234 5698 7654 32",
        "FR14 2004 1010 0505 0001 3M02 606",
        "NO9386011117947",
    ],
    "national-id": [
        "078-05-1120",
        "AB 12 34 56 C",
        "AB123456C",
        "86095742719",
        "86 095 742 719",
        "255081416802538",
        "2 55 08 14 168 025 38",
        "RSSMRA85T10A562S",
        "12345678Z",
        "X1234567L",
        "44051401359",
        "811218-9876",
        "529.982.247-25",
        "11010519491231002X",
    ],
}
"""Numbers that are printed in standards, laws and manuals as examples."""

NOBODY = [
    "@decorator", "a @ b", "user@localhost", "x@@example.org", "..@example.org", "mail me at example.org",
    "127.0.0.1", "192.168.1.20", "10.0.0.1", "203.0.113.7", "300.1.1.1", "1.2.3", "1.2.3.4.5", "version 4.2.1.7",
    "v4.2.1.7", "1.0.0.0", "0.4111111111111111", "std::vector", "12:30:45", "2001:db8::1", "::1", "fe80::1", "A::B",
    "2026-11-21 20:13", "1234567890", "3.14159265358979", "1,000,000,000", "100 200 300", "555-0199", "2019-2020",
    "x + 5000 1000 200", "+12345678", "0.123456789", "978-3-16-148410-0", "[12, 13, 14]",
    "4111111111111112", "1234 5678 9012 3456", "4111 1111 1111 1112", "00000000000000000", "9999999999999999",
    "DE89370400440532013001", "DE893704004405320130", "GB82 TEST", "XX89370400440532013000", "ABCD 1234",
    "000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "GB123456C", "86095742718", "255081416802539",
    "RSSMRA85T10A562T", "12345678A", "44051401358", "811218-9875", "529.982.247-24", "111.111.111-11",
    "110105194912310021",
]  # fmt: skip


def in_text(value: str) -> str:
    return f"As he wrote ({value}), nothing came of it."


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in FOUND.items() for value in values])
def test_published_examples_are_replaced(kind, value):
    name = kind.upper().replace("-", "_")
    for frame in ("{}", "As he wrote: {}.", "({}), he said", "first {} then\n", "„{}“"):
        ((_, dropped, reason, text, *_),) = check_row_step(Pii(), [frame.format(value)])
        assert (dropped, reason, text) == (False, "replaced", frame.format(f"<{name}>"))


@pytest.mark.parametrize("value", NOBODY)
def test_near_misses_stay(value):
    ((_, dropped, reason, text, *_),) = check_row_step(Pii(), [in_text(value)])
    assert (dropped, reason, text) == (False, None, None)


def test_a_word_in_front_makes_a_phone_number_of_bare_digits():
    rows = check_row_step(
        Pii(kinds=("phone",)), ["Tel.: 5550123", "phone number 5551234567.", "Fax 555 01 23", "5550123"]
    )
    assert [row[3] for row in rows] == ["Tel.: <PHONE>", "phone number <PHONE>.", "Fax <PHONE>", None]


def test_aadhaar_by_verhoeff():
    numbers = [f"2345 6789 012{digit}" for digit in range(10)]
    rows = check_row_step(Pii(kinds=("national-id",), countries=("in",)), numbers)
    assert [row[0] for row in rows if row[3]] == ["d4"]  # one of ten; and no other digit
    swapped = check_row_step(Pii(kinds=("national-id",), countries=("in",)), ["2354 6789 0124"])
    assert swapped[0][3] is None


def test_kinds_are_counted_and_the_stronger_check_has_the_characters():
    text = "jane@example.org, joe@example.org, DE89370400440532013000, +49 30 1234567"
    ((_, _, _, edited, note, score, *counts),) = check_row_step(Pii(), [text])
    assert edited == "<EMAIL>, <EMAIL>, <IBAN>, <PHONE>"
    assert note == "1 iban, 2 email, 1 phone"
    assert score == 4
    assert dict(zip(Pii().measures, counts, strict=True)) == {
        "email": 2, "ip": 0, "phone": 1, "card": 0, "iban": 1, "national_id": 0
    }  # fmt: skip


def test_only_what_is_asked_for_is_looked_for():
    texts = ["8.8.8.8 and jane@example.org", "078-05-1120", "AB123456C"]
    assert [row[3] for row in check_row_step(Pii(kinds=("ip",)), texts)] == ["<IP> and jane@example.org", None, None]
    step = Pii(kinds=("national-id",), countries=("gb",), placeholder="[{kind} gone]")
    assert [row[3] for row in check_row_step(step, texts)] == [None, None, "[NATIONAL_ID gone]"]


def test_documents_are_dropped_by_choice_and_kind(tmp_path):
    step = Pii(drop=("card", "iban"), max_found=1)
    rows = [
        {"id": "one", "text": "Card 4111111111111111 of jane@example.org"},
        {"id": "two", "text": "Cards 4111111111111111 and 378282246310005"},
        {"id": "none", "text": "No card."},
    ]
    found = run_steps([step], rows, tmp_path / "out")
    assert (found["one"].fate, found["one"].text) == ("edit", "Card <CARD> of <EMAIL>")
    assert (found["two"].fate, found["two"].reason) == ("drop", "has-card")
    assert found["two"].steps["pii"]["measure.card"] == 2
    assert found["none"].steps["pii"]["reason"] is None


def test_what_is_dropped_must_be_looked_for():
    with pytest.raises(ConfigError, match="card is not looked for; add it to kinds"):
        load(Pii, {"kinds": ["email"], "drop": ["card"]})


def with_check(body: str) -> str:
    """The digits, and the one behind them that makes the number divisible as Luhn asks; found by trying."""
    doubled = {str(n): sum(map(int, str(2 * n))) for n in range(10)}
    for last in "0123456789":
        number = body + last
        values = [doubled[d] if place % 2 else int(d) for place, d in enumerate(reversed(number))]
        if sum(values) % 10 == 0:
            return number
    raise AssertionError


def planted(rng: random.Random, kind: str) -> str:
    digits = lambda n: "".join(rng.choice("0123456789") for _ in range(n))  # noqa: E731
    if kind == "email":
        name = "".join(rng.choice("abcxyz019._-") for _ in range(8)).strip("._-").replace("..", ".") or "x"
        return f"{name}@{rng.choice(['mail', 'web-1', 'x'])}.{rng.choice(['org', 'co.uk', 'de', 'example.com'])}"
    if kind == "ip":
        return ".".join(str(rng.randint(1, 255)) for _ in range(4)).replace("127.", "8.")
    if kind == "phone":
        area, office = f"{rng.randint(200, 999)}", f"{rng.randint(200, 999)}"
        forms = [f"({area}) {office}-{digits(4)}", f"+44 20 {digits(4)} {digits(4)}", f"+33 {digits(1)} {digits(8)}"]
        return rng.choice(forms)
    if kind == "card":
        number = with_check("4" + digits(14))
        return rng.choice([number, " ".join(number[n : n + 4] for n in range(0, 16, 4))])
    if kind == "iban":
        account = digits(18)
        return f"DE{98 - int(account + '131400') % 97:02d}{account}"
    return f"{rng.randint(101, 665)}-{rng.randint(10, 99)}-{rng.randint(1000, 9999)}"


def measured(kind: str) -> tuple[int, float, float]:
    """Of planted values: how many, and the recall; of what is replaced in them and in near misses: the precision."""
    rng = random.Random(f"planted {kind}")
    values = [planted(rng, kind) for _ in range(300)]
    if kind == "ip":  # those that belong to somebody, as the standard library knows them
        values = [value for value in values if ip_address(value).is_global and int(value.split(".")[0]) < 224]
    rows = check_row_step(Pii(), [in_text(value) for value in values] + [in_text(value) for value in NOBODY])
    name = f"<{kind.upper().replace('-', '_')}>"
    right = sum(row[3] == in_text(name) for row in rows[: len(values)])
    wrong = sum(row[3] is not None and row[3] != in_text(name) for row in rows[: len(values)])
    wrong += sum(row[3] is not None for row in rows[len(values) :])
    return len(values), right / len(values), right / (right + wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_precision_and_recall_on_planted_cases_are_what_the_page_says(kind):
    count, recall, precision = measured(kind)
    assert count > 200
    assert recall >= 0.99
    assert precision >= 0.99
    page = (Path(__file__).parents[3] / "docs" / "curation.md").read_text(encoding="utf-8")
    assert f"and {len(NOBODY)} near misses" in page
    assert f"| `{kind}` | {count} | {recall:.3f} | {precision:.3f} |" in page


HOSTILE = [
    "1", "1 ", "1-", "1.", "1:", "1.1.1.", "2001:", "a@", "@a.", "a@a.", "@a-", "+1 ", "+", "(", "0 1 ", "01 23 ",
    "call ", "phone number 1 ", "Tel.: (1", "4111 1111 ", "4111-", "DE12 ", "DE12", "A", "AB12", "A1 ", "12345678",
    "X-1", "123-45-", "123.456.", "2 34 ", "1 2A ", "ABCDEF12", "999999-", "é", "a.", "_@_", ". - / ( ) ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_takes_bounded_time(piece):
    text = (piece * 30_000)[:30_000]
    step = Pii()
    before = time.process_time()
    for tail in ("", "!", "a", "@"):
        step.found(text + tail)
    assert time.process_time() - before < 3, "twenty-five microseconds for a character is far too much"


def test_settings_name_everything_that_exists():
    assert len(set(COUNTRIES)) == 11
    assert set(FOUND) == set(KINDS)
