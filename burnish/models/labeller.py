"""Specialists as parts of training: labelled rows in, log-probs of classes or of the borders of an answer out.

    Labeller      (N, C)            a class for each row, or for each place in it
    SpanReader    (B, L), (B, L)    where an answer begins, and where it ends; padding has log-prob -inf

The model is transformers' own and runs by its own forward, so what it gives here is what a pipeline gives. Softmax is
taken in float32. transformers' loss of answers lets padding take a share of the probability, so that a row's loss
depends on its neighbours; here it takes none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from burnish.models.labelled import LabelledBatch, Rows, SpannedBatch
from burnish.models.specialist import reads_types


class _Reader(nn.Module):
    """A transformers model that reads rows."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self._types = reads_types(model.config)
        self._padding = model.config.pad_token_id or 0

    def _read(self, rows: Rows) -> Any:
        """What the model gives for padded rows; causal ones find the last token of a row by the padding token."""
        given = {"token_type_ids": rows.types_BL} if self._types else {}
        tokens = rows.tokens_BL.masked_fill(rows.mask_BL == 0, self._padding)
        return self.model(input_ids=tokens, attention_mask=rows.mask_BL, **given)


class Labeller(_Reader):
    """A classifier of texts or of words as a part of training.

    Args:
        model: a transformers classifier.

    Attributes:
        provides: names that `forward` can return.
    """

    provides = frozenset({"class_logps"})

    def forward(
        self, batch: LabelledBatch, reads: frozenset[str], context: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Log-probs of the classes of each target. (N, C) float32"""
        logits: Tensor = self._read(batch.rows).logits
        if batch.source_N is not None:
            logits = logits.flatten(0, 1).index_select(0, batch.source_N)
        return {"class_logps": torch.log_softmax(logits.float(), dim=-1)}


class SpanReader(_Reader):
    """A reader of answers as a part of training.

    Args:
        model: a transformers model for extractive question answering.

    Attributes:
        provides: names that `forward` can return.
    """

    provides = frozenset({"first_logps", "last_logps"})

    def forward(
        self, batch: SpannedBatch, reads: frozenset[str], context: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Log-probs of every place as the first and as the last of an answer. (B, L) float32"""
        out = self._read(batch.rows)
        absent = batch.rows.mask_BL == 0
        found = {"first_logps": out.start_logits, "last_logps": out.end_logits}
        return {
            name: torch.log_softmax(logits.float().masked_fill(absent, float("-inf")), dim=-1)
            for name, logits in found.items()
            if name in reads
        }
