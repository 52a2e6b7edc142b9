"""`burnish best`: of each prompt's graded samples keep the best, as demonstrations for `burnish sft`.

    sample ──► grade ──► best ──► sft          rejection-sampling fine-tuning

`scores.json` counts what became of the prompts, and holds under `curve` what choosing the best of n = 1, 2, 4, ... N
would give: the expected training score, the gold score if there is one, and the KL from the policy that sampled
(`burnish.evals.best_of_n`). A training score that rises while the gold score falls is over-optimisation. `run.json`
holds N and the KL under `best_of`.

The curve is drawn over the prompts that have all N samples, and only where every answer of a prompt comes from one
policy: of a mixture it would say nothing about any of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import pydantic

from burnish.config import setting, settings
from burnish.errors import DataError
from burnish.evals.best_of_n import best_of_n_kl, expected_best, sizes
from burnish.evals.scores import mean_scores
from burnish.example import Example
from burnish.stages.artefact import answered_in, write_examples, write_scores
from burnish.stages.stage import Plan, Stage, Work
from burnish.synth.best import Best
from burnish.synth.preferences import scores_of

_OUTCOMES = ("kept", "below", "cut", "unanswered")


def listed(value: Any) -> Any:
    """One path as a list of one; anything else as it is."""
    return (value,) if isinstance(value, str) else value


Places = Annotated[tuple[str, ...], pydantic.BeforeValidator(listed)]


@settings
class BestStage(Stage):
    """Keep the best answers to each prompt; prompts that give none are dropped and counted by the reason."""

    verb: ClassVar[str] = "best"

    data: Places = setting(
        ...,
        "graded samples: folders of `grade` runs, or files; those of one prompt (by id) count together",
        source=True,
        min_length=1,
    )
    gold: Places = setting((), "the same samples with the scores of another grader, which chooses nothing", source=True)
    keep: int = setting(1, "most answers kept of one prompt, without duplicates", unit="answers", ge=1)
    at_least: float | None = setting(None, "lowest score that is kept; a prompt without one is dropped")
    allow_cut: bool = setting(False, "let an answer that the token limit cut be kept")
    seed: int = setting(0, "decides between equal scores", ge=0)

    def __post_init__(self) -> None:
        for name, places in (("data", self.data), ("gold", self.gold)):
            if len(set(places)) < len(places):
                raise ValueError(f"{name} names one place twice, and its samples would count twice; name it once")

    def plan(self) -> Plan:
        """Read the data, choose, and count."""
        examples, _ = self._read()
        chosen, counts = self._chosen(examples)
        return Plan(lines=(_line(counts),), facts={"demonstrations": len(chosen), **counts})

    def run(self, work: Work) -> None:
        """Write the demonstrations and the scores."""
        examples, gold = self._read()
        chosen, counts = self._chosen(examples)
        curve = _curve(examples, gold, self._best())
        if curve:
            last = curve[-1]
            work.record({"best_of": {"n": last["n"], "kl": last["kl"], "prompts": last["score"]["count"]}})
        write_examples(work, chosen)
        write_scores(work, {**counts, "tied_best": sum(map(_is_tied, examples)), "curve": curve})
        work.say(_line(counts))
        for point in curve:
            work.say(_point_line(point))

    def code(self) -> tuple[type, ...]:
        """What chooses."""
        return (Best,)

    def _best(self) -> Best:
        return Best(keep=self.keep, at_least=self.at_least, allow_cut=self.allow_cut, seed=self.seed)

    def _read(self) -> tuple[list[Example], list[Example]]:
        """The samples, and the same with gold scores (none if there are no gold scores)."""
        examples = gathered(self.data)
        gold = gathered(self.gold) if self.gold else []
        if gold:
            gold = _same_answers(examples, gold, ", ".join(self.gold))
        return examples, gold

    def _chosen(self, examples: Sequence[Example]) -> tuple[list[Example], dict[str, int]]:
        best, outcomes, chosen = self._best(), Counter[str](), list[Example]()
        for example in examples:
            found, outcome = best.of(example)
            chosen += found
            outcomes[outcome] += 1
        counts = {"demonstrations": len(chosen), **{name: outcomes[name] for name in _OUTCOMES}}
        if not chosen:
            raise DataError(f"{', '.join(self.data)}: {len(examples)} prompts give no demonstration: {_line(counts)}")
        return chosen, counts


def gathered(places: Sequence[str]) -> list[Example]:
    """The examples of several places, those of one id as one with all the completions.

    Raises:
        DataError: a place holds no answered prompts, or one id names two prompts.
    """
    found: dict[str, Example] = {}
    for place in places:
        for example in answered_in(place):
            before = found.setdefault(example.id, example)
            if before is example:
                continue
            if (before.prompt, before.tools) != (example.prompt, example.tools):
                raise DataError(
                    f"{place}: example '{example.id}' has another prompt than the one of that id before it; "
                    "samples are gathered by id, so give every prompt an id of its own"
                )
            found[example.id] = _joined(before, example)
    return list(found.values())


def _joined(one: Example, other: Example) -> Example:
    return Example(
        id=one.id,
        prompt=one.prompt,
        completions=(*one.completions, *other.completions),
        tools=one.tools,
        columns=one.columns,
    )


def _same_answers(examples: Sequence[Example], gold: Sequence[Example], where: str) -> list[Example]:
    """The gold examples in the order of the others.

    Raises:
        DataError: an answer of one is none of the other, or has no gold score.
    """
    by_id = {example.id: example for example in gold}
    for example in examples:
        other = by_id.get(example.id)
        if other is None or [c.messages for c in other.completions] != [c.messages for c in example.completions]:
            raise DataError(
                f"{where}: example '{example.id}' is missing or has other answers than the data; grade the same "
                "samples twice: `burnish grade` with one grader for data, with another for gold"
            )
        scores_of(other)
    return [by_id[example.id] for example in examples]


def _curve(examples: Sequence[Example], gold: Sequence[Example], best: Best) -> list[dict[str, Any]]:
    """What the best of n would give, for n = 1, 2, 4, ... N; [] if no prompt's answers come from one policy alone."""
    whole = [place for place, example in enumerate(examples) if _from_one_policy(example)]
    most = max((len(examples[place].completions) for place in whole), default=0)
    if not most:
        return []
    places = [place for place in whole if len(examples[place].completions) == most]
    names = [examples[place].id for place in places]
    points = []
    for n in sizes(most):
        point: dict[str, Any] = {"n": n, "kl": best_of_n_kl(n)}
        for name, judged in (("score", examples), ("gold", gold)):
            if judged:
                values = [_expected(examples[place], judged[place], best, n) for place in places]
                point[name] = mean_scores(values, names) or {"mean": values[0], "count": 1}
        points.append(point)
    return points


def _expected(example: Example, judged: Example, best: Best, n: int) -> float:
    scores = scores_of(example)
    keys = [best.key(completion, score) for completion, score in zip(example.completions, scores, strict=True)]
    return expected_best(keys, scores_of(judged), n)


def _from_one_policy(example: Example) -> bool:
    return len({completion.policy_version for completion in example.completions}) == 1


def _is_tied(example: Example) -> bool:
    """Whether several answers have the best score, so that chance decides."""
    scores = scores_of(example)
    return bool(scores) and scores.count(max(scores)) > 1


def _line(counts: Mapping[str, int]) -> str:
    dropped = ", ".join(f"{counts[name]} {name}" for name in _OUTCOMES[1:])
    return f"{counts['demonstrations']} demonstrations of {counts['kept']} prompts; dropped: {dropped}"


def _point_line(point: Mapping[str, Any]) -> str:
    gold = f", gold {point['gold']['mean']:.4g}" if "gold" in point else ""
    return f"best of {point['n']}: score {point['score']['mean']:.4g}{gold}, KL at most {point['kl']:.3f} nats"
