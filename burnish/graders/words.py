"""How the graders read text: what a word is, and when an answer names its topic.

    plain   one form for marks that mean the same: curly quotes, no-break spaces, line ends, invisible characters
    word    letters or digits, joined by at most two hyphens or apostrophes: "don't", "mother-in-law", "1,000"
    piece   a run of letters or digits; "mother-in-law's" has four; compared without regard to capitals

Of a longer chain every piece is a word, so that a limit on words cannot be met by joining them with hyphens.
Languages written without spaces, or with vowel signs that are no letters, are out of reach: counts would be wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_MARKS = str.maketrans(
    {
        **dict.fromkeys("“”„‟＂", '"'),
        **dict.fromkeys("‘’‛ʼ", "'"),
        **dict.fromkeys("\u00a0\u2007\u202f\u3000", " "),
        **dict.fromkeys("\u200b\u2060\ufeff\u00ad", ""),
        **dict.fromkeys("\u2028\u0085", "\n"),
        "\u2029": "\n\n",
    }
)
_WORD = re.compile(
    r"\d+(?:[.,]\d+)+"
    r"|(?<![^\W_]['\-‐‑])[^\W_]++(?:['\-‐‑][^\W_]++){0,2}+(?!['\-‐‑][^\W_])"  # a whole chain of one to three
    r"|[^\W_]+"  # a piece of a longer one
)
_PIECE = re.compile(r"[^\W_]+")
_IRREGULAR = {"mouse": "mice", "goose": "geese", "tooth": "teeth", "foot": "feet", "child": "children"}
_SHORTEST_FORM = 3


def plain(text: str) -> str:
    """`text` composed (NFC), with typographic marks as their plain kin, and no white space at either end."""
    unified = unicodedata.normalize("NFC", text).translate(_MARKS)
    return unified.replace("\r\n", "\n").replace("\r", "\n").strip()


def words(text: str) -> list[str]:
    """The words of `text`, as they stand there."""
    return _WORD.findall(plain(text))


def pieces(text: str) -> list[str]:
    """The runs of letters and digits of `text`, without regard to capitals."""
    return [piece.casefold() for piece in _PIECE.findall(plain(text))]


def occurrences(text: str, phrase: str) -> int:
    """How often `phrase` stands in `text` as whole words; an occurrence in a compound ("time-saving") counts."""
    run, found = pieces(phrase), pieces(text)
    count = place = 0
    while run and place + len(run) <= len(found):
        hit = found[place : place + len(run)] == run
        count += hit
        place += len(run) if hit else 1
    return count


def names_topic(text: str, topic: str) -> bool:
    """Whether `text` names `topic`.

    Capitals do not matter. The last word may be singular or plural ("a bicycle" names "bicycles"; -s, -es, -ies, -ves,
    -men and a few irregular nouns), may carry a possessive, and compounds may be written together, apart or with a
    hyphen. Other derivations ("cycling") and synonyms do not name it, and neither does a longer word that holds it.
    """
    wanted = noun_forms("".join(pieces(topic)))
    found = pieces(text)
    longest = len(pieces(topic)) + 1
    return any("".join(run) in wanted for run in _runs(found, longest))


def _runs(found: Sequence[str], longest: int) -> list[Sequence[str]]:
    return [found[i : i + length] for length in range(1, longest + 1) for i in range(len(found) - length + 1)]


def noun_forms(noun: str) -> set[str]:
    """`noun` with what its singular and plural may look like; forms that are no words do no harm."""
    noun = noun.casefold()
    forms = _plurals(noun) | _singulars(noun)
    for single, plural in _IRREGULAR.items():
        if noun.endswith(single):
            forms.add(noun.removesuffix(single) + plural)
        if noun.endswith(plural):
            forms.add(noun.removesuffix(plural) + single)
    return {form for form in forms if len(form) >= _SHORTEST_FORM} | {noun}


def _plurals(noun: str) -> set[str]:
    forms = {noun + "s", noun + "es"}
    for end, plural in (("y", "ies"), ("f", "ves"), ("fe", "ves"), ("man", "men")):
        if noun.endswith(end):
            forms.add(noun.removesuffix(end) + plural)
    return forms


def _singulars(noun: str) -> set[str]:
    forms = set()
    if noun.endswith("s") and not noun.endswith("ss"):
        forms.add(noun[:-1])
    if noun.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        forms.add(noun[:-2])
    for plural, end in (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("men", "man")):
        if noun.endswith(plural):
            forms.add(noun.removesuffix(plural) + end)
    return forms
