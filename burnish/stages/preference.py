"""`burnish dpo`, `ipo`, `kto`, `orpo`, `simpo`, `plackett-luce`: align a model with preferences.

What they share is the reference, the model that log-ratios are measured from: where the run starts (with an adapter,
the same model with the adapter off), another model, or none for objectives that need none. Its log-probs are computed
once and shared by runs, so the second run of a sweep over beta does no reference pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from burnish.batch import Tree
from burnish.config import setting, settings
from burnish.objectives.dpo import DPO
from burnish.objectives.ipo import IPO
from burnish.objectives.kto import KTO, with_mismatched
from burnish.objectives.objective import Objective
from burnish.objectives.orpo import ORPO
from burnish.objectives.plackett_luce import PlackettLuce
from burnish.objectives.simpo import SimPO
from burnish.stages.policy import PolicyStage
from burnish.stages.prepare import Prepared
from burnish.stages.reference import COLUMN, check_reference

START = "start"


@settings
class PreferenceStage(PolicyStage):
    """The fields of every preference verb."""

    reference: str | None = setting(
        START,
        "model that log-ratios are measured from: start (of this run), none, or a model named as in --model",
        source=True,
        own_words=(START,),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        kind, needed = type(self.goal()).__name__, COLUMN in self.goal().needs
        if needed and self.reference is None:
            raise ValueError(
                f"{kind} with these settings measures from a reference, and reference is none; type --reference start "
                "or name a model (or, where the objective has it, type --objective.reference_free true)"
            )
        if not needed and self.other_reference() is not None:
            raise ValueError(
                f"reference is '{self.reference}', and {kind} with these settings reads none; leave --reference out"
            )

    def other_reference(self) -> str | None:
        """The model that `reference` names, None for the start."""
        return None if self.reference == START else self.reference

    def prepared(self, say: Callable[[str], None]) -> Prepared:
        """The data as trees, which must be the reference's too."""
        prepared = super().prepared(say)
        if (other := self.other_reference()) is not None:
            check_reference(other, prepared, self.template, model=self.model)
        return prepared


@settings
class DPOStage(PreferenceStage):
    """Train on pairs of a chosen and a rejected answer."""

    verb: ClassVar[str] = "dpo"

    objective: DPO = setting(DPO(), "the loss")

    def goal(self) -> Objective:
        """DPO as set."""
        return self.objective


@settings
class IPOStage(PreferenceStage):
    """Train on pairs towards a fixed margin, which labels without noise cannot push to infinity."""

    verb: ClassVar[str] = "ipo"

    objective: IPO = setting(IPO(), "the loss")

    def goal(self) -> Objective:
        """IPO as set."""
        return self.objective


@settings
class KTOStage(PreferenceStage):
    """Train on single answers labelled desirable or not; pairs are taken apart."""

    verb: ClassVar[str] = "kto"

    objective: KTO = setting(KTO(), "the loss")

    def goal(self) -> Objective:
        """KTO as set."""
        return self.objective

    def rows(self, trees: Sequence[Tree]) -> Sequence[Tree]:
        """Each prompt with answers of others behind it, for the KL term."""
        return with_mismatched(
            trees,
            pool=self.objective.pool,
            batch_size=self.train.batch_size,
            seed=self.seed,
            max_tokens=self.text.max_tokens,
        )


@settings
class ORPOStage(PreferenceStage):
    """Train on pairs by likelihood and odds ratio at once, from a base model too."""

    verb: ClassVar[str] = "orpo"

    objective: ORPO = setting(ORPO(), "the loss")

    def goal(self) -> Objective:
        """ORPO as set."""
        return self.objective


@settings
class SimPOStage(PreferenceStage):
    """Train on pairs by the mean log-prob of a token, without a reference."""

    verb: ClassVar[str] = "simpo"

    objective: SimPO = setting(SimPO(), "the loss")

    def goal(self) -> Objective:
        """SimPO as set."""
        return self.objective


@settings
class PlackettLuceStage(PreferenceStage):
    """Train on rankings of any number of answers."""

    verb: ClassVar[str] = "plackett-luce"

    objective: PlackettLuce = setting(PlackettLuce(), "the loss")

    def goal(self) -> Objective:
        """Plackett-Luce as set."""
        return self.objective
