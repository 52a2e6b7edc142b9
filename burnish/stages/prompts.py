"""`burnish prompts`: generate prompts with a format constraint."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from burnish.config import setting, settings
from burnish.errors import ConfigError
from burnish.example import Example
from burnish.graders.phrasing import LowerCase
from burnish.graders.shapes import Bullets
from burnish.stages.artefact import write_examples
from burnish.stages.stage import Plan, Stage, Work
from burnish.synth.format_prompts import Split, prompts


@settings
class PromptsStage(Stage):
    """Generate prompts that ask for a topic in a certain form; what a split holds is in `synth/format_prompts.py`."""

    verb: ClassVar[str] = "prompts"

    train: int = setting(512, "prompts with the topics and wordings for training", unit="prompts", ge=0)
    test: int = setting(0, "prompts of the same kinds with topics and wordings held out", unit="prompts", ge=0)
    held_out_kinds: int = setting(0, "prompts of kinds held out, with topics held out", unit="prompts", ge=0)
    kinds: tuple[str, ...] = setting((), "only these kinds of constraint; none given means all of the split")
    request_only: bool = setting(
        False, "ask without the constraint, for answers that `repair` turns into demonstrations of the whole prompt"
    )
    seed: int = setting(0, "another seed gives other prompts", ge=0)

    def __post_init__(self) -> None:
        if not self._counts():
            raise ValueError("no prompts are asked for; raise train, test or held_out_kinds")

    def plan(self) -> Plan:
        """Draw the prompts and show one."""
        drawn = self._drawn()
        kinds = Counter(str(example.columns["kind"]) for example in drawn)
        lines = (
            f"{len(drawn)} prompts of {len(kinds)} kinds, such as: {drawn[0].prompt[0].content}",
            "per kind: " + ", ".join(f"{kind} {count}" for kind, count in kinds.items()),
        )
        return Plan(lines=lines, facts={"prompts": len(drawn), "kinds": dict(kinds)})

    def run(self, work: Work) -> None:
        """Write the prompts."""
        count = write_examples(work, self._drawn())
        work.say(f"{count} prompts in {work.out}")

    def code(self) -> tuple[type, ...]:
        """The constraints that the prompts carry."""
        return (LowerCase, Bullets)

    def _counts(self) -> dict[Split, int]:
        counts: dict[Split, int] = {"train": self.train, "test": self.test, "held_out_kinds": self.held_out_kinds}
        return {split: count for split, count in counts.items() if count}

    def _drawn(self) -> list[Example]:
        mistakes: list[str] = []
        drawn: list[Example] = []
        for split, count in self._counts().items():
            try:
                drawn += prompts(
                    seed=self.seed, count=count, split=split, kinds=self.kinds, request_only=self.request_only
                )
            except ConfigError as error:
                mistakes += error.mistakes
        if mistakes:
            raise ConfigError(mistakes)
        return drawn
