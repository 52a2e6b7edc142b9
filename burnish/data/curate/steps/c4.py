"""`c4`: the rules of the Colossal Clean Crawled Corpus (Raffel et al. 2020, arXiv 1910.10683, section 2.2).

Lines are taken out of a text, and the document is dropped for what the text as a whole shows:

    lines        no end of a sentence at their end; fewer than 5 words; the word "javascript"; a phrase of a cookie or
                 privacy notice (`POLICIES`); a word of more than 1,000 characters
    citations    `[1]`, `[edit]`, `[citation needed]` are taken out of the text first
    braces       dropped: a curly bracket, which is more often code than text
    lorem-ipsum  dropped: the phrase "lorem ipsum"
    few-sentences  dropped: fewer than 3 sentences are left

A page is dropped for braces or lorem ipsum wherever they stand, in a line that would go too, as in the paper. The
paper's list of offensive words is the matter of the step for toxicity, its language test that of the step for
languages, and its deduplication of three-sentence spans that of the corpus steps. The paper says nothing of long words;
its published code has that rule. Sentences are counted by the marks `.`, `!`, `?` that end one.

`terminal_punctuation: false` leaves the first rule on lines out, as FineWeb does, since it takes the most.
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal

import numpy as np

from burnish.config import setting, settings
from burnish.data.curate.documents import Documents
from burnish.data.curate.step import Decisions, RowStep, Rule

POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
ENDS = (".", "!", "?", '"', "”")
LINES = ("unended-line", "short-line", "javascript-line", "policy-line", "long-word-line")
"""Why a line is taken out, in the order in which the rules are tried; counted in the measures."""

_CITATION = re.compile(r"\[(?:\d{1,5}|edit|citation needed)\]")
_SENTENCE = re.compile(r"[.!?](?=[\s\"'”’)\]]|$)")
_LONG_WORD = 1000


@settings
class C4(RowStep):
    """Take out lines that are not sentences; drop pages that are code, placeholders or too short."""

    source: ClassVar[str] = "Raffel et al. 2020, arXiv 1910.10683, section 2.2"

    kind: Literal["c4"] = "c4"
    terminal_punctuation: bool = setting(True, "take out lines that do not end a sentence")
    min_line_words: int = setting(5, "lines with fewer are taken out", unit="words", ge=0)
    citations: bool = setting(True, "take citation marks out")
    braces: bool = setting(True, "drop pages with curly brackets")
    min_sentences: int = setting(3, "pages with fewer are dropped", unit="sentences", ge=0)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What drops a page, then what an edit is called."""
        return ("braces", "lorem-ipsum", "few-sentences", "cleaned")

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The number of sentences that are left."""
        return (Rule(reason="few-sentences", measure="sentences", at_least=self.min_sentences),)

    @property
    def measures(self) -> tuple[str, ...]:
        """Sentences that are left, and the lines taken out by each rule."""
        return ("sentences", *LINES)

    def decide(self, documents: Documents) -> Decisions:
        """Clean each text, and drop those of which too little is left."""
        count = len(documents)
        reasons, texts = np.full(count, -1), {}
        rows = np.zeros((count, len(self.measures)))
        for row, text in enumerate(documents.texts):
            left, gone = self._cleaned(text)
            rows[row] = (len(_SENTENCE.findall(left)), *gone)
            if (why := self._why(text)) is not None:
                reasons[row] = self.reasons.index(why)
            elif left != text:
                texts[row] = left
        measures = dict(zip(self.measures, rows.T, strict=True))
        few = self.rules[0].fails(measures["sentences"]) & (reasons < 0)
        reasons[few] = self.reasons.index("few-sentences")
        dropped = reasons >= 0
        texts = {row: text for row, text in texts.items() if not dropped[row]}
        reasons[list(texts)] = self.reasons.index("cleaned")
        return Decisions(dropped=dropped, reasons=reasons, texts=texts, scores=measures["sentences"], measures=measures)

    def _why(self, text: str) -> str | None:
        """What drops the page whatever is left of it."""
        if self.braces and ("{" in text or "}" in text):
            return "braces"
        return "lorem-ipsum" if "lorem ipsum" in text.lower() else None

    def _cleaned(self, text: str) -> tuple[str, list[int]]:
        """The text without the lines that go, and how many went by each rule; the text itself if none goes."""
        gone = [0] * len(LINES)
        left: list[str] = []
        whole = _CITATION.sub("", text) if self.citations and "[" in text else text
        for line in whole.split("\n"):
            bare = line.strip()
            why = self._line(bare) if bare else None
            if why is not None:
                gone[why] += 1
            elif bare or (left and left[-1].strip()):  # where lines go, the blank ones around them become one
                left.append(line)
        return ("\n".join(left).rstrip() if any(gone) else whole), gone

    def _line(self, line: str) -> int | None:
        """The place in `LINES` of the rule that takes a line out."""
        if self.terminal_punctuation and (not line.endswith(ENDS) or line.endswith("...")):
            return 0
        words = line.split()
        if len(words) < self.min_line_words:
            return 1
        low = line.lower()
        if "javascript" in low:
            return 2
        if any(phrase in low for phrase in POLICIES):
            return 3
        return 4 if len(line) > _LONG_WORD and any(len(word) > _LONG_WORD for word in words) else None
