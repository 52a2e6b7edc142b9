"""`burnish evaluate`: sample answers to test prompts, grade them, and report pass rates with intervals.

Given a reference model, `scores.json` also says how far the measured model is from it, on the model's own answers:
`kl` (nats per answer) and `kl_per_token` (`burnish.evals.divergence`), and `reference_logp_per_token`. Both models'
log-probs are computed here, in one pass each by the path that training uses; the sampler's are at its temperature.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from burnish.batch import Tree
from burnish.config import setting, settings
from burnish.data.read import Reading, data_at, read
from burnish.evals.divergence import kl_scores
from burnish.evals.scores import mean_scores, shown
from burnish.example import Example, write_jsonl
from burnish.graders.registry import Grading, grader_code, grader_named, verdict
from burnish.graders.verdicts import NO_ANSWER
from burnish.models.language import LanguageModel, language_model
from burnish.models.load import load_model
from burnish.numerics import cast_weights, compute_dtype, default_device
from burnish.protocols import Grader
from burnish.stages.grade import graded
from burnish.stages.judging import Judge, judge_among, judge_code, judge_done
from burnish.stages.prepare import load_text
from burnish.stages.sampling import Sampling, answers_planned, load_engine, sampled
from burnish.stages.stage import Plan, Stage, Work
from burnish.store import Code
from burnish.text.rendering import TemplateSettings
from burnish.training.columns import completion_logps
from burnish.training.plan import packed_cost, padded_cost


@settings
class EvaluateStage(Stage):
    """Measure a model on prompts that a grader can judge."""

    verb: ClassVar[str] = "evaluate"

    model: str = setting(..., "model to measure", source=True)
    data: str = setting(..., "test prompts", source=True)
    grader: str = setting("format", "who judges: a grader's name, 'weighted', or your own: path/to/file.py:name")
    grading: Grading = setting(Grading(), "settings of the grader")
    judge: Judge | None = setting(None, "settings of the grader 'judge': a language model behind an endpoint")
    reference_model: str | None = setting(None, "also give the KL from this model", source=True)
    seed: int = setting(0, "of the draws")
    sampling: Sampling = setting(Sampling(), "how answers are sampled")
    token_budget: int = setting(8192, "tokens computed together for the log-probs", unit="tokens", ge=1)
    reading: Reading = setting(Reading(), "how the data is read")
    template: TemplateSettings = setting(TemplateSettings(), "how messages become text")

    def plan(self) -> Plan:
        """Find the grader, have it judge an empty answer, and count the prompts."""
        self._checked_grader(read(data_at(self.data, self.reading)).examples)
        return answers_planned(self.data, self.reading, self.sampling)

    def run(self, work: Work) -> None:
        """Sample, grade, and write examples.jsonl and scores.json."""
        text = load_text(self.model, self.template)
        work.record({"template_hash": text.hash})
        examples = read(data_at(self.data, self.reading)).examples
        grader = self._checked_grader(examples, work)
        engine = load_engine(self.model, text, self.sampling)
        answered = sampled(engine, text, examples, self.sampling, seed=self.seed, work=work)
        judged = graded(grader, answered, self.grading.on_failure)
        scores = judged.scores()
        if self.reference_model is not None:
            trees = [tree for example in judged.examples for tree in text.trees(example)]
            policy = self._logps(engine.part, trees)
            del engine  # one model in memory at a time
            scores |= _likelihood(trees, policy, self._logps(self._reference(self.reference_model), trees))
        write_jsonl(work.out / "examples.jsonl", judged.examples)
        (work.out / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
        (work.out / "samples.part.jsonl").unlink()
        judge_done(work)
        work.say(shown(scores))

    def code(self) -> tuple[Code, ...]:
        """The grader's rules."""
        return (*grader_code(self.grader, self.grading), *judge_code(self.judge))

    def _checked_grader(self, examples: Sequence[Example], work: Work | None = None) -> Grader:
        """The grader, after it has judged an empty answer to the first prompt: nothing is sampled for one that cannot.

        Args:
            examples: whose prompts are to be answered.
            work: of the running stage.

        Raises:
            ConfigError: there is no such grader.
            GraderError: the prompt lacks what the grader reads.
            EndpointError: the judge's endpoint cannot be reached.
        """
        grader = grader_named(self.grader, self.grading, judge_among(self.grader, self.grading, self.judge, work))
        verdict(grader, examples[0], NO_ANSWER)
        return grader

    def _reference(self, source: str) -> LanguageModel:
        """The reference, in the numerics of the measured model."""
        device = default_device()
        part = language_model(load_model(source))
        cast_weights(part.to(device), compute_dtype(self.sampling.precision, device))
        return part

    def _logps(self, part: LanguageModel, trees: Sequence[Tree]) -> list[float]:
        """Summed log-prob of each answer, nats."""
        cost = packed_cost if part.layout == "tree" else padded_cost
        rows = completion_logps(part, trees, budget=self.token_budget, cost=cost, device=default_device())
        return [value for row in rows for value in row]


def _likelihood(trees: Sequence[Tree], policy: Sequence[float], reference: Sequence[float]) -> dict[str, Any]:
    """The KL, and the mean log-prob per token under the reference over answers."""
    tokens = [branch.num_scored for tree in trees for branch in tree.branches]
    prompts = [tree.id for tree in trees for _ in tree.branches]
    means = [value / count for value, count in zip(reference, tokens, strict=True)]
    return {"reference_logp_per_token": mean_scores(means, prompts), **kl_scores(policy, reference, tokens, prompts)}
