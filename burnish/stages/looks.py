"""Looks at held-out prompts while a policy learns: the score that training never sees, and how far the policy has gone.

    looks/000000.jsonl     answers before the first update
    looks/000010.jsonl     answers after update 10: score, and in the column "look" the training's own reward and the
                           log-ratio to the start

The draws are the same in every look, so looks compare prompt by prompt: `score` of one file against `score` of another
is a paired comparison. The KL is the mean log-ratio of these answers, by the trainer's own forward pass.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from burnish.batch import Branch, Tree
from burnish.config import setting, settings
from burnish.example import Completion, Example, write_jsonl
from burnish.protocols import Decoding, Request, Sample
from burnish.stages.rewards import Reward
from burnish.stats import mean_interval
from burnish.training.rollouts import GradeAnswers, Prompt, Sampler, version
from burnish.training.valuation import TokenRows

HELD_OUT = "held_out_score"
"""The metric that says which weights are best."""

LOOK = "look"
"""Column of a held-out answer's example: what was measured of it beside its score."""


@settings
class Looks:
    """How the held-out prompts are looked at, before the first update and every `train.evaluate_every` updates."""

    reward: Reward | None = setting(
        None, "grades the held-out answers, and training never sees it; the training's own if none is given"
    )
    keep: Literal["last", "best"] = setting("last", "weights that are saved: of the last update, or of the best look")
    patience: int | None = setting(None, "looks without a new best before the run ends; none never ends it", ge=1)


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What a look needs.

    Attributes:
        prompts: held out, two or more.
        engine: samples from the weights that are being trained.
        decoding, seed: of the draws, the same in every look.
        answer: a sample as a completion with its text.
        score: grades the answers.
        reward: what training is rewarded by, where that is another grader; None where it is the same.
        policy, reference: log-probs by the trainer's path; no KL without a reference.
        write: keeps the answers after so many updates.
    """

    prompts: Sequence[Prompt]
    engine: Sampler
    decoding: Decoding
    seed: int
    answer: Callable[[Sample], Completion]
    score: GradeAnswers
    reward: GradeAnswers | None
    policy: TokenRows
    reference: TokenRows | None
    write: Callable[[int, Sequence[Example]], None]

    def look(self, update: int) -> dict[str, float]:
        """Figures of the policy as it is after `update` updates; the answers are written down."""
        self.engine.policy_version = version(update)
        requests = [Request(id=prompt.example.id, prompt=prompt.tokens) for prompt in self.prompts]
        samples = [one for (one,) in self.engine.sample(requests, self.decoding, seed=self.seed)]
        asked = zip(self.prompts, samples, strict=True)
        answers = [(prompt.example, self.answer(sample)) for prompt, sample in asked]
        grades = self.score(answers)
        more: dict[str, list[float]] = {}
        if self.reward is not None:
            more["reward"] = [grade.score for grade in self.reward(answers)]
        if self.reference is not None:
            more["log_ratio"] = self._log_ratios(samples, self.reference)
        self.write(
            update,
            [
                _written(example, replace(completion, score=grade.score, reasons=grade.reasons), look)
                for (example, completion), grade, look in zip(answers, grades, _by_answer(more, answers), strict=True)
            ],
        )
        return _figures([grade.score for grade in grades], more, samples)

    def _log_ratios(self, samples: Sequence[Sample], reference: TokenRows) -> list[float]:
        """log pi - log reference of each answer."""
        trees = [
            Tree(
                id=prompt.example.id,
                prompt=tuple(prompt.tokens),
                branches=(Branch(tokens=sample.tokens, weights=(1.0,) * len(sample.tokens)),),
            )
            for prompt, sample in zip(self.prompts, samples, strict=True)
        ]
        both = zip(self.policy(trees), reference(trees), strict=True)
        return [sum(ours) - sum(theirs) for (ours,), (theirs,) in both]


@dataclass(frozen=True, kw_only=True)
class AnswerFiles:
    """Where a run keeps answers, for people and for comparisons.

    Attributes:
        folder: of the run.
        every: rollouts between two whose answers are kept; 0 keeps none. Those of looks always are.
        writes: whether this rank does.
    """

    folder: Path
    every: int
    writes: bool

    def rollout(self, number: int, examples: Sequence[Example]) -> None:
        """Keep the answers of a rollout."""
        if self.every and number % self.every == 0:
            self._write(self.folder / "rollouts" / f"{number:06d}.jsonl", examples)

    def look(self, update: int, examples: Sequence[Example]) -> None:
        """Keep the answers of a look."""
        self._write(self._look(update), examples)

    def has_look(self, update: int) -> bool:
        """Whether the answers of a look are there."""
        return self._look(update).is_file()

    def _look(self, update: int) -> Path:
        return self.folder / "looks" / f"{update:06d}.jsonl"

    def _write(self, path: Path, examples: Sequence[Example]) -> None:
        if self.writes:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_jsonl(path, examples)


def _by_answer(more: dict[str, list[float]], answers: Sequence[Any]) -> list[dict[str, float]]:
    """What was measured, answer by answer."""
    return [{name: values[place] for name, values in more.items()} for place in range(len(answers))]


def _written(example: Example, completion: Completion, look: dict[str, float]) -> Example:
    return replace(example, completions=(completion,), columns={**example.columns, LOOK: look})


def _figures(scores: Sequence[float], more: dict[str, list[float]], samples: Sequence[Sample]) -> dict[str, float]:
    score = mean_interval(scores)
    names = {"reward": "held_out_reward", "log_ratio": "held_out_kl"}
    return {
        HELD_OUT: score.estimate,
        f"{HELD_OUT}_low": score.low,
        f"{HELD_OUT}_high": score.high,
        f"{HELD_OUT}_count": score.count,
        **{names[name]: statistics.fmean(values) for name, values in more.items()},
        "held_out_answer_length": statistics.fmean(len(sample.tokens) for sample in samples),
    }
