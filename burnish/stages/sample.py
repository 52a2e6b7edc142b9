"""`burnish sample`: a model's own answers to prompts, with tokens and log-probs as sampled."""

from __future__ import annotations

from typing import ClassVar

from burnish.config import setting, settings
from burnish.data.read import Reading, data_at, read
from burnish.example import write_jsonl
from burnish.stages.prepare import load_text
from burnish.stages.sampling import Sampling, answers_planned, load_engine, sampled
from burnish.stages.stage import Plan, Stage, Work
from burnish.text.rendering import TemplateSettings


@settings
class SampleStage(Stage):
    """Sample answers to the prompts of a data set."""

    verb: ClassVar[str] = "sample"

    model: str = setting(..., "model to sample from", source=True)
    data: str = setting(..., "examples whose prompts are answered", source=True)
    seed: int = setting(0, "of the draws")
    sampling: Sampling = setting(Sampling(), "how answers are sampled")
    reading: Reading = setting(Reading(), "how the data is read")
    template: TemplateSettings = setting(TemplateSettings(), "how messages become text")

    def plan(self) -> Plan:
        """Read the data and count."""
        return answers_planned(self.data, self.reading, self.sampling)

    def run(self, work: Work) -> None:
        """Sample into examples.jsonl."""
        text = load_text(self.model, self.template)
        work.record({"template_hash": text.hash})
        examples = read(data_at(self.data, self.reading)).examples
        engine = load_engine(self.model, text, self.sampling)
        answered = sampled(engine, text, examples, self.sampling, seed=self.seed, work=work)
        write_jsonl(work.out / "examples.jsonl", answered)
        (work.out / "samples.part.jsonl").unlink()
