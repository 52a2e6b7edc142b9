"""Train tokenizers: byte-level BPE, and Unigram after SentencePiece, both of which give every text back as it was.

    bpe        merges of bytes, most frequent pair first (Sennrich et al. 2016, over bytes as in GPT-2)
    unigram    pieces chosen by the likelihood of a unigram model, which also segments (Kudo 2018); a space is written
               as U+2581 and belongs to the word behind it; characters that no piece has are spelt by bytes

Nothing is normalised and nothing is put in front of a text, so that decoding is the inverse of encoding. The one
exception is the character U+2581 itself, which a unigram tokenizer gives back as a space. Lines are cut apart before
learning, for unigram: no piece holds a line break and something else.

Special tokens stand first in the vocabulary, in the order of `Special`: the tokenizer's text never becomes one of them.

The same texts give the same tokenizer, in every process; that is why the pieces of a unigram model are not learned by
the library's own trainer (see `unigram.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from burnish.config import setting, settings
from burnish.errors import DataError
from burnish.text.tokenizer import PADDING
from burnish.text.unigram import learned_pieces

SENTINEL = "<extra_id_{}>"
"""How T5 spells its sentinels, from 0."""

MODES = ("[R]", "[S]", "[X]")
"""UL2's mode tokens: regular, sequential and extreme denoising."""

_SPACE = "\u2581"
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
_WORDS = r"\n+| +(?= )| ?[^ \n]+| +"
"""Line breaks; the spaces of an indentation but for the last; a word with the space in front of it."""

_ALWAYS = (*map(chr, range(32, 127)), "\n", "\t", _SPACE)
"""Characters with a piece of their own in any text, so that a byte's name can never be read as the byte."""


@settings
class Special:
    """Special tokens by role."""

    begin: str | None = setting(None, "in front of every text; without one the end token serves", min_length=1)
    end: str = setting("<|endoftext|>", "behind every text", min_length=1)
    pad: str = setting(PADDING, "fills rows", min_length=1)
    mask: str | None = setting(None, "stands for a hidden token; masked models need one", min_length=1)
    sentinels: int = setting(0, "that stand for hidden spans, <extra_id_0> and on; T5 has 100", unit="tokens", ge=0)
    modes: bool = setting(False, "the mode tokens of UL2: [R], [S], [X]")
    more: tuple[str, ...] = setting((), "others, such as the markers of a chat template")

    def __post_init__(self) -> None:
        names = self.all
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"special tokens must differ; found twice: {', '.join(twice)}")

    @property
    def all(self) -> tuple[str, ...]:
        """In the order of their ids."""
        roles = [name for name in (self.begin, self.end, self.pad, self.mask) if name is not None]
        others = [*self.more, *(MODES if self.modes else ()), *map(SENTINEL.format, range(self.sentinels))]
        return (*roles, *others)


@settings
class BPE:
    """Byte-level byte-pair encoding."""

    kind: Literal["bpe"] = setting("bpe", "byte-level byte-pair encoding")
    vocabulary: int = setting(16384, "tokens, special ones included", unit="tokens", ge=1)
    min_frequency: int = setting(2, "a pair that is rarer is not merged", ge=1)
    digits: bool = setting(False, "a token for every digit, in place of learned numbers")


@settings
class Unigram:
    """SentencePiece's unigram model."""

    kind: Literal["unigram"] = setting("unigram", "SentencePiece's unigram model, with bytes for unknown characters")
    vocabulary: int = setting(16384, "tokens, special ones and 256 bytes included", unit="tokens", ge=1)
    longest: int = setting(16, "characters of a piece at most", unit="characters", ge=1)
    digits: bool = setting(False, "a token for every digit, in place of learned numbers")


Algorithm = BPE | Unigram


def trained_tokenizer(texts: Iterable[str], algorithm: Algorithm, special: Special) -> PreTrainedTokenizerFast:
    """Train a tokenizer.

    Args:
        texts: to learn from; read once.
        algorithm: which, and its settings.
        special: tokens by role.

    Raises:
        DataError: the vocabulary has no room for special tokens and bytes, or the texts give fewer tokens than asked.
    """
    reserved = len(special.all) + 256
    if algorithm.vocabulary <= reserved:
        raise DataError(
            f"algorithm.vocabulary is {algorithm.vocabulary}, and {len(special.all)} special tokens and 256 bytes "
            f"take {reserved}; set it to {reserved + 1} or more"
        )
    train = _trained_bpe if isinstance(algorithm, BPE) else _trained_unigram
    backend = train(texts, algorithm, special)  # type: ignore[arg-type]
    size = backend.get_vocab_size()
    if size < algorithm.vocabulary:
        raise DataError(
            f"the texts give {size} tokens, and algorithm.vocabulary is {algorithm.vocabulary}; give more text, or set "
            f"it to {size}"
        )
    return _with_roles(backend, special)


def _trained_bpe(texts: Iterable[str], algorithm: BPE, special: Special) -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [*_digits(algorithm), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=algorithm.vocabulary,
        min_frequency=algorithm.min_frequency,
        special_tokens=_added(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return backend


def _trained_unigram(texts: Iterable[str], algorithm: Unigram, special: Special) -> Tokenizer:
    """Special tokens and bytes first, then the learned pieces."""
    splitter = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            *_digits(algorithm),
            pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="never", split=False),
        ]
    )
    words = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(text))
    size = algorithm.vocabulary - len(special.all) - len(_BYTES)
    pieces = learned_pieces(words, size=size, longest=algorithm.longest, always=_ALWAYS)
    if len(pieces) > size:
        needed = algorithm.vocabulary + len(pieces) - size
        raise DataError(
            f"algorithm.vocabulary is {algorithm.vocabulary}, and special tokens, bytes and the {len(pieces)} "
            f"characters of the texts take {needed}; set it to {needed} or more"
        )
    below = 1000.0 * min(score for _, score in pieces)  # no path of pieces is as unlikely as one byte
    rest = [(name, below) for name in (*special.all, *_BYTES)]
    backend = Tokenizer(models.Unigram([*rest, *pieces], unk_id=0, byte_fallback=True))
    backend.pre_tokenizer = splitter
    backend.decoder = decoders.Sequence([decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    return backend


def _digits(algorithm: Algorithm) -> list[pre_tokenizers.PreTokenizer]:
    return [pre_tokenizers.Digits(individual_digits=True)] if algorithm.digits else []


def _added(special: Special) -> list[AddedToken]:
    return [AddedToken(name, special=True, normalized=False) for name in special.all]


def _with_roles(backend: Tokenizer, special: Special) -> PreTrainedTokenizerFast:
    """The tokenizer as transformers takes it; sentinels and modes are special tokens without a role of their own."""
    backend.add_special_tokens(_added(special))
    roles: dict[str, Any] = {"bos_token": special.begin, "eos_token": special.end, "pad_token": special.pad}
    if special.mask is not None:
        roles["mask_token"] = special.mask
    given = {role: name for role, name in roles.items() if name is not None}
    others = [name for name in special.all if name not in given.values()]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        clean_up_tokenization_spaces=False,
        extra_special_tokens=others,
        **given,
    )
