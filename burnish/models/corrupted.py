"""Corrupted texts as items and batches: what masked encoders and encoder-decoders are pretrained on.

    masked       tokens   [the MASK was opal]                     targets: "gem" at place 1
    spans        tokens   [the <0> was <1> END]                   what the encoder reads
                 decoder  [START <0> gem <1>  red]                what the decoder reads
                 targets  [<0>   gem <1> red END]                 target n is predicted at place n of the decoder

Rows are padded on the right and masked by length. B rows, L their length, M that of the decoder's rows, N targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Corrupted:
    """One corrupted text.

    Attributes:
        id: of the text.
        tokens: what is read.
        decoder: what the decoder reads; None for a masked encoder.
        places: where each target is predicted, in `decoder` or else in `tokens`.
        targets: the tokens to predict.
        target_bytes: bytes of text that each target spells; 0 for sentinels and end tokens.
    """

    id: str
    tokens: tuple[int, ...]
    decoder: tuple[int, ...] | None
    places: tuple[int, ...]
    targets: tuple[int, ...]
    target_bytes: tuple[int, ...]

    def __post_init__(self) -> None:
        if not len(self.places) == len(self.targets) == len(self.target_bytes):
            raise ValueError(f"text '{self.id}' has {len(self.targets)} targets and {len(self.places)} places")

    @property
    def num_tokens(self) -> int:
        """Tokens that the model computes."""
        return len(self.tokens) + len(self.decoder or ())

    def pieces(self) -> Sequence[Corrupted]:
        """A text is not split."""
        return [self]

    @classmethod
    def collate(cls, items: Sequence[Corrupted]) -> CorruptedBatch:
        """One micro-batch.

        Raises:
            ValueError: there is none, or only some of them are for a decoder.
        """
        if not items or len({item.decoder is None for item in items}) > 1:
            raise ValueError("a batch needs texts, all of them for a masked encoder or all for an encoder-decoder")
        decoders = [item.decoder for item in items if item.decoder is not None]
        tokens, mask = _rows([item.tokens for item in items])
        decoder = _rows(decoders)[0] if decoders else None
        width = decoder.shape[1] if decoder is not None else tokens.shape[1]
        source = [row * width + place for row, item in enumerate(items) for place in item.places]
        return CorruptedBatch(
            ids=tuple(item.id for item in items),
            num_tokens=sum(item.num_tokens for item in items),
            tokens_BL=tokens,
            mask_BL=mask,
            decoder_BM=decoder,
            source_N=torch.tensor(source, dtype=torch.long),
            target_N=torch.tensor([token for item in items for token in item.targets], dtype=torch.long),
            bytes_N=torch.tensor([size for item in items for size in item.target_bytes], dtype=torch.float32),
        )


@dataclass(frozen=True, kw_only=True)
class CorruptedBatch:
    """A micro-batch of corrupted texts.

    Attributes:
        ids: of the texts.
        num_tokens: that are no padding.
        tokens_BL, mask_BL: what is read, and 1 where it is; int64.
        decoder_BM: what the decoder reads, None for a masked encoder.
        source_N: index into the flattened rows (of the decoder, if there is one) where `target_N` is predicted.
        target_N: tokens to predict.
        bytes_N: bytes of text that each spells.
    """

    ids: tuple[str, ...]
    num_tokens: int
    tokens_BL: Tensor
    mask_BL: Tensor
    decoder_BM: Tensor | None
    source_N: Tensor
    target_N: Tensor
    bytes_N: Tensor

    def to(self, device: torch.device) -> CorruptedBatch:
        """The same batch on `device`."""
        return replace(
            self,
            tokens_BL=self.tokens_BL.to(device),
            mask_BL=self.mask_BL.to(device),
            decoder_BM=None if self.decoder_BM is None else self.decoder_BM.to(device),
            source_N=self.source_N.to(device),
            target_N=self.target_N.to(device),
            bytes_N=self.bytes_N.to(device),
        )


def _rows(texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Texts as rows padded with 0, and where they are."""
    width = max(len(text) for text in texts)
    rows = torch.zeros((len(texts), width), dtype=torch.long)
    mask = torch.zeros_like(rows)
    for row, text in enumerate(texts):
        rows[row, : len(text)] = torch.tensor(text)
        mask[row, : len(text)] = 1
    return rows, mask
