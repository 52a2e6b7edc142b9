"""`sample`: keep a share of the documents, drawn by their ids.

A smaller share with the same seed is a part of the larger one, so a trial on 1% looks at documents that the full run
keeps. Shares that begin elsewhere and do not overlap have no document in common, which splits a corpus:

    {kind: sample, share: 0.95}                  to train on
    {kind: sample, share: 0.05, start: 0.95}     held out
"""

from __future__ import annotations

from typing import Literal

from burnish.config import setting, settings
from burnish.data.curate.documents import Documents
from burnish.data.curate.step import Decisions, RowStep, Rule, by_rules


@settings
class Sample(RowStep):
    """Keep a share of the documents."""

    kind: Literal["sample"] = "sample"
    share: float = setting(..., "of the documents to keep", gt=0, le=1)
    seed: int = setting(0, "another seed draws others", ge=0)
    start: float = setting(0.0, "where the share begins in the order of the draws", ge=0, lt=1)

    def __post_init__(self) -> None:
        if self.start + self.share > 1 + 1e-9:
            raise ValueError(
                f"start is {self.start:g} and share is {self.share:g}, together over 1; take {1 - self.start:g} or less"
            )

    @property
    def reasons(self) -> tuple[str, ...]:
        """Not drawn, on either side."""
        return ("not-drawn", "before-start")

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The draw, from [0, 1), must lie in the share."""
        return (
            Rule(reason="not-drawn", measure="draw", at_most=self.start + self.share, open=True),
            Rule(reason="before-start", measure="draw", at_least=self.start),
        )

    def decide(self, documents: Documents) -> Decisions:
        """Keep those whose draw lies in the share."""
        return by_rules(self, {"draw": documents.draws(self.seed, self.kind)}, len(documents))
