"""`toxic-words`: documents with words of a list.

    {kind: toxic-words, lists: [lists/en.txt, lists/de.txt], max_listed: 3, max_share: 0.01}

A list has one word or phrase a line. Words are compared without case and punctuation, as whole words: `ass` is not
found in `assess`. In scripts that set no spaces between words an entry is found wherever its characters stand in a row;
`whole_words: false` does that in every script.

C4 drops a page for a single listed word (Raffel et al. 2020, section 2.2); that is the default. Such lists also hold
words of medicine, law and of the people who are insulted by them, and a single word drops texts about these
(Dodge et al. 2021, arXiv 2104.08758); a share is the milder rule. No list is built in: which words are
meant depends on languages and purpose, and the list that was used should lie beside the corpus.

`listed` counts entries that stand in the text, each time that they do; `listed_share` divides that by the words of the
text, or its characters in scripts without spaces. The note names the entries that are found most often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import ClassVar, Literal, cast

import numpy as np

from burnish.config import setting, settings
from burnish.data.curate.documents import Documents
from burnish.data.curate.fragments import fragments_in
from burnish.data.curate.listing import entries
from burnish.data.curate.phrases import Phrases, normal_words, normalised, whole_phrases
from burnish.data.curate.step import Decider, Decisions, RowStep, Rule, by_rules
from burnish.errors import DataError
from burnish.store import Code

Finder = Callable[[Documents], Iterator[Counter[int]]]
_NAMED = 5
"""Entries that a note names."""


@settings
class ToxicWords(RowStep):
    """Drop documents with listed words."""

    source: ClassVar[str] = "one word drops a page: Raffel et al. 2020, arXiv 1910.10683, section 2.2"

    kind: Literal["toxic-words"] = "toxic-words"
    lists: tuple[str, ...] = setting(..., "files with a word or phrase a line", source=True, min_length=1)
    whole_words: bool = setting(True, "find entries as whole words; false: anywhere in the text")
    max_listed: int | None = setting(0, "listed words in a document", unit="words", ge=0)
    max_share: float | None = setting(None, "listed words per word", ge=0, le=1)

    def __post_init__(self) -> None:
        if self.max_listed is None and self.max_share is None:
            raise ValueError("nothing would be dropped: give max_listed, max_share, or both")

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The limits that are given."""
        limits = (("listed-words", "listed", self.max_listed), ("listed-share", "listed_share", self.max_share))
        return tuple(Rule(reason=name, measure=of, at_most=limit) for name, of, limit in limits if limit is not None)

    @property
    def measures(self) -> tuple[str, ...]:
        """Both, whatever is limited."""
        return ("listed", "listed_share")

    def check(self) -> None:
        """Refuse lists that cannot be read, and a package that is missing."""
        names = self._entries()
        if not self.whole_words:
            fragments_in(names)

    def decider(self, folder: Path) -> Decider:
        """Load the lists."""
        names = self._entries()
        find = _whole(whole_phrases(names)) if self.whole_words else _anywhere(names)
        return lambda documents: self._decided(documents, names, find)

    def decide(self, documents: Documents) -> Decisions:
        """Decides with lists that are read again; `decider` reads them once."""
        return self.decider(Path())(documents)

    def _entries(self) -> list[str]:
        """The entries as they are compared, each once, in order."""
        found: dict[str, None] = {}
        for entry in entries(self.lists):
            if not (words := normalised(entry.text)):
                raise DataError(f"{entry.place}: '{entry.text}' has no letter or digit; take the line out")
            found[" ".join(words)] = None
        return sorted(found)

    def _decided(self, documents: Documents, names: list[str], find: Finder) -> Decisions:
        found = list(find(documents))
        listed = np.array([float(sum(counts.values())) for counts in found])
        words = np.maximum(documents.words.units.counts, 1)
        decisions = by_rules(self, {"listed": listed, "listed_share": np.minimum(listed / words, 1.0)}, len(documents))
        notes = {row: _note(counts, names) for row, counts in enumerate(found) if counts}
        return Decisions(
            dropped=decisions.dropped,
            reasons=decisions.reasons,
            scores=np.where(decisions.dropped, decisions.scores, listed),
            measures=decisions.measures,
            notes=notes,
        )

    def code(self) -> tuple[Code, ...]:
        """What reads the lists and finds their entries."""
        return (Phrases, cast(FunctionType, entries), cast(FunctionType, fragments_in))


def _whole(phrases: Phrases) -> Finder:
    def find(documents: Documents) -> Iterator[Counter[int]]:
        counts: list[Counter[int]] = [Counter() for _ in range(len(documents))]
        for _, texts, owners in phrases.found(normal_words(documents.words)):
            for text, owner in zip(texts.tolist(), owners.tolist(), strict=True):
                counts[text][owner] += 1
        return iter(counts)

    return find


def _anywhere(names: list[str]) -> Finder:
    find = fragments_in(names)

    def found(documents: Documents) -> Iterator[Counter[int]]:
        return (Counter(find(" ".join(normalised(text)))) for text in documents.texts)

    return found


def _note(counts: Counter[int], names: list[str]) -> str:
    often = sorted(counts, key=lambda place: (-counts[place], place))
    rest = f" and {len(often) - _NAMED} more" if len(often) > _NAMED else ""
    return ", ".join(f"{names[place]} ({counts[place]})" for place in often[:_NAMED]) + rest
