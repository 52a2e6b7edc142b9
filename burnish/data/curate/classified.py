"""What `quality` and `toxicity` share: a step that drops by the calibrated probability of a classifier it trains."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from types import FunctionType
from typing import ClassVar, cast

from burnish.config import setting, settings
from burnish.data.curate.classifier import Classifier, features, learned
from burnish.data.curate.documents import Documents
from burnish.data.curate.examples import Example, drawn, examples_in, judged
from burnish.data.curate.step import Corpus, Decider, Decisions, RowStep, by_rules
from burnish.data.curate.words import Words
from burnish.errors import DataError
from burnish.store import Code


@settings
class ByClassifier(RowStep):
    """A step with a classifier of two classes (burnish.data.curate.classifier); its one rule is about the first.

    Class attributes:
        classes: how the two are called in messages.
    """

    classes: ClassVar[tuple[str, str]]

    max_examples: int = setting(20_000, "of each class; of more some are drawn", unit="texts", ge=1)
    bits: int = setting(18, "2^bits weights; fewer make more words share one", ge=8, le=24)
    l2: float = setting(1e-4, "strength of the pull of the weights towards zero", gt=0)

    @abstractmethod
    def examples_of_classes(self, corpus: Corpus) -> tuple[list[Example], list[Example]]:
        """What the classifier learns from, for each class.

        Args:
            corpus: the documents that reach the step.
        """

    def prepare(self, folder: Path, corpus: Corpus) -> None:
        """Train the classifier, and say what is measured of it.

        Raises:
            DataError: there are too few examples, or a label is none.
        """
        first, second = self.examples_of_classes(corpus)
        classifier, measured = learned(first, second, bits=self.bits, l2=self.l2, names=self.classes)
        classifier.save(folder, measured)
        corpus.say(f"{self.kind}: {measured}")

    def decider(self, folder: Path) -> Decider:
        """Load the classifier once."""
        classifier = Classifier.load(folder)
        (rule,) = self.rules

        def decide(documents: Documents) -> Decisions:
            return by_rules(self, {rule.measure: classifier.probabilities(documents.words)}, len(documents))

        return decide

    def decide(self, documents: Documents) -> Decisions:
        """Nothing can be decided before the training.

        Raises:
            DataError: always.
        """
        raise DataError(f"{self.kind}: the classifier is trained by the run; use decider(folder) after prepare(folder)")

    def code(self) -> tuple[Code, ...]:
        """The classifier, its training, and what draws the examples."""
        functions = (learned, features, drawn, examples_in, judged)
        return (ByClassifier, Classifier, Words, *(cast(FunctionType, function) for function in functions))
