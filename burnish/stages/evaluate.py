"""`burnish evaluate`: sample answers to test prompts, grade them, and report pass rates with intervals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import ClassVar

from burnish.config import setting, settings
from burnish.data.read import Reading, data_at, read
from burnish.evals.scores import format_scores, mean_scores, shown
from burnish.example import Example, write_jsonl
from burnish.graders.registry import grader_named
from burnish.models.language import language_model
from burnish.models.load import load_model
from burnish.numerics import cast_weights, compute_dtype, default_device
from burnish.stages.grade import graded
from burnish.stages.prepare import load_text
from burnish.stages.sampling import Sampling, answers_planned, load_engine, sampled
from burnish.stages.stage import Plan, Stage, Work
from burnish.text.rendering import TemplateSettings
from burnish.text.template import ChatText
from burnish.training.columns import completion_logps
from burnish.training.plan import packed_cost, padded_cost


@settings
class EvaluateStage(Stage):
    """Measure a model on prompts that a grader can judge."""

    verb: ClassVar[str] = "evaluate"

    model: str = setting(..., "model to measure", source=True)
    data: str = setting(..., "test prompts", source=True)
    grader: str = setting("format", "who judges the answers")
    reference_model: str | None = setting(None, "also give the answers' log-probs under this model", source=True)
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
            scores["reference_logp_per_token"] = self._reference_logps(text, judged)
        write_jsonl(work.out / "examples.jsonl", judged)
        (work.out / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
        (work.out / "samples.part.jsonl").unlink()
        work.say(shown(scores))

    def _reference_logps(self, text: ChatText, examples: Sequence[Example]) -> dict[str, float]:
        """Mean log-prob per token of each answer under the reference model, nats, over answers."""
        assert self.reference_model is not None
        device = default_device()
        part = language_model(load_model(self.reference_model))
        cast_weights(part.to(device), compute_dtype(self.sampling.precision, device))
        trees = [tree for example in examples for tree in text.trees(example)]
        cost = packed_cost if part.layout == "tree" else padded_cost
        sums = completion_logps(part, trees, budget=self.token_budget, cost=cost, device=device)
        means = [
            value / branch.num_scored
            for tree, row in zip(trees, sums, strict=True)
            for branch, value in zip(tree.branches, row, strict=True)
        ]
        return mean_scores(means, [tree.id for tree in trees for _ in tree.branches])
