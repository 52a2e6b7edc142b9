"""`pii`: personal data in texts, replaced by a placeholder that says what stood there, or a reason to drop a document.

    email         jane@example.org
    ip            public addresses, version 4 and 6
    phone         by the way in which it is written
    card          payment cards, with Luhn's checksum
    iban          bank accounts, with their checksum
    national-id   identifiers of the `countries`, with their checksums where they have one

How each is found stands in `burnish.data.curate.personal` and `burnish.data.curate.national`. Where two kinds claim the
same characters, the one with the stronger check has them: iban, card, national-id, email, ip, phone.

Every kind of `kinds` is counted for every document. A document with more than `max_found` of a kind in `drop` goes; in
all others, what was found is replaced. Names and postal addresses are not looked for: no pattern finds them.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import FunctionType
from typing import Literal, cast

import numpy as np

from burnish.config import setting, settings
from burnish.data.curate.documents import Documents
from burnish.data.curate.national import Country, national_ids
from burnish.data.curate.personal import Span, cards, emails, ibans, ip_addresses, phones
from burnish.data.curate.step import Decisions, RowStep, Rule, by_rules
from burnish.store import Code

Kind = Literal["email", "ip", "phone", "card", "iban", "national-id"]
KINDS: tuple[Kind, ...] = ("iban", "card", "national-id", "email", "ip", "phone")
"""In the order in which they claim characters."""

COUNTRIES: tuple[Country, ...] = ("us", "gb", "de", "fr", "it", "es", "pl", "se", "br", "in", "cn")
Found = list[tuple[int, int, Kind]]

_DIGITS = frozenset("0123456789")


@settings
class Pii(RowStep):
    """Replace personal data, or drop the documents that hold it."""

    kind: Literal["pii"] = "pii"
    kinds: tuple[Kind, ...] = setting(KINDS, "what is looked for", min_length=1)
    countries: tuple[Country, ...] = setting(COUNTRIES, "whose national identifiers are looked for")
    drop: tuple[Kind, ...] = setting((), "kinds for which a document is dropped instead of edited")
    max_found: int = setting(0, "of a kind in drop; more drop the document", ge=0)
    placeholder: str = setting("<{kind}>", "what stands instead; {kind} becomes EMAIL, NATIONAL_ID and so on")

    def __post_init__(self) -> None:
        if missing := [kind for kind in self.drop if kind not in self.kinds]:
            raise ValueError(f"drop: {', '.join(missing)} is not looked for; add it to kinds")

    @property
    def reasons(self) -> tuple[str, ...]:
        """The kinds that drop a document, then what an edit is called."""
        return (*(f"has-{kind}" for kind in self.drop), "replaced")

    @property
    def rules(self) -> tuple[Rule, ...]:
        """One for each kind in `drop`."""
        return tuple(Rule(reason=f"has-{kind}", measure=_measure(kind), at_most=self.max_found) for kind in self.drop)

    @property
    def measures(self) -> tuple[str, ...]:
        """How many of each kind a document holds."""
        return tuple(_measure(kind) for kind in self.kinds)

    def decide(self, documents: Documents) -> Decisions:
        """Find, drop, and replace in what stays."""
        found = [self.found(text) for text in documents.texts]
        counts = {
            _measure(kind): np.array([sum(one[2] == kind for one in places) for places in found], dtype=float)
            for kind in self.kinds
        }
        decisions = by_rules(self, counts, len(documents))
        texts = {
            row: self.replaced(documents.texts[row], places)
            for row, places in enumerate(found)
            if places and not decisions.dropped[row]
        }
        decisions.reasons[list(texts)] = self.reasons.index("replaced")
        scores = np.array([float(len(places)) for places in found])
        notes = {row: _note(places) for row, places in enumerate(found) if places}
        return Decisions(
            dropped=decisions.dropped,
            reasons=decisions.reasons,
            texts=texts,
            scores=scores,
            measures=counts,
            notes=notes,
        )

    def found(self, text: str) -> Found:
        """What stands in a text, in order, without overlaps: (first character, after the last, kind)."""
        taken: Found = []
        for kind in KINDS:
            if kind in self.kinds:
                taken = _joined(taken, [(start, end, kind) for start, end in self._spans(kind, text)])
        return taken

    def _spans(self, kind: Kind, text: str) -> Iterable[Span]:
        if kind == "email":
            return emails(text)
        if _DIGITS.isdisjoint(text):
            return ()
        if kind == "national-id":
            return national_ids(text, self.countries)
        finders = {"iban": ibans, "card": cards, "ip": ip_addresses, "phone": phones}
        return finders[kind](text)

    def replaced(self, text: str, found: Found) -> str:
        """The text with placeholders."""
        parts, end = [], 0
        for start, after, kind in found:
            parts += [text[end:start], self.placeholder.replace("{kind}", kind.upper().replace("-", "_"))]
            end = after
        return "".join([*parts, text[end:]])

    def code(self) -> tuple[Code, ...]:
        """What finds."""
        finders = (emails, ip_addresses, phones, cards, ibans, national_ids)
        return tuple(cast(FunctionType, finder) for finder in finders)


def _measure(kind: Kind) -> str:
    return kind.replace("-", "_")


def _joined(taken: Found, fresh: Found) -> Found:
    """Add what overlaps with nothing that is taken already, nor with what begins before it."""
    held, kept, place = taken, [], 0
    end = 0
    for one in sorted(fresh):
        while place < len(held) and held[place][1] <= one[0]:
            place += 1
        if one[0] >= end and (place == len(held) or one[1] <= held[place][0]):
            kept.append(one)
            end = one[1]
    return sorted([*held, *kept]) if kept else taken


def _note(found: Found) -> str:
    kinds = [kind for _, _, kind in found]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in KINDS if kind in kinds)
