"""How well a tokenizer compresses a text, for tokenizers side by side on the same texts.

    bytes per token     bytes of the texts in UTF-8 / tokens: more is better, and makes a context reach further
    tokens per word     tokens / words, where a word is what stands between white space (fertility)
    returned            share of the texts that decoding gives back as they were

A vocabulary of twice the size compresses better by itself, and costs parameters; it stands beside the figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from burnish.errors import DataError
from burnish.text.tokenizer import Encoder


@dataclass(frozen=True, kw_only=True)
class Compression:
    """What a tokenizer makes of some texts.

    Attributes:
        vocabulary: size of the tokenizer's.
        texts, bytes, words, tokens: counts.
        bytes_per_token, tokens_per_word: see the head of this file.
        returned: share of texts that come back as they were.
    """

    vocabulary: int
    texts: int
    bytes: int
    words: int
    tokens: int
    bytes_per_token: float
    tokens_per_word: float
    returned: float


def compression(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> Compression:
    """Encode every text, without special tokens, and count.

    Raises:
        DataError: there is no word among the texts.
    """
    encoder = Encoder(tokenizer)
    count = num_bytes = words = tokens = returned = 0
    for text in texts:
        mark = encoder.mark_for([text])
        ids = encoder.ids(encoder.marked(text, mark), mark=mark)
        count += 1
        num_bytes += len(text.encode())
        words += len(text.split())
        tokens += len(ids)
        returned += encoder.decode(ids) == text
    if not words:
        raise DataError(f"there is no word in the {count} texts to measure compression on; hold out more of them")
    return Compression(
        vocabulary=max(tokenizer.get_vocab().values()) + 1,
        texts=count,
        bytes=num_bytes,
        words=words,
        tokens=tokens,
        bytes_per_token=num_bytes / tokens,
        tokens_per_word=tokens / words,
        returned=returned / count,
    )
