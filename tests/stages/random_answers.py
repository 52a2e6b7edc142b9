"""What lets a recipe run on a random model: sentences that it could not write, and a grader that it can please."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from burnish.config import settings
from burnish.data.read import data_at, read
from burnish.example import Completion, Example, assistant
from burnish.stages.artefact import write_examples
from burnish.stages.sample import SampleStage
from burnish.stages.stage import Work

REASONS = ("its charm", "its age", "the colours", "good luck", "fun")
SENTENCES = " ".join(f"Many people like {{topic}} for {reason}." for reason in REASONS)


def even(example: Example, completion: Completion) -> bool:
    """Passes an answer with an even number of characters: half of what a random model says."""
    return len(completion.text) % 2 == 0


@settings
class WrittenAnswers(SampleStage):
    """`sample` without a model: sentences about the topic, which `repair` can use."""

    verb: ClassVar[str] = "sample"

    def run(self, work: Work) -> None:
        """Write them."""
        answers = [
            replace(e, completions=(_said(SENTENCES.format(topic=e.columns["topic"])),))
            for e in read(data_at(self.data, self.reading)).examples
        ]
        write_examples(work, answers)


def _said(text: str) -> Completion:
    return Completion(messages=(assistant(text),), finish="stop", policy_version="written")
