"""The training stages whose result is a language model, whole or as an adapter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from burnish.batch import Tree
from burnish.config import setting, settings
from burnish.models.adapters import merged, require_merging
from burnish.models.language import language_model
from burnish.models.save import save_adapter, save_model
from burnish.models.wrapped import is_wrapped
from burnish.stages.prepare import Prepared
from burnish.stages.reference import COLUMN, reference_logps
from burnish.stages.stage import Work
from burnish.stages.start import Module, Start
from burnish.stages.training import TrainingStage
from burnish.text.pieces import byte_counter
from burnish.training.columns import with_column


@settings
class PolicyStage(TrainingStage):
    """The fields of every verb that trains a language model."""

    adapter_only: bool = setting(False, "save the adapter and not the merged model")

    def __post_init__(self) -> None:
        if self.adapter_only and self.adapter is None:
            raise ValueError("adapter_only needs an adapter; add --adapter.rank 16, or leave adapter_only out")
        if not self.adapter_only:
            require_merging(
                self.adapter, "add --adapter_only true: it is saved beside its model, and all verbs read it"
            )

    def other_reference(self) -> str | None:
        """A model that is the reference of objectives that need one; None for the start of the run."""
        return None

    def module(self, model: PreTrainedModel) -> Module:
        """The language model itself."""
        return language_model(model, layout=self.train.layout)

    def column(self, name: str, trees: Sequence[Tree], prepared: Prepared, start: Start, work: Work) -> Sequence[Tree]:
        """Reference log-probs and lengths in bytes are computed; anything else comes with the data."""
        if name == "num_bytes":
            return with_column(trees, name, _num_bytes(trees, prepared.tokenizer))
        if name != COLUMN:
            return super().column(name, trees, prepared, start, work)
        other = self.other_reference()
        values = reference_logps(trees, start, other, self.train, template_hash=prepared.template_hash, work=work)
        return with_column(trees, name, values)

    def save(self, trained: Start, prepared: Prepared, folder: Path) -> None:
        """The model with its adapter merged, or the adapter alone."""
        model, tokenizer, template_hash = trained.model, prepared.tokenizer, prepared.template_hash
        if self.adapter_only:
            save_adapter(model, tokenizer, folder, template_hash=template_hash, base=self.model)
        else:
            finished = merged(model) if is_wrapped(model) else model
            save_model(finished, tokenizer, folder, template_hash=template_hash, dtype=self.save_dtype)


def _num_bytes(trees: Sequence[Tree], tokenizer: PreTrainedTokenizerFast) -> list[list[float]]:
    """Bytes of each completion's text in UTF-8."""
    count = byte_counter(tokenizer)
    return [[float(count(tree.prompt, branch.tokens)) for branch in tree.branches] for tree in trees]
