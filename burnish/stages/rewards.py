"""What online training rewards: a grader, reward models, or a weighted sum of both, each part logged by name.

    reward: {grader: format}
    reward: {grader: model, models: [runs/reward]}
    reward: {grader: judge, judge: {url: "http://localhost:8000/v1", model: my-judge}}
    reward: {grader: weighted, grading: {weights: {model: 1.0, length: 0.2}}, models: [runs/reward]}

A reward model reads answers as its own training did. If it was saved with the policy's tokenizer and template, it gets
the tokens as they were sampled, so an answer that was cut stays cut. Another one gets the text, through a template of
its own; an answer that was cut then looks finished to it.

A judge reads text too. It is asked about all answers of a rollout together, and what it replied is kept until the run
has ended, so that a run which goes on after a kill or a fault of the endpoint asks nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from burnish.config import setting, settings
from burnish.example import Completion, Example
from burnish.graders.learned import Combination, RewardGrader
from burnish.graders.registry import WEIGHTED, Grading, graded_all, grader_code, grader_named, verdict
from burnish.graders.verdicts import NO_ANSWER
from burnish.models.classifier import load_reward_model
from burnish.numerics import Precision, cast_weights, compute_dtype, default_device
from burnish.protocols import Answer, Grade
from burnish.stages.evaluate_reward import members_of
from burnish.stages.judging import JUDGE, Judge, judge_among, judge_code, wants_judge
from burnish.stages.prepare import load_text
from burnish.stages.stage import Work
from burnish.store import Code
from burnish.text.rendering import TemplateSettings
from burnish.training.columns import completion_scores
from burnish.training.plan import packed_cost, padded_cost
from burnish.training.rollouts import GradeAnswers

MODEL = "model"
"""The name of the reward models among the parts."""


@settings
class Reward:
    """A grader, or a weighted sum of graders, among them reward models and a judge."""

    grader: str = setting("format", "a grader, 'weighted', 'model' for the reward models, or your own: FILE.py:name")
    grading: Grading = setting(Grading(), "settings of the grader")
    models: tuple[str, ...] = setting((), "reward models; several are an ensemble", source=True)
    judge: Judge | None = setting(None, "settings of the grader 'judge': a language model behind an endpoint")
    combination: Combination = setting(Combination(), "how the scores of several reward models become one")
    token_budget: int = setting(8192, "tokens that reward models compute together", unit="tokens", ge=1)
    precision: Precision = setting("auto", "of the reward models' matrix products")

    def __post_init__(self) -> None:
        used = MODEL in (self.grading.weights or {}) if self.grader == WEIGHTED else self.grader == MODEL
        if used and not self.models:
            raise ValueError(f"the grader '{MODEL}' stands for reward models, and none is named; set reward.models")
        if self.models and not used:
            raise ValueError(
                f"reward models are given, and the grader is '{self.grader}'; set reward.grader to {MODEL}, or to "
                f"{WEIGHTED} with a weight for {MODEL}"
            )
        if wants_judge(self.grader, self.grading) and self.judge is None:
            raise ValueError(f"the grader '{JUDGE}' needs an endpoint; set reward.judge.url and reward.judge.model")
        if self.judge is not None and not wants_judge(self.grader, self.grading):
            raise ValueError(
                f"settings of a judge are given, and the grader is '{self.grader}'; set reward.grader to {JUDGE}, or "
                f"to {WEIGHTED} with a weight for {JUDGE}"
            )

    def check(self, example: Example) -> None:
        """Find the graders, and have them judge an empty answer; reward models are not loaded for it.

        Raises:
            ConfigError: a grader does not exist, or a setting is read by none.
            EndpointError: the judge's endpoint cannot be reached.
            GraderError: a grader cannot judge answers to such a prompt.
        """
        also = {MODEL: _Silent(), **judge_among(self.grader, self.grading, self.judge)}
        grader = grader_named(self.grader, self.grading, also)
        verdict(grader, example, NO_ANSWER, self.grading.on_failure)

    def answer_grader(self, template_hash: str, work: Work, judge_name: str) -> GradeAnswers:
        """Grades many answers; the reward models are loaded now, and the judge's endpoint is asked whether it is there.

        Args:
            template_hash: of the policy.
            work: of the running stage, where the judge's replies are kept.
            judge_name: of its journal and record.

        Raises:
            ConfigError: a grader does not exist, or a setting is read by none.
            EndpointError: the judge's endpoint cannot be reached.
        """
        also = dict(judge_among(self.grader, self.grading, self.judge, work, judge_name))
        if self.models:
            also[MODEL] = RewardGrader(self._scorer(template_hash), self.combination)
        grader = grader_named(self.grader, self.grading, also)
        return lambda answers: graded_all(grader, answers, self.grading.on_failure)

    def code(self) -> tuple[Code, ...]:
        """The graders' rules."""
        learned = (RewardGrader, Combination) if self.models else ()
        return (*grader_code(self.grader, self.grading), *learned, *judge_code(self.judge))

    def _scorer(self, template_hash: str) -> Callable[[Sequence[Answer]], Sequence[Sequence[float]]]:
        members = [self._member(model, template_hash) for model in members_of(self.models)]

        def scores(answers: Sequence[Answer]) -> Sequence[Sequence[float]]:
            return list(zip(*(member(answers) for member in members), strict=True))

        return scores

    def _member(self, model: str, template_hash: str) -> Callable[[Sequence[Answer]], Sequence[float]]:
        device = default_device()
        text = load_text(model, TemplateSettings())
        part = load_reward_model(model).to(device)
        cast_weights(part.language, compute_dtype(self.precision, device))
        cost = packed_cost if part.layout == "tree" else padded_cost
        as_sampled = text.hash == template_hash

        def scores(answers: Sequence[Answer]) -> Sequence[float]:
            trees = [
                tree
                for example, completion in answers
                for tree in text.trees(replace(example, completions=(_read(completion, as_sampled=as_sampled),)))
            ]
            rows = completion_scores(part, trees, budget=self.token_budget, cost=cost, device=device)
            return [score for row in rows for score in row]

        return scores


class _Silent:
    """Stands for reward models that are not loaded."""

    def grade(self, example: Example, completion: Completion) -> Grade:
        """Nothing."""
        return Grade(score=0.0)


def _read(completion: Completion, *, as_sampled: bool) -> Completion:
    """What a reward model reads of an answer: its tokens, or its text alone."""
    return Completion(messages=completion.messages, token_ids=completion.token_ids if as_sampled else None)
