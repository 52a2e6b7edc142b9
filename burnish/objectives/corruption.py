"""How a text is corrupted: hidden tokens (BERT), hidden spans (T5), a hidden end (UL2). Functions of a generator.

    masked     15% of the tokens are chosen; 80% of those become the mask, 10% another token, 10% stay
               (Devlin et al. 2019, section 3.1)
    spans      round(n r) tokens are hidden in round(n r / mean) spans, and neither a span nor what stands between two
               is empty; spans and gaps have random lengths (Raffel et al. 2020, section 3.1.4 and its code)
    suffix     one span, the end of the text (Tay et al. 2022, the S-denoiser)

T5's worked example: 568 tokens at r = 0.15 and mean 3 hide 85 in 28 spans, so 483 + 28 + 1 = 512 tokens are read and
85 + 28 + 1 = 114 predicted, an end token in each. In the paper's figure a last sentinel ends the targets; in its code,
and here, the end token does.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch

from burnish.errors import DataError
from burnish.text.pieces import Pieces

Span = tuple[int, int]
"""Start and stop of hidden tokens."""


def masked_tokens(
    tokens: Sequence[int], pieces: Pieces, generator: torch.Generator, *, rate: float, masked: float, random: float
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The text with hidden tokens, and their places in order.

    Args:
        tokens: of the text; special ones are never chosen.
        pieces: the vocabulary, with a mask.
        generator: draws.
        rate: share of the tokens that are chosen; at least one is.
        masked, random: shares of those that become the mask, and another token.
    """
    open_to = [place for place, token in enumerate(tokens) if pieces.num_bytes[token]]
    if not open_to or pieces.mask is None:
        raise DataError("a text without plain tokens, or a tokenizer without a mask, cannot be masked")
    count = max(1, round(rate * len(open_to)))
    order = torch.randperm(len(open_to), generator=generator)[:count].tolist()
    places = sorted(open_to[index] for index in order)
    fates = torch.rand(count, generator=generator).tolist()
    others = torch.randint(len(pieces.plain), (count,), generator=generator).tolist()
    found = list(tokens)
    for place, fate, other in zip(places, fates, others, strict=True):
        if fate < masked:
            found[place] = pieces.mask
        elif fate < masked + random:
            found[place] = pieces.plain[other]
    return tuple(found), tuple(places)


def hidden_spans(length: int, generator: torch.Generator, *, rate: float, mean: float) -> list[Span]:
    """Spans to hide in a text of `length` tokens, in order; the text begins with a gap.

    Raises:
        DataError: the text has fewer than two tokens.
    """
    if length < 2:
        raise DataError(f"a text of {length} tokens has nothing to hide beside what stays; leave it out")
    hidden, count = num_hidden(length, rate=rate, mean=mean)
    spans = _parts(hidden, count, generator)
    gaps = _parts(length - hidden, count, generator)
    stops = list(accumulate(gap + span for gap, span in zip(gaps, spans, strict=True)))
    return [(stop - span, stop) for stop, span in zip(stops, spans, strict=True)]


def num_hidden(length: int, *, rate: float, mean: float) -> tuple[int, int]:
    """How many tokens of a text are hidden, and in how many spans."""
    hidden = min(max(round(length * rate), 1), length - 1)
    return hidden, min(max(round(hidden / mean), 1), length - hidden)


def suffix(length: int, *, rate: float) -> list[Span]:
    """The end of a text as one span.

    Raises:
        DataError: the text has fewer than two tokens.
    """
    if length < 2:
        raise DataError(f"a text of {length} tokens has nothing to hide beside what stays; leave it out")
    hidden = min(max(round(length * rate), 1), length - 1)
    return [(length - hidden, length)]


def with_sentinels(
    tokens: Sequence[int], spans: Sequence[Span], pieces: Pieces
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What is read, a sentinel for each span, and what is predicted, each span behind its sentinel; both with the end.

    Raises:
        ValueError: there are more spans than sentinels, or no end token.
    """
    if len(spans) > len(pieces.sentinels) or pieces.end is None:
        raise ValueError(
            f"{len(spans)} spans need as many sentinels and an end; found {len(pieces.sentinels)} sentinels"
        )
    read: list[int] = []
    predicted: list[int] = []
    place = 0
    for sentinel, (start, stop) in zip(pieces.sentinels, spans, strict=False):
        read += [*tokens[place:start], sentinel]
        predicted += [sentinel, *tokens[start:stop]]
        place = stop
    return (*read, *tokens[place:], pieces.end), (*predicted, pieces.end)


def _parts(total: int, count: int, generator: torch.Generator) -> list[int]:
    """`total` cut into `count` parts, none empty, every way as likely as another."""
    cuts = sorted((torch.randperm(total - 1, generator=generator)[: count - 1] + 1).tolist())
    return [stop - start for start, stop in zip([0, *cuts], [*cuts, total], strict=True)]
