"""`quality`: drop what a classifier, trained by the run on the user's examples, finds to be of low quality.

    {kind: trusted, trusted: wiki.jsonl}                    good: the trusted texts; bad: texts of the corpus itself
    {kind: trusted, trusted: wiki.jsonl, raw: crawl.jsonl}  bad: those of a file
    {kind: labelled, data: judged.jsonl, label: good}       a column says true or false, 1 or 0

Trusted against raw is what GPT-3 was filtered by (Brown et al. 2020, appendix A). All raw text is taken for bad there,
though some is good; so a raw text with a probability of one half is as much like the trusted texts as like the raw
ones. GPT-3 keeps a document by a random draw around its score; here the threshold is plain, so that `explain` and
`what-if` can speak about it. The classifier and its calibration: burnish.data.curate.classifier.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import ClassVar, Literal, cast

from burnish.config import setting, settings
from burnish.data.curate.classified import ByClassifier
from burnish.data.curate.examples import Example, drawn, examples_in, examples_of, files_of, judged
from burnish.data.curate.step import Corpus, Rule
from burnish.store import Code


@settings
class Trusted:
    """Good texts, and raw ones to tell them from."""

    kind: Literal["trusted"] = "trusted"
    trusted: str = setting(..., "texts of the quality that is wanted: a file, or a folder with files", source=True)
    raw: str | None = setting(None, "texts to tell them from; none: those of the corpus itself", source=True)


@settings
class Labelled:
    """Texts that someone judged."""

    kind: Literal["labelled"] = "labelled"
    data: str = setting(..., "judged texts: a file, or a folder with files", source=True)
    label: str = setting("label", "the column that says true or 1 for good, false or 0 for bad", min_length=1)


@settings
class Quality(ByClassifier):
    """Drop documents that a classifier finds to be of low quality."""

    classes: ClassVar[tuple[str, str]] = ("good", "bad")
    source: ClassVar[str] = "after Brown et al. 2020, arXiv 2005.14165, appendix A"

    kind: Literal["quality"] = "quality"
    examples: Trusted | Labelled = setting(..., "what the classifier learns from")
    min_quality: float = setting(0.5, "calibrated probability of being good, at least", ge=0, le=1)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The calibrated probability."""
        return (Rule(reason="low-quality", measure="quality", at_least=self.min_quality),)

    def check(self) -> None:
        """Refuse files that are not there.

        Raises:
            DataError: names the file.
        """
        for path in self._paths():
            files_of(path)

    def _paths(self) -> Iterator[str]:
        if isinstance(self.examples, Labelled):
            yield self.examples.data
        else:
            yield self.examples.trusted
            if self.examples.raw is not None:
                yield self.examples.raw

    def examples_of_classes(self, corpus: Corpus) -> tuple[list[Example], list[Example]]:
        """Good and bad texts."""
        if isinstance(self.examples, Labelled):
            return judged(self.examples.data, self.examples.label, self.max_examples)
        return _against_raw(self.examples, corpus, self.max_examples)

    def code(self) -> tuple[Code, ...]:
        """With what tells trusted from raw texts."""
        return (*super().code(), cast(FunctionType, _against_raw))


def _against_raw(examples: Trusted, corpus: Corpus, count: int) -> tuple[list[Example], list[Example]]:
    """The trusted and the raw texts; a raw text that is also a trusted one is left out."""
    good = drawn(examples_in(examples.trusted), count=count)
    known = {example.draw for example in good}
    raw = examples_in(examples.raw) if examples.raw is not None else examples_of(corpus)
    return good, drawn((example for example in raw if example.draw not in known), count=count)
