"""`burnish pairs`: make preference pairs of graded samples, the highest score against the lowest.

With `flip` a share of the pairs is turned round, as annotators who err would have it, for studies of noisy labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from burnish.config import setting, settings
from burnish.errors import DataError
from burnish.example import Example
from burnish.graders.format import FormatGrader
from burnish.graders.words import words
from burnish.stages.artefact import answered_in, write_examples, write_scores
from burnish.stages.stage import Plan, Stage, Work
from burnish.synth.draft import Draft
from burnish.synth.preferences import FLIPPED, Pairing, flipped, paired, scores_of
from burnish.synth.repair import with_repaired

_PASSING = 1.0


@settings
class PairsStage(Stage):
    """Make preference pairs; prompts that give none are skipped and counted by the reason."""

    verb: ClassVar[str] = "pairs"

    data: str = setting(..., "graded samples: the folder of a `grade` run, or a file", source=True)
    pairs_per_prompt: int = setting(1, "most pairs of one prompt", unit="pairs", ge=1)
    balance_length: bool = setting(True, "prefer answers of similar length, so that length is not what is learned")
    allow_cut: bool = setting(False, "let an answer that the token limit cut be the better one")
    fallback: Literal["none", "repair"] = setting(
        "none", "where no sample of a prompt passes: skip it, or repair one by code (format constraints only)"
    )
    flip: float = setting(0.0, "share of the pairs that are turned round, as if annotators had erred", ge=0, le=0.5)
    seed: int = setting(0, "decides between pairs that are equally good, and which are turned round", ge=0)

    def plan(self) -> Plan:
        """Read the data and count the pairs."""
        pairs, outcomes = self._pairs()
        return Plan(lines=(_line(outcomes),), facts={"pairs": len(pairs), **outcomes})

    def run(self, work: Work) -> None:
        """Write the pairs and what became of the prompts."""
        pairs, outcomes = self._pairs()
        write_examples(work, pairs)
        write_scores(work, {**outcomes, **_lengths(pairs)})
        work.say(_line(outcomes))

    def code(self) -> tuple[type, ...]:
        """What chooses, and what repairs if that is asked for."""
        return (Pairing, FormatGrader, Draft) if self.fallback == "repair" else (Pairing,)

    def _pairs(self) -> tuple[list[Example], dict[str, int]]:
        pairing = Pairing(
            pairs_per_prompt=self.pairs_per_prompt,
            balance_length=self.balance_length,
            allow_cut=self.allow_cut,
            seed=self.seed,
        )
        examples = answered_in(self.data)
        pairs: list[Example] = []
        outcomes: Counter[str] = Counter()
        for example in examples:
            found, outcome = self._of(example, pairing)
            pairs += found
            outcomes[outcome] += 1
        names = ("paired", "repaired", "tied", "cut", "single", "unanswered")
        counts = {"pairs": len(pairs), **{name: outcomes[name] for name in names}}
        if not pairs:
            raise DataError(f"{self.data}: {len(examples)} prompts give no pair: {_line(counts)}")
        if self.flip:
            pairs = flipped(pairs, self.flip, seed=self.seed)
            counts[FLIPPED] = sum(FLIPPED in pair.columns for pair in pairs)
        return pairs, counts

    def _of(self, example: Example, pairing: Pairing) -> tuple[list[Example], str]:
        """The pairs of one prompt, and the name under which it is counted."""
        if not example.completions:
            return [], "unanswered"
        if self.fallback == "repair" and max(scores_of(example)) < _PASSING:
            made = with_repaired(example)
            if made is not None:
                chosen = made.completions[0]
                return [paired(example, chosen, pairing.rejected_for(example, chosen))], "repaired"
        found = pairing.pairs(example)
        return found, "paired" if found else pairing.why_none(example)


def _lengths(pairs: Sequence[Example]) -> dict[str, Any]:
    """Mean words of the chosen and the rejected answers: far apart, length is what may be learned."""
    lengths = [[len(words(completion.text)) for completion in pair.completions] for pair in pairs]
    chosen, rejected = zip(*lengths, strict=True)
    return {"words": {"chosen": sum(chosen) / len(pairs), "rejected": sum(rejected) / len(pairs)}}


def _line(outcomes: dict[str, int]) -> str:
    skipped = ", ".join(f"{outcomes[name]} {name}" for name in ("tied", "cut", "single", "unanswered"))
    turned = f", {outcomes[FLIPPED]} of them turned round" if FLIPPED in outcomes else ""
    return (
        f"{outcomes['pairs']} pairs of {outcomes['paired'] + outcomes['repaired']} prompts "
        f"({outcomes['repaired']} with a repaired answer){turned}; skipped: {skipped}"
    )
