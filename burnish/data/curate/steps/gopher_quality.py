"""`gopher-quality`: the quality rules of Gopher (Rae et al. 2021, arXiv 2112.11446, appendix A.1.1).

    few-words, many-words      50 to 100,000 words
    short-words, long-words    mean length of a word 3 to 10 characters
    hashes, ellipses           either symbol at most 0.1 per word
    bullet-lines               at most 90% of lines begin with a bullet point
    ellipsis-lines             at most 30% of lines end with an ellipsis
    wordless                   at least 80% of words have a letter
    few-stop-words             at least two of: the, be, to, of, and, that, have, with

The paper leaves open what a word and a bullet point are. Here a word is what stands between white space; `#` is counted
by character, an ellipsis is `…` or three dots; bullet points are `BULLETS`. The paper counts stop words ("at least two
of") by kind or by occurrence, it does not say; here by occurrence, compared in lower case, without the punctuation
around them.
"""

from __future__ import annotations

from types import FunctionType
from typing import ClassVar, Literal, cast

import numpy as np

from burnish.config import setting, settings
from burnish.data.curate.documents import Documents
from burnish.data.curate.lines import lines_of
from burnish.data.curate.step import Decisions, RowStep, Rule, by_rules
from burnish.data.curate.words import Words
from burnish.store import Code

BULLETS = ("•", "‣", "⁃", "◦", "▪", "●", "○", "∙", "·", "-", "*")
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
_AROUND = ".,;:!?\"'()[]{}“”‘’«»*_"


@settings
class GopherQuality(RowStep):
    """Drop documents that are no running text."""

    source: ClassVar[str] = "Rae et al. 2021, arXiv 2112.11446, A.1.1"

    kind: Literal["gopher-quality"] = "gopher-quality"
    min_words: int = setting(50, "fewer are too few", unit="words", ge=0)
    max_words: int = setting(100_000, "more are too many", unit="words", ge=1)
    min_word_length: float = setting(3.0, "mean length of a word, at least", unit="characters", ge=0)
    max_word_length: float = setting(10.0, "mean length of a word, at most", unit="characters", gt=0)
    max_symbols: float = setting(0.1, "hash signs, and ellipses, per word", ge=0)
    max_bullet_lines: float = setting(0.9, "share of lines that begin with a bullet point", ge=0, le=1)
    max_ellipsis_lines: float = setting(0.3, "share of lines that end with an ellipsis", ge=0, le=1)
    min_words_with_letter: float = setting(0.8, "share of words that have a letter", ge=0, le=1)
    min_stop_words: int = setting(2, "occurrences of the most frequent English words", unit="words", ge=0)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """In the order of the paper."""
        return (
            Rule(reason="few-words", measure="words", at_least=self.min_words),
            Rule(reason="many-words", measure="words", at_most=self.max_words),
            Rule(reason="short-words", measure="word_length", at_least=self.min_word_length),
            Rule(reason="long-words", measure="word_length", at_most=self.max_word_length),
            Rule(reason="hashes", measure="hashes_per_word", at_most=self.max_symbols),
            Rule(reason="ellipses", measure="ellipses_per_word", at_most=self.max_symbols),
            Rule(reason="bullet-lines", measure="bullet_lines", at_most=self.max_bullet_lines),
            Rule(reason="ellipsis-lines", measure="ellipsis_lines", at_most=self.max_ellipsis_lines),
            Rule(reason="wordless", measure="words_with_letter", at_least=self.min_words_with_letter),
            Rule(reason="few-stop-words", measure="stop_words", at_least=self.min_stop_words),
        )

    def decide(self, documents: Documents) -> Decisions:
        """Measure, then obey the rules."""
        words, texts = documents.words, documents.texts
        per_word = np.where(words.counts > 0, words.counts, np.nan)
        bullets, ellipses = _line_shares(texts)
        measures = {
            "words": words.counts.astype(float),
            "word_length": words.sums(words.lengths) / per_word,
            "hashes_per_word": _counts(texts, "#") / per_word,
            "ellipses_per_word": (_counts(texts, "…") + _counts(texts, "...")) / per_word,
            "bullet_lines": bullets,
            "ellipsis_lines": ellipses,
            "words_with_letter": words.sums(words.spread(_has_letter(words))) / per_word,
            "stop_words": words.sums(words.spread(_is_stop_word(words))),
        }
        return by_rules(self, measures, len(documents))

    def code(self) -> tuple[Code, ...]:
        """What makes the words and the lines."""
        return (Words, cast(FunctionType, lines_of))


def _counts(texts: list[str], symbol: str) -> np.ndarray:
    return np.array([text.count(symbol) for text in texts], dtype=float)


def _has_letter(words: Words) -> np.ndarray:
    found = (word.isalpha() or any(map(str.isalpha, word)) for word in words.different)
    return np.fromiter(found, float, len(words.different))


def _is_stop_word(words: Words) -> np.ndarray:
    stop = frozenset(STOP_WORDS)
    found = (word.strip(_AROUND).lower() in stop for word in words.different)
    return np.fromiter(found, float, len(words.different))


def _line_shares(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The shares of lines that begin with a bullet point and that end with an ellipsis; NaN without lines."""
    bullets, ellipses = [], []
    for text in texts:
        lines = lines_of(text)
        number = len(lines) or np.nan
        bullets.append(sum(line.startswith(BULLETS) for line in lines) / number)
        ellipses.append(sum(line.endswith(("…", "...")) for line in lines) / number)
    return np.array(bullets, dtype=float), np.array(ellipses, dtype=float)
