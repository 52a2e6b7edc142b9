"""`toxicity`: drop what a classifier, trained by the run on texts that somebody judged, finds to be toxic.

    {kind: toxicity, data: judged.jsonl, label: toxic, max_toxicity: 0.5}

The classifier is that of `quality` (burnish.data.curate.classifier): hashed words and pairs of them, calibrated on
texts that training did not see. Its probability is for the case that toxic and other texts are equally many; a crawl
has far fewer toxic ones, so of what goes at a limit of one half a large part may be harmless. What it costs is best
seen at the border: in the report, and by `what-if` with a higher limit.

It learns what the judges called toxic, their mistakes included. Such labels follow words more than what is said with
them, and texts by and about insulted people suffer first (Sap et al. 2019, The Risk of Racial Bias in Hate Speech
Detection; Welbl et al. 2021, arXiv 2109.07445). `toxic-words` beside it finds what is listed, and says which word.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from burnish.config import setting, settings
from burnish.data.curate.classified import ByClassifier
from burnish.data.curate.examples import Example, files_of, judged
from burnish.data.curate.step import Corpus, Rule


@settings
class Toxicity(ByClassifier):
    """Drop documents that a classifier finds to be toxic."""

    classes: ClassVar[tuple[str, str]] = ("toxic", "other")

    kind: Literal["toxicity"] = "toxicity"
    data: str = setting(..., "judged texts to learn from: a file, or a folder with files", source=True)
    label: str = setting("toxic", "the column that says true or 1 for toxic, false or 0 for not", min_length=1)
    max_toxicity: float = setting(0.5, "calibrated probability of being toxic, at most", ge=0, le=1)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The calibrated probability."""
        return (Rule(reason="toxic", measure="toxicity", at_most=self.max_toxicity),)

    def check(self) -> None:
        """Refuse files that are not there.

        Raises:
            DataError: names the file.
        """
        files_of(self.data)

    def examples_of_classes(self, corpus: Corpus) -> tuple[list[Example], list[Example]]:
        """Toxic and other texts."""
        return judged(self.data, self.label, self.max_examples)
