"""`burnish lengthen`: a model with a longer context, by scaled rotary positions; its weights are as they were.

    burnish lengthen --model runs/base --scaling.kind yarn --scaling.factor 4 --out runs/longer
    burnish pretrain --model runs/longer --data runs/long_tokens --text.max_tokens 8192 --steps 200 --out runs/long

`burnish.models.rope` has the formulas. Scaled positions are new to the model, so it goes on learning on long documents
afterwards, by `pretrain` like any other.
"""

from __future__ import annotations

from types import FunctionType
from typing import ClassVar, cast

from burnish.config import setting, settings
from burnish.models.load import load_config, load_model
from burnish.models.rope import Scaling, YaRN, lengthened, plain_positions, rotation
from burnish.models.save import SaveDtype, save_model
from burnish.stages.prepare import load_text
from burnish.stages.stage import Plan, Stage, Work
from burnish.store import Code
from burnish.text.rendering import TemplateSettings


@settings
class LengthenStage(Stage):
    """Scale a model's positions."""

    verb: ClassVar[str] = "lengthen"

    model: str = setting(..., "model to lengthen", source=True)
    scaling: Scaling = setting(YaRN(), "how positions are scaled, and by how much", discriminator="kind")
    save_dtype: SaveDtype = setting("float32", "of the saved weights")
    template: TemplateSettings = setting(TemplateSettings(), "how messages become text")

    def plan(self) -> Plan:
        """Find the positions of the model."""
        before = plain_positions(load_config(self.model))
        after = round(before.context * self.scaling.factor)
        line = f"context from {before.context:,} to {after:,} tokens; {before.size} numbers of a head turn"
        return Plan(lines=(line,), facts={"context": after})

    def run(self, work: Work) -> None:
        """Scale, compare with the formulas, save, read back and compare."""
        text = load_text(self.model, self.template)
        model = lengthened(load_model(self.model), self.scaling)
        save_model(model, text.tokenizer, work.out / "model", template_hash=text.hash, dtype=self.save_dtype)
        context = int(model.config.max_position_embeddings)
        work.record({"template_hash": text.hash, "context": context})
        work.say(f"{context:,} tokens of context; train it on long documents: burnish pretrain --model {work.out}")

    def code(self) -> tuple[Code, ...]:
        """What scales."""
        return (cast(FunctionType, lengthened), cast(FunctionType, rotation))
