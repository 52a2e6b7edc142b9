"""`language`: keep the documents that are written in some languages.

    p(language | text) of py3langid, over its 140 labels;  score = sum of p over the languages to keep

py3langid (BSD-3-Clause) is a naive Bayes classifier on byte n-grams. It was chosen over lingua because it is 4.6 MB of
plain numpy instead of a compiled wheel of 96 MB, carries its model, and so works offline everywhere; on web text it
takes about 1 ms for 2,000 characters. Its scores are divided by the square root of the bytes before they are
normalised, so that a probability means the same for short and long texts.

The probabilities of all languages to keep are added: what could be Danish or Norwegian is kept by whoever keeps both.
Texts that are of no language (numbers, code) are `zxx`, or spread over many labels, and stay below the threshold. What
is looked at is the beginning of the text, so the time per document is bounded; a document that changes its language
further down is not noticed.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from burnish.config import nearest, setting, settings
from burnish.data.curate.documents import Documents
from burnish.data.curate.step import Decider, Decisions, RowStep, Rule, by_rules
from burnish.errors import ConfigError, MissingExtra
from burnish.store import Code

Guess = Callable[[str], Mapping[str, float]]
"""The probability of each language for a text."""

_DIGITS = 6
"""Probabilities are rounded, so that the last bits of another machine's arithmetic change nothing."""


@settings
class Language(RowStep):
    """Drop documents in other languages."""

    source: ClassVar[str] = "py3langid, after Lui and Baldwin 2012 (langid.py)"

    kind: Literal["language"] = "language"
    keep: tuple[str, ...] = setting(("en",), "languages, as ISO 639 codes such as [en, de]", min_length=1)
    min_probability: float = setting(0.5, "that the text is in one of them, at least", ge=0, le=1)
    max_characters: int = setting(2000, "of the beginning that are looked at", unit="characters", ge=1)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Not in a language to keep."""
        return ("other-language",)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The probability of all languages to keep together."""
        return (Rule(reason="other-language", measure="probability", at_least=self.min_probability),)

    def check(self) -> None:
        """Refuse languages that the classifier does not know.

        Raises:
            MissingExtra: py3langid is not installed.
            ConfigError: lists the unknown languages.
        """
        _refuse_missing()
        known = _identifier().labels
        mistakes = [
            f"keep: no language '{code}' is known; {nearest(code, known)}" for code in self.keep if code not in known
        ]
        if mistakes:
            raise ConfigError(mistakes)

    def decider(self, folder: Path) -> Decider:
        """Load the classifier once."""
        rank = _identifier().rank

        def guess(text: str) -> Mapping[str, float]:
            return dict(rank(text))

        return lambda documents: self.decided(documents, guess)

    def decide(self, documents: Documents) -> Decisions:
        """Load the classifier and decide."""
        return self.decider(Path())(documents)

    def decided(self, documents: Documents, guess: Guess) -> Decisions:
        """Keep what is probably in one of the languages; the note names the most probable one.

        Args:
            documents: to decide about.
            guess: the classifier.
        """
        found = [guess(text[: self.max_characters]) for text in documents.texts]
        wanted = [round(sum(one.get(code, 0.0) for code in dict.fromkeys(self.keep)), _DIGITS) for one in found]
        decisions = by_rules(self, {"probability": np.array(wanted, dtype=float)}, len(documents))
        best = [max(one, key=one.__getitem__) for one in found]
        notes = {row: f"{best[row]} {one[best[row]]:.2f}" for row, one in enumerate(found)}
        return replace(decisions, notes=notes)

    def code(self) -> tuple[Code, ...]:
        """The classifier, where it is installed."""
        if importlib.util.find_spec("py3langid") is None:
            return ()
        from py3langid.langid import LanguageIdentifier

        return (LanguageIdentifier,)


def _refuse_missing() -> None:
    if importlib.util.find_spec("py3langid") is None:
        raise MissingExtra("py3langid", "data")


@functools.cache
def _identifier() -> Any:
    """The classifier with normalised probabilities, loaded once in a process; nothing here restricts its languages."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
