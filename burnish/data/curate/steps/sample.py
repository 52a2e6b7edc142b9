"""`sample`: keep a share of the documents, drawn by their ids.

A smaller share with the same seed is a part of the larger one, so a trial on 1% looks at documents that the full run
keeps.
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

    @property
    def reasons(self) -> tuple[str, ...]:
        """Not drawn."""
        return ("not-drawn",)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The draw, from [0, 1), must be below the share."""
        return (Rule(reason="not-drawn", measure="draw", at_most=self.share, open=True),)

    def decide(self, documents: Documents) -> Decisions:
        """Keep those whose draw is below the share."""
        return by_rules(self, {"draw": documents.draws(self.seed, self.kind)}, len(documents))
