"""A masked encoder or an encoder-decoder as a part of training: corrupted texts in, log-probs of the targets out.

The logits never exist as a whole: hidden states at the places of the targets go through the same function as those of
language models. BERT puts a layer between them and its head, T5 divides by the square root of the width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from transformers import BertForMaskedLM, PreTrainedModel, T5ForConditionalGeneration

from burnish.errors import ModelError
from burnish.models.corrupted import CorruptedBatch
from burnish.models.logprobs import Head, token_outputs


class Denoiser(nn.Module):
    """The model with the interface of a part.

    Args:
        model: a BertForMaskedLM or a T5ForConditionalGeneration.

    Attributes:
        provides: names that `forward` can return.

    Raises:
        ModelError: it is another class.
    """

    provides = frozenset({"logp", "entropy"})

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        if not isinstance(model, (BertForMaskedLM, T5ForConditionalGeneration)):
            raise ModelError(
                f"a denoiser is made of a BertForMaskedLM or a T5ForConditionalGeneration, not of a "
                f"{type(model).__name__}; burnish new-model --family bert (or t5) makes one"
            )
        self.model = model

    def forward(
        self, batch: CorruptedBatch, reads: frozenset[str], context: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """What is asked for, of each target. (N,) float32

        Raises:
            ModelError: the batch is for the other kind of model.
        """
        hidden, head = self.states(batch)
        return token_outputs(hidden, head, batch.target_N, reads=reads)

    def states(self, batch: CorruptedBatch) -> tuple[Tensor, Head]:
        """Hidden states at the places of the targets, (N, D), and what turns them into logits.

        Raises:
            ModelError: the batch is for the other kind of model.
        """
        if (batch.decoder_BM is None) == bool(self.model.config.is_encoder_decoder):
            wanted = (
                "spans, and this batch has masks" if batch.decoder_BM is None else "masks, and this batch has spans"
            )
            raise ModelError(f"{type(self.model).__name__} is trained on {wanted}")
        return self._encoded(batch) if batch.decoder_BM is None else self._decoded(batch)

    def _encoded(self, batch: CorruptedBatch) -> tuple[Tensor, Head]:
        """(N, D) at the places of a masked encoder."""
        out: Any = self.model.bert(input_ids=batch.tokens_BL, attention_mask=batch.mask_BL)
        chosen = out.last_hidden_state.flatten(0, 1).index_select(0, batch.source_N)
        predictions: Any = self.model.cls.predictions
        return predictions.transform(chosen), Head(weight=predictions.decoder.weight, bias=predictions.decoder.bias)

    def _decoded(self, batch: CorruptedBatch) -> tuple[Tensor, Head]:
        """(N, D) at the places of a decoder."""
        encoded: Any = self.model.encoder(input_ids=batch.tokens_BL, attention_mask=batch.mask_BL)
        out: Any = self.model.decoder(
            input_ids=batch.decoder_BM,
            encoder_hidden_states=encoded.last_hidden_state,
            encoder_attention_mask=batch.mask_BL,
            use_cache=False,
        )
        chosen: Tensor = out.last_hidden_state.flatten(0, 1).index_select(0, batch.source_N)
        scale = self.model.config.d_model**-0.5 if self.model.config.scale_decoder_outputs else 1.0
        return chosen, Head(weight=self.model.lm_head.weight, scale=scale)
