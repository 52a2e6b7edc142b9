"""Pretraining by denoising: masked language modelling, span corruption, and UL2's mixture of denoisers.

    L = - sum_n log p(y_n | corrupted text, y_<n)  /  N

over the hidden tokens (the lifecycle document, sections 1.2.2 to 1.2.4). An objective is also what corrupts its texts:
`corrupted(text, pieces, keys)` is a function of the text and of the keys, so a resumed run hides what the run that was
never stopped would have hidden. In encoder-decoders the sentinels and the end are predicted too, and count in the loss.

    bits per byte = - sum_n log2 p(y_n)  /  bytes of the hidden text,  over the targets that spell text

It compares models of one objective with different tokenizers. It is not that of a causal model, which sees one side.

UL2 (Tay et al. 2022, table 1) draws one of seven denoisers for each text, all as likely, and puts its mode in front:

    [R]  regular      spans of mean 3 and 8, 15% hidden
    [S]  sequential   the last quarter
    [X]  extreme      spans of mean 3 and 8, 50% hidden; spans of mean 64, 15% and 50% hidden
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from burnish.config import setting, settings
from burnish.errors import DataError
from burnish.metrics import Mean, Number
from burnish.models.corrupted import Corrupted, CorruptedBatch
from burnish.numerics import generator_from
from burnish.objectives.corruption import hidden_spans, masked_tokens, num_hidden, suffix, with_sentinels
from burnish.objectives.objective import Loss, Objective, Outputs
from burnish.text.pieces import Pieces

Key = str | int | float


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text to corrupt: its id and its tokens, without begin and end."""

    id: str
    tokens: tuple[int, ...]


class Denoising(Objective):
    """Negative log-likelihood of what was hidden, per target."""

    @abstractmethod
    def corrupted(self, text: Text, pieces: Pieces, *keys: Key) -> Corrupted:
        """The text with something hidden, a function of its id, its tokens and the keys.

        Raises:
            DataError: too little text, or a special token is missing.
        """

    @abstractmethod
    def require(self, pieces: Pieces, texts: Sequence[Text]) -> None:
        """Refuse a vocabulary and texts on which a later `corrupted` would fail.

        Raises:
            DataError: names the special tokens that are missing, or a text that is too short or too long.
        """

    def check(self, items: Sequence[Corrupted]) -> None:
        """Every text must have something hidden."""
        for item in items:
            if not any(item.target_bytes):
                raise DataError(f"text '{item.id}' has no hidden token; nothing could be learned from it")

    def weights(self, batch: CorruptedBatch) -> Mapping[str, float]:
        """The number of targets."""
        return {"nll": float(len(batch.target_N))}

    def loss(self, outputs: Outputs, batch: CorruptedBatch, statistics: Mapping[str, Number]) -> Loss:
        """The summed negative log-likelihood of the targets."""
        logp = outputs["logp"]
        bits = -float(logp.detach()[batch.bytes_N > 0].sum()) / math.log(2)
        return Loss(terms={"nll": -logp.sum()}, metrics={"bits_per_byte": Mean(bits, float(batch.bytes_N.sum()))})


@settings
class MaskedLM(Denoising):
    """Predict chosen tokens from both sides."""

    kind: Literal["masked_lm"] = setting("masked_lm", "masked language modelling")
    rate: float = setting(0.15, "share of the tokens that are chosen", gt=0, lt=1)
    masked: float = setting(0.8, "of the chosen, the share that becomes the mask", ge=0, le=1)
    random: float = setting(0.1, "of the chosen, the share that becomes another token; the rest stays", ge=0, le=1)

    def __post_init__(self) -> None:
        if self.masked + self.random > 1:
            raise ValueError(f"masked is {self.masked:g} and random {self.random:g}; together they may be 1 at most")

    def require(self, pieces: Pieces, texts: Sequence[Text]) -> None:
        """A mask, and a token in every text."""
        if pieces.mask is None:
            raise DataError("the tokenizer has no mask token; train one with burnish tokenizer --mask '<mask>'")
        _require_length(texts, 1)

    def corrupted(self, text: Text, pieces: Pieces, *keys: Key) -> Corrupted:
        """The text with masks."""
        self.require(pieces, (text,))
        generator = generator_from(*keys, "masked_lm", text.id)
        tokens, places = masked_tokens(
            text.tokens, pieces, generator, rate=self.rate, masked=self.masked, random=self.random
        )
        targets = tuple(text.tokens[place] for place in places)
        return Corrupted(
            id=text.id,
            tokens=tokens,
            decoder=None,
            places=places,
            targets=targets,
            target_bytes=pieces.bytes_of(targets),
        )


@settings
class SpanCorruption(Denoising):
    """Predict hidden spans, one behind the other."""

    kind: Literal["span_corruption"] = setting("span_corruption", "span corruption with sentinels")
    rate: float = setting(0.15, "share of the tokens that are hidden", gt=0, lt=1)
    mean_span: float = setting(3.0, "mean length of a span", unit="tokens", ge=1)

    def require(self, pieces: Pieces, texts: Sequence[Text]) -> None:
        """Sentinels for the longest text, an end, and a padding token, with which the decoder starts."""
        _require_length(texts, 2)
        longest = max((len(text.tokens) for text in texts), default=2)
        _require_spans(pieces, num_hidden(longest, rate=self.rate, mean=self.mean_span)[1], longest)

    def corrupted(self, text: Text, pieces: Pieces, *keys: Key) -> Corrupted:
        """The text with sentinels."""
        self.require(pieces, (text,))
        generator = generator_from(*keys, "span_corruption", text.id)
        spans = hidden_spans(len(text.tokens), generator, rate=self.rate, mean=self.mean_span)
        return _spanned(text, spans, pieces)


@dataclass(frozen=True)
class Denoiser:
    """One of UL2's: its mode, the share that is hidden, and the mean length of spans; None hides the end."""

    mode: str
    rate: float
    mean_span: float | None


DENOISERS = (
    Denoiser("[R]", 0.15, 3),
    Denoiser("[R]", 0.15, 8),
    Denoiser("[S]", 0.25, None),
    Denoiser("[X]", 0.5, 3),
    Denoiser("[X]", 0.5, 8),
    Denoiser("[X]", 0.15, 64),
    Denoiser("[X]", 0.5, 64),
)
"""Table 1 of Tay et al. 2022."""


@settings
class UL2(Denoising):
    """Predict what one of seven denoisers hid, with its mode in front."""

    kind: Literal["ul2"] = setting("ul2", "UL2's mixture of denoisers with mode tokens")

    def require(self, pieces: Pieces, texts: Sequence[Text]) -> None:
        """What span corruption needs, for the denoiser with most spans, and the modes."""
        _require_length(texts, 2)
        longest = max((len(text.tokens) for text in texts), default=2)
        spanned = [(one.rate, one.mean_span) for one in DENOISERS if one.mean_span is not None]
        most = max(num_hidden(longest, rate=rate, mean=mean)[1] for rate, mean in spanned)
        _require_spans(pieces, most, longest)
        if not pieces.modes:
            raise DataError(
                "the tokenizer lacks a mode token; train one with burnish tokenizer --modes --sentinels 100"
            )

    def corrupted(self, text: Text, pieces: Pieces, *keys: Key) -> Corrupted:
        """The text as one of the denoisers leaves it."""
        self.require(pieces, (text,))
        generator = generator_from(*keys, "ul2", text.id)
        chosen = DENOISERS[int(torch.randint(len(DENOISERS), (), generator=generator))]
        length = len(text.tokens)
        if chosen.mean_span is None:
            spans = suffix(length, rate=chosen.rate)
        else:
            spans = hidden_spans(length, generator, rate=chosen.rate, mean=chosen.mean_span)
        return _spanned(text, spans, pieces, front=(pieces.modes[chosen.mode],))


def _require_length(texts: Sequence[Text], least: int) -> None:
    short = next((text for text in texts if len(text.tokens) < least), None)
    if short is not None:
        raise DataError(
            f"text '{short.id}' has {len(short.tokens)} tokens; {least} are needed to hide one, leave it out"
        )


def _require_spans(pieces: Pieces, num_spans: int, length: int) -> None:
    if pieces.end is None or pieces.pad is None:
        raise DataError("the tokenizer has no end or no padding token; train one with burnish tokenizer")
    if num_spans > len(pieces.sentinels):
        raise DataError(
            f"a text of {length} tokens has {num_spans} hidden spans, and the tokenizer {len(pieces.sentinels)} "
            f"sentinels; make texts shorter, or train one with burnish tokenizer --sentinels {max(100, num_spans)}"
        )


def _spanned(text: Text, spans: Sequence[tuple[int, int]], pieces: Pieces, *, front: tuple[int, ...] = ()) -> Corrupted:
    """What the encoder and the decoder read; the decoder starts with the padding token, as T5's does."""
    assert pieces.pad is not None
    read, targets = with_sentinels(text.tokens, spans, pieces)
    return Corrupted(
        id=text.id,
        tokens=(*front, *read),
        decoder=(pieces.pad, *targets[:-1]),
        places=tuple(range(len(targets))),
        targets=targets,
        target_bytes=pieces.bytes_of(targets),
    )
