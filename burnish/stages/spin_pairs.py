"""`burnish spin-pairs`: pairs of a demonstration against the model's own answer, for self-play fine-tuning (SPIN).

    demonstrations ──► sample ──► spin-pairs ──► dpo ──► sample ──► ...

`burnish dpo` with these pairs, from the model that answered, is a round of SPIN: its reference is where it starts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from burnish.config import setting, settings
from burnish.data.read import Reading, data_at, read
from burnish.errors import DataError
from burnish.example import Example
from burnish.graders.words import words
from burnish.stages.artefact import answered_in, write_examples, write_scores
from burnish.stages.stage import Plan, Stage, Work
from burnish.synth.spin import SelfPlay, demonstrations_by_prompt

_OUTCOMES = ("paired", "same", "no_demonstration", "unanswered")


@settings
class SpinPairsStage(Stage):
    """Make pairs of demonstrations and a model's own answers; prompts that give none are counted by the reason."""

    verb: ClassVar[str] = "spin-pairs"

    data: str = setting(..., "the model's own answers: the folder of a `sample` run, or a file", source=True)
    demonstrations: str = setting(..., "answers to be preferred, to the same prompts", source=True)
    pairs_per_prompt: int = setting(1, "most answers of one prompt that become pairs", unit="pairs", ge=1)
    reading: Reading = setting(Reading(), "how the demonstrations are read")

    def plan(self) -> Plan:
        """Read both and count the pairs."""
        pairs, counts = self._pairs()
        return Plan(lines=(_line(counts),), facts={"pairs": len(pairs), **counts})

    def run(self, work: Work) -> None:
        """Write the pairs and what became of the prompts."""
        pairs, counts = self._pairs()
        write_examples(work, pairs)
        write_scores(work, {**counts, **_answers(pairs)})
        work.say(_line(counts))

    def code(self) -> tuple[type, ...]:
        """What pairs."""
        return (SelfPlay,)

    def _pairs(self) -> tuple[list[Example], dict[str, int]]:
        demonstrations = demonstrations_by_prompt(read(data_at(self.demonstrations, self.reading)).examples)
        play = SelfPlay(demonstrations=demonstrations, pairs_per_prompt=self.pairs_per_prompt)
        answered = answered_in(self.data)
        pairs, outcomes = list[Example](), Counter[str]()
        for example in answered:
            found, outcome = play.pairs(example)
            pairs += found
            outcomes[outcome] += 1
        counts = {"pairs": len(pairs), **{name: outcomes[name] for name in _OUTCOMES}}
        if not pairs:
            raise DataError(f"{self.data}: {len(answered)} prompts give no pair: {_line(counts)}{_remedy(counts)}")
        return pairs, counts


def _answers(pairs: Sequence[Example]) -> dict[str, Any]:
    """Mean words of both sides, and how many of the model's answers the token limit cut."""
    demonstrations, own = zip(*((len(words(c.text)) for c in pair.completions) for pair in pairs), strict=True)
    cut = sum(pair.completions[1].finish == "length" for pair in pairs)
    return {"words": {"chosen": sum(demonstrations) / len(pairs), "rejected": sum(own) / len(pairs)}, "cut": cut}


def _line(counts: Mapping[str, int]) -> str:
    return (
        f"{counts['pairs']} pairs of {counts['paired']} prompts; skipped: {counts['same']} answered as demonstrated, "
        f"{counts['no_demonstration']} without a demonstration, {counts['unanswered']} unanswered"
    )


def _remedy(counts: Mapping[str, int]) -> str:
    if counts["no_demonstration"]:
        return "; expected answers to the prompts of the demonstrations: sample with them as the data"
    return "; the model answers as demonstrated, and there is nothing left to learn from them"
