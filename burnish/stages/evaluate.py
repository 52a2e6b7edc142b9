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
from burnish.evals.scores import format_scores, mean_scores, shown
from burnish.example import write_jsonl
from burnish.graders.registry import grader_named
from burnish.models.language import LanguageModel, language_model
from burnish.models.load import load_model
from burnish.numerics import cast_weights, compute_dtype, default_device
from burnish.stages.grade import graded
from burnish.stages.prepare import load_text
from burnish.stages.sampling import Sampling, answers_planned, load_engine, sampled
from burnish.stages.stage import Plan, Stage, Work
from burnish.text.rendering import TemplateSettings
from burnish.training.columns import completion_logps
from burnish.training.plan import packed_cost, padded_cost


@settings
class EvaluateStage(Stage):
    """Measure a model on prompts that a grader can judge."""

    verb: ClassVar[str] = "evaluate"

    model: str = setting(..., "model to measure", source=True)
    data: str = setting(..., "test prompts", source=True)
    grader: str = setting("format", "who judges the answers")
    reference_model: str | None = setting(None, "also give the KL from this model", source=True)
    seed: int = setting(0, "of the draws")
    sampling: Sampling = setting(Sampling(), "how answers are sampled")
    token_budget: int = setting(8192, "tokens computed together for the log-probs", unit="tokens", ge=1)
    reading: Reading = setting(Reading(), "how the data is read")
    template: TemplateSettings = setting(TemplateSettings(), "how messages become text")

    def plan(self) -> Plan:
        """Find the grader, read the data and count."""
        grader_named(self.grader)
        return answers_planned(self.data, self.reading, self.sampling)

    def run(self, work: Work) -> None:
        """Sample, grade, and write examples.jsonl and scores.json."""
        text = load_text(self.model, self.template)
        work.record({"template_hash": text.hash})
        examples = read(data_at(self.data, self.reading)).examples
        engine = load_engine(self.model, text, self.sampling)
        answered = sampled(engine, text, examples, self.sampling, seed=self.seed, work=work)
        judged = graded(grader_named(self.grader), answered)
        scores = format_scores(judged)
        if self.reference_model is not None:
            trees = [tree for example in judged for tree in text.trees(example)]
            policy = self._logps(engine.part, trees)
            del engine  # one model in memory at a time
            scores |= _likelihood(trees, policy, self._logps(self._reference(self.reference_model), trees))
        write_jsonl(work.out / "examples.jsonl", judged)
        (work.out / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
        (work.out / "samples.part.jsonl").unlink()
        work.say(shown(scores))

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
