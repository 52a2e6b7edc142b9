"""What one who corrupts text must know of a tokenizer: special tokens by role, and the bytes of each token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from burnish.errors import ModelError
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
    sizes = [0] * (max(vocabulary.values()) + 1)
    by_bytes, by_spaces = _spelling(tokenizer)
    for token, number in vocabulary.items():
        if token not in special:
            sizes[number] = len(token) if by_bytes else _size(token) if by_spaces else 0
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


def _spelling(tokenizer: PreTrainedTokenizerFast) -> tuple[bool, bool]:
    """Whether a character of a token is a byte, or a token is text with U+2581 for spaces."""
    decoder = repr(tokenizer.backend_tokenizer.decoder)
    found = ("ByteLevel" in decoder, _SPACE in decoder or "Metaspace" in decoder)
    if not any(found):
        raise ModelError(
            "it is not known how many bytes the tokens of this tokenizer spell; known are byte-level BPE and "
            "SentencePiece: burnish tokenizer trains both"
        )
    return found


def _size(token: str) -> int:
    """Bytes of a token in which U+2581 is a space and <0x41> a byte."""
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return 1
    return len(token.replace(_SPACE, " ").encode())
