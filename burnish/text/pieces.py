"""What one who corrupts or measures text must know of a tokenizer: special tokens by role, and the bytes of each token.

Bytes are counted token by token and never by decoding: where a border cuts a character of several bytes, both halves
decode to replacement characters of three bytes each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from burnish.errors import ModelError
from burnish.text.tokenizer import Encoder
from burnish.text.training import MODES, SENTINEL

_SPACE = "\u2581"


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """A vocabulary.

    Attributes:
        plain: ids of the tokens that spell text.
        num_bytes: of text that each id spells, 0 for special tokens.
        end, pad, mask: ids, None where there is none.
        sentinels: ids, in order.
        modes: ids of UL2's mode tokens by their spelling; empty if one is missing.
    """

    plain: tuple[int, ...]
    num_bytes: tuple[int, ...]
    end: int | None
    pad: int | None
    mask: int | None
    sentinels: tuple[int, ...]
    modes: dict[str, int]

    def bytes_of(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """Bytes of text that each token spells."""
        return tuple(self.num_bytes[token] for token in tokens)


def pieces_of(tokenizer: PreTrainedTokenizerFast) -> Pieces:
    """The vocabulary of a tokenizer.

    Raises:
        ModelError: it is not known how its tokens spell bytes.
    """
    vocabulary = tokenizer.get_vocab()
    special = {token for token in tokenizer.all_special_tokens if token in vocabulary}
    added = tokenizer.get_added_vocab()  # these are spelt as they are, in any vocabulary
    sizes = [0] * (max(vocabulary.values()) + 1)
    by_bytes = _spells_bytes(tokenizer)
    for token, number in vocabulary.items():
        if token not in special:
            sizes[number] = len(token.encode()) if token in added else len(token) if by_bytes else _size(token)
    count = next(n for n in range(len(vocabulary) + 1) if SENTINEL.format(n) not in special)
    found = {name: vocabulary[name] for name in MODES if name in special}
    return Pieces(
        plain=tuple(sorted(number for token, number in vocabulary.items() if token not in special)),
        num_bytes=tuple(sizes),
        end=tokenizer.eos_token_id,
        pad=tokenizer.pad_token_id,
        mask=tokenizer.mask_token_id,
        sentinels=tuple(vocabulary[SENTINEL.format(n)] for n in range(count)),
        modes=found if len(found) == len(MODES) else {},
    )


def byte_counter(tokenizer: PreTrainedTokenizerFast) -> Callable[[Sequence[int], Sequence[int]], int]:
    """What counts the UTF-8 bytes of the text that tokens spell, behind the tokens of a prompt.

    The bytes of consecutive stretches of a text add up to those of the text, wherever it is cut. A space that the
    tokenizer puts in front of every text is not counted; there a text that begins with a space of its own counts one
    byte less. Where it is not known how single tokens spell bytes, they are decoded together, and a character that is
    cut counts as replacement characters.
    """
    try:
        pieces = pieces_of(tokenizer)
    except ModelError:
        return lambda prompt, tokens: len(tokenizer.decode(list(tokens), skip_special_tokens=True).encode())
    sizes, encoder = pieces.num_bytes, Encoder(tokenizer)
    probe = encoder.ids("x", after=encoder.begin_text or encoder.end_text)
    in_front = sum(sizes[token] for token in probe) - 1

    def count(prompt: Sequence[int], tokens: Sequence[int]) -> int:
        begins = sizes[prompt[-1]] == 0
        return max(sum(sizes[token] for token in tokens) - in_front * begins, 0)

    return count


def _spells_bytes(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether a character of a token is a byte; else a token is text with U+2581 for spaces.

    Raises:
        ModelError: it is neither.
    """
    decoder = repr(tokenizer.backend_tokenizer.decoder)
    if "ByteLevel" in decoder:
        return True
    if _SPACE in decoder or "Metaspace" in decoder:
        return False
    raise ModelError(
        "it is not known how many bytes the tokens of this tokenizer spell; known are byte-level BPE and "
        "SentencePiece: burnish tokenizer trains both"
    )


def _size(token: str) -> int:
    """Bytes of a token in which U+2581 is a space and <0x41> a byte."""
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return 1
    return len(token.replace(_SPACE, " ").encode())
