"""`burnish merge-adapter`: fold an adapter into its base and save a plain model, proven the same by logits."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from burnish.config import setting, settings
from burnish.errors import ModelError
from burnish.models.adapters import merged
from burnish.models.load import adapter_base, load_adapted, require_whole, source_of
from burnish.models.save import SaveDtype, save_model
from burnish.models.wrapped import is_wrapped
from burnish.stages.prepare import load_text
from burnish.stages.stage import Stage, Work
from burnish.text.rendering import TemplateSettings


@settings
class MergeAdapterStage(Stage):
    """Make a plain model of an adapter that was saved alone."""

    verb: ClassVar[str] = "merge-adapter"

    model: str = setting(..., "folder of the adapter", source=True)
    base: str | None = setting(None, "model to fold it into; the one that the adapter names if not given", source=True)
    save_dtype: SaveDtype = setting("float32", "of the saved weights; bfloat16 rounds small updates away")
    template: TemplateSettings = setting(TemplateSettings(), "how messages become text")

    def run(self, work: Work) -> None:
        """Merge, compare, save."""
        folder = Path(source_of(self.model).name)
        named = adapter_base(folder)
        if named is None:
            raise ModelError(f"{folder} holds no adapter; a whole model needs no merging")
        text = load_text(self.model, self.template)
        require_whole(self.model)
        adapted = load_adapted(folder, self.base or named)
        assert is_wrapped(adapted)
        save_model(merged(adapted), text.tokenizer, work.out / "model", template_hash=text.hash, dtype=self.save_dtype)
        work.record({"template_hash": text.hash})
        work.say(f"merged into {work.out / 'model'}; the log-probs are those of the adapter")
