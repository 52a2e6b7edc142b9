"""`urls`: documents by their address, from lists in files that have one entry a line.

    block_domains   domains, hosts and IP addresses that go, with everything below them
    allow_domains   those that stay whatever the other lists say; with `only_allowed`, all others go
    allow_patterns  the same by regular expression, which may be a word: `/wiki/`
    words           whole words of an address: `casino` is found in `/my-casino/`, not in `/casinos/`
    fragments       pieces that may stand anywhere: `casino` is found in `bigcasino77.net` too
    patterns        regular expressions (RE2, case ignored), searched in the address

Words and fragments are compared in lower case, after `%20` and the like were resolved; `max_words` different ones are
let through, which RefinedWeb (Penedo et al. 2023, appendix G.1) does for words that are harmless alone.

Patterns are matched by RE2, which needs time in proportion to the address whatever the pattern is; in exchange it has
no look-around and no back-references, and refuses them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any, ClassVar, Literal, cast
from urllib.parse import unquote

import numpy as np

from burnish.config import setting, settings
from burnish.data.curate.addresses import domain_list, host_of, listed_name
from burnish.data.curate.documents import Documents
from burnish.data.curate.fragments import fragments_in
from burnish.data.curate.listing import entries
from burnish.data.curate.phrases import normalised
from burnish.data.curate.step import Decider, Decisions, RowStep, Rule, kept
from burnish.errors import DataError, MissingExtra
from burnish.store import Code

Patterns = tuple[tuple[str, Callable[[str], Any]], ...]
"""Regular expressions with how to search them."""

REASONS = ("no-url", "blocked-domain", "blocked-pattern", "listed-words", "not-allowed")
"""In the order in which they are tried."""


@settings
class Urls(RowStep):
    """Drop documents for where they were found."""

    source: ClassVar[str] = "in the manner of Penedo et al. 2023, arXiv 2306.01116, appendix G.1"

    kind: Literal["urls"] = "urls"
    block_domains: tuple[str, ...] = setting((), "files with domains that go", source=True)
    allow_domains: tuple[str, ...] = setting((), "files with domains that stay whatever else is listed", source=True)
    allow_patterns: tuple[str, ...] = setting((), "files with regular expressions (RE2) of what stays", source=True)
    only_allowed: bool = setting(False, "drop what is on no list of what is allowed")
    words: tuple[str, ...] = setting((), "files with whole words of addresses", source=True)
    fragments: tuple[str, ...] = setting((), "files with pieces of addresses, found anywhere", source=True)
    max_words: int = setting(0, "different listed words and fragments that an address may have", unit="words", ge=0)
    patterns: tuple[str, ...] = setting((), "files with regular expressions (RE2)", source=True)
    without_url: Literal["keep", "drop"] = setting("keep", "what happens to documents without a usable address")

    def __post_init__(self) -> None:
        lists = (self.block_domains, self.words, self.fragments, self.patterns)
        if not any(lists) and not self.only_allowed and self.without_url == "keep":
            raise ValueError("nothing would be dropped: give block_domains, words, fragments, patterns or only_allowed")
        if self.only_allowed and not self.allow_domains and not self.allow_patterns:
            raise ValueError("only_allowed would drop everything: give allow_domains or allow_patterns")

    @property
    def reasons(self) -> tuple[str, ...]:
        """In the order in which they are tried."""
        return REASONS

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The number of listed words, if there are any."""
        rule = Rule(reason="listed-words", measure="listed_words", at_most=self.max_words)
        return (rule,) if self.words or self.fragments else ()

    @property
    def measures(self) -> tuple[str, ...]:
        """Different listed words and fragments in an address; NaN without an address, or where it is allowed."""
        return ("listed_words",)

    def check(self) -> None:
        """Refuse lists that cannot be used, and packages that are missing."""
        self._lists()

    def decider(self, folder: Path) -> Decider:
        """Load the lists."""
        lists = self._lists()
        return lambda documents: self._decided(documents, lists)

    def decide(self, documents: Documents) -> Decisions:
        """Decides with lists that are read again; `decider` reads them once."""
        return self.decider(Path())(documents)

    def _lists(self) -> _Lists:
        fragments = sorted({entry.text.lower() for entry in entries(self.fragments)})
        return _Lists(
            blocked=domain_list(self.block_domains),
            allowed=domain_list(self.allow_domains),
            allowing=tuple(_patterns(self.allow_patterns)),
            words=frozenset(_words(self.words)),
            fragments=fragments,
            find=fragments_in(fragments) if fragments else lambda text: iter(()),
            patterns=tuple(_patterns(self.patterns)),
        )

    def _decided(self, documents: Documents, lists: _Lists) -> Decisions:
        listed = np.full(len(documents), np.nan)
        decisions = kept(len(documents))
        notes: dict[int, str] = {}
        for row, url in enumerate(documents.urls):
            reason, note, listed[row] = self._one(url, lists)
            if reason is not None:
                decisions.dropped[row], decisions.reasons[row] = True, REASONS.index(reason)
            if note:
                notes[row] = note
        return Decisions(
            dropped=decisions.dropped,
            reasons=decisions.reasons,
            scores=listed,
            measures={"listed_words": listed},
            notes=notes,
        )

    def _one(self, url: str | None, lists: _Lists) -> tuple[str | None, str, float]:
        """Reason, note and number of listed words of one address."""
        host = host_of(url) if url else None
        if url is None or host is None:
            return ("no-url" if self.without_url == "drop" else None), "", np.nan
        if (name := listed_name(host, lists.allowed)) is not None:
            return None, f"allowed: {name} ({lists.allowed[name]})", np.nan
        if (pattern := _first(lists.allowing, url)) is not None:
            return None, f"allowed: {pattern}", np.nan
        listed = lists.listed(unquote(url))
        words, count = ", ".join(listed), float(len(listed))
        if (name := listed_name(host, lists.blocked)) is not None:
            return "blocked-domain", f"{name} ({lists.blocked[name]})", count
        if (pattern := _first(lists.patterns, url)) is not None:
            return "blocked-pattern", pattern, count
        if len(listed) > self.max_words:
            return "listed-words", words, count
        return ("not-allowed" if self.only_allowed else None), words, count

    def code(self) -> tuple[Code, ...]:
        """What reads the lists and looks for their entries."""
        functions = (entries, domain_list, fragments_in, normalised)
        return tuple(cast(FunctionType, function) for function in functions)


@dataclass(frozen=True, kw_only=True)
class _Lists:
    """The lists, loaded: domains by name with their places, words, fragments, and patterns with how to search them."""

    blocked: dict[str, str]
    allowed: dict[str, str]
    allowing: Patterns
    words: frozenset[str]
    fragments: Sequence[str]
    find: Callable[[str], Iterator[int]]
    patterns: Patterns

    def listed(self, url: str) -> list[str]:
        """The different listed words and fragments of an address, sorted."""
        words = self.words.intersection(normalised(url)) if self.words else frozenset()
        return sorted(words | {self.fragments[place] for place in self.find(url.lower())})


def _first(patterns: Patterns, url: str) -> str | None:
    """The first pattern that is found in an address."""
    return next((text for text, search in patterns if search(url)), None)


def _words(paths: Sequence[str]) -> Iterator[str]:
    for entry in entries(paths):
        words = normalised(entry.text)
        if len(words) != 1:
            raise DataError(
                f"{entry.place}: '{entry.text}' is not one word; what has signs or blanks goes to fragments"
            )
        yield words[0]


def _patterns(paths: Sequence[str]) -> Iterator[tuple[str, Callable[[str], Any]]]:
    if not paths:
        return
    try:
        import re2
    except ImportError:
        raise MissingExtra("google-re2", "data") from None
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    for entry in entries(paths):
        try:
            yield entry.text, re2.compile(entry.text, options).search
        except re2.error as error:
            cause = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
            raise DataError(f"{entry.place}: '{entry.text}' is no pattern of RE2: {cause}") from error
