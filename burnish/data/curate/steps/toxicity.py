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

from pathlib import Path
from types import FunctionType
from typing import Literal, cast

from burnish.config import setting, settings
from burnish.data.curate.classifier import Classifier, features, learned
from burnish.data.curate.documents import Documents
from burnish.data.curate.examples import drawn, examples_in, files_of, judged
from burnish.data.curate.step import Corpus, Decider, Decisions, RowStep, Rule, by_rules
from burnish.data.curate.words import Words
from burnish.errors import DataError
from burnish.store import Code


@settings
class Toxicity(RowStep):
    """Drop documents that a classifier finds to be toxic."""

    kind: Literal["toxicity"] = "toxicity"
    data: str = setting(..., "judged texts to learn from: a file, or a folder with files", source=True)
    label: str = setting("toxic", "the column that says true or 1 for toxic, false or 0 for not", min_length=1)
    max_toxicity: float = setting(0.5, "calibrated probability of being toxic, at most", ge=0, le=1)
    max_examples: int = setting(20_000, "of each class; of more some are drawn", unit="texts", ge=1)
    bits: int = setting(18, "2^bits weights; fewer make more words share one", ge=8, le=24)
    l2: float = setting(1e-4, "strength of the pull of the weights towards zero", gt=0)

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

    def prepare(self, folder: Path, corpus: Corpus) -> None:
        """Train the classifier, and say what is measured of it.

        Raises:
            DataError: there are too few examples, or a label is none.
        """
        toxic, others = judged(self.data, self.label, self.max_examples)
        classifier, measured = learned(toxic, others, bits=self.bits, l2=self.l2, names=("toxic", "other"))
        classifier.save(folder, measured)
        corpus.say(f"toxicity: {measured}")

    def decider(self, folder: Path) -> Decider:
        """Load the classifier once."""
        classifier = Classifier.load(folder)

        def decide(documents: Documents) -> Decisions:
            return by_rules(self, {"toxicity": classifier.probabilities(documents.words)}, len(documents))

        return decide

    def decide(self, documents: Documents) -> Decisions:
        """Nothing can be decided before the training.

        Raises:
            DataError: always.
        """
        raise DataError("toxicity: the classifier is trained by the run; use decider(folder) after prepare(folder)")

    def code(self) -> tuple[Code, ...]:
        """The classifier, its training, and what draws the examples."""
        functions = (learned, features, drawn, examples_in, judged)
        return (Classifier, Words, *(cast(FunctionType, function) for function in functions))
