"""`burnish repair`: turn a model's own samples into demonstrations that satisfy their constraints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from burnish.config import setting, settings
from burnish.errors import DataError
from burnish.example import Example
from burnish.graders.format import FormatGrader, constraint_of, topic_of
from burnish.graders.phrasing import LowerCase
from burnish.graders.shapes import Bullets
from burnish.graders.words import words
from burnish.stages.artefact import answered_in, write_examples, write_scores
from burnish.stages.stage import Plan, Stage, Work
from burnish.synth.draft import Draft
from burnish.synth.repair import demonstration


@settings
class RepairStage(Stage):
    """Make one demonstration per prompt from its samples; a prompt without a repairable sample is dropped, counted."""

    verb: ClassVar[str] = "repair"

    data: str = setting(..., "prompts with sampled answers: a run's folder or a file", source=True)
    keep_passing: bool = setting(True, "take a finished sample that passes as it is before repairing one")
    max_words: int = setting(60, "longest demonstration", unit="words", ge=20)

    def plan(self) -> Plan:
        """Read the data and check that every prompt has a constraint and a topic."""
        examples = answered_in(self.data)
        for example in examples:
            constraint_of(example)
            topic_of(example)
        line = f"demonstrations from the samples of {len(examples)} prompts"
        return Plan(lines=(line,), facts={"prompts": len(examples)})

    def run(self, work: Work) -> None:
        """Write the demonstrations and what became of the prompts."""
        examples = answered_in(self.data)
        made = [demonstration(e, keep_passing=self.keep_passing, max_words=self.max_words) for e in examples]
        demonstrations = [one for one in made if one is not None]
        if not demonstrations:
            raise DataError(
                f"{self.data}: no sample of {len(examples)} prompts can be repaired; "
                "they need a whole sentence that names the topic. Sample more answers, or longer ones"
            )
        write_examples(work, demonstrations)
        scores = _scores(examples, made)
        write_scores(work, scores)
        work.say("{made} demonstrations ({kept} samples kept as they are), {dropped} prompts dropped".format(**scores))

    def code(self) -> tuple[type, ...]:
        """What judges and drafts."""
        return (FormatGrader, LowerCase, Bullets, Draft)


def _scores(examples: Sequence[Example], made: Sequence[Example | None]) -> dict[str, Any]:
    counts: dict[str, Counter[str]] = {}
    for example, one in zip(examples, made, strict=True):
        outcome = "dropped" if one is None else "kept" if _is_kept(example, one) else "repaired"
        counts.setdefault(str(example.columns.get("kind", constraint_of(example).kind)), Counter())[outcome] += 1
    lengths = [len(words(one.completions[0].text)) for one in made if one is not None]
    total = sum(counts.values(), Counter[str]())
    return {
        "made": len(lengths),
        **_outcomes(total),
        "mean_words": sum(lengths) / len(lengths),
        "kinds": {kind: _outcomes(count) for kind, count in sorted(counts.items())},
    }


def _outcomes(count: Counter[str]) -> dict[str, int]:
    return {name: count[name] for name in ("kept", "repaired", "dropped")}


def _is_kept(example: Example, made: Example) -> bool:
    return any(sample.messages == made.completions[0].messages for sample in example.completions)
