"""The encoder: the one place where text becomes token ids, and the owner of special tokens.

Three things are decided here and nowhere else.

- Special tokens are written by templates and by the encoder, never by the text of a message. A message that contains
  the characters "<|im_end|>" gets the ordinary tokens for them. Before rendering, such text is *marked*: a
  private-use character is put inside each special token's spelling, so that what stays unbroken in the rendered
  conversation was written by the template; the marks are taken out when the text is encoded.
- A conversation is encoded piece by piece (see `template.py`). A piece that follows another is encoded as the
  continuation it is: tokenizers that put a space in front of a text (SentencePiece) or swallow white space behind a
  special token do what they would do in the middle of the text.
- Padding and truncation that other code switched on in the tokenizer do not reach here: the encoder works on a copy.

What this file does not do: it knows no roles and no templates.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import tokenizers
from transformers import PreTrainedTokenizerFast

from burnish.errors import TemplateError

PADDING = "<|pad|>"
"""The padding token that an export may add. No text contains it, so the digest leaves it out: a reward model and the
policy that it was made from have the same chat text."""

# Private-use characters; the first that occurs nowhere in an example marks it.
_MARKS = tuple(chr(0x10F000 + offset) for offset in range(256))

# Encoded into the digest, so that two tokenizers with one vocabulary but other rules differ.
_PROBE = (
    "The 3 opals' weights: 12.50, 1,000 and 7e-4 carats!\n\n\tdef cut(stone):  # Schliff, größe, naïve, ÉTÉ\n"
    "        return {'facets': [57, 58], \"ok\": True}\r\n"
    "   Бирюза  и янтарь   翡翠と真珠 कीमती ياقوت 💎👩‍🔬 don't WON'T we'll"
)


class _Section(NamedTuple):
    """A stretch of text encoded in one call: the first `skip` tokens and `lead` characters are the anchor's."""

    encoding: tokenizers.Encoding
    start: int
    skip: int
    lead: int


class Encoder:
    """Text to token ids and back.

    Args:
        tokenizer: a fast tokenizer; it is copied, never changed.

    Attributes:
        begin, end: ids of the tokenizer's begin-of-text and end tokens, None where it has none.
        begin_text, end_text: how they are spelt, "" where there is none.
        adds_begin: whether the tokenizer itself puts its begin token in front of plain text.
        controls: matches the spelling of every special token.

    Raises:
        TemplateError: the tokenizer is not a fast one.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise TemplateError(
                f"the tokenizer is a {type(tokenizer).__name__}; chat text needs a fast one (PreTrainedTokenizerFast), "
                "such as AutoTokenizer gives for a model directory with a tokenizer.json"
            )
        self._native = _clean_copy(tokenizer.backend_tokenizer)
        self._added: Mapping[int, Any] = dict(tokenizer.added_tokens_decoder)
        self._special_ids = frozenset({i for i, token in self._added.items() if token.special})
        self._special_ids |= frozenset(tokenizer.all_special_ids)
        self.begin: int | None = tokenizer.bos_token_id
        self.end: int | None = tokenizer.eos_token_id
        self.begin_text: str = tokenizer.bos_token or ""
        self.end_text: str = tokenizer.eos_token or ""
        spellings = {token.content for token in self._added.values() if token.special} | set(
            tokenizer.all_special_tokens
        )
        # A spelling of one character cannot be broken by a mark, so text may contain it as it is.
        self._controls = tuple(sorted((s for s in spellings if len(s) > 1), key=lambda s: (-len(s), s)))
        self.controls = re.compile("|".join(map(re.escape, self._controls)) or "(?!)")
        probe = self._native.encode("x", add_special_tokens=True).ids
        self.adds_begin = self.begin is not None and probe[0] == self.begin

    def ids(self, text: str, *, after: str = "", mark: str = "") -> tuple[int, ...]:
        """Token ids of a piece of text, without adding any.

        Args:
            text: the piece.
            after: what stands before it, "" at the beginning; only its ending matters.
            mark: the mark that `mark_for` chose for the example, "" if there is none.
        """
        return tuple(i for s in self._sections(text, after, mark) for i in s.encoding.ids[s.skip :])

    def starts(self, text: str, *, after: str = "", mark: str = "") -> tuple[int, ...]:
        """Where each token of `ids(...)` begins, in characters of the text without marks."""
        return tuple(
            s.start + start - s.lead
            for s in self._sections(text, after, mark)
            for start, _ in s.encoding.offsets[s.skip :]
        )

    def _sections(self, text: str, after: str, mark: str) -> Iterator[_Section]:
        if not mark or mark not in text:
            yield self._continued(self._native, text, after, 0)
            return
        start = 0
        for piece, is_control in _split(self.controls, text):
            clean = piece.replace(mark, "")
            section = self._continued(self._native if is_control else self._plain, clean, after, start)
            if not is_control and not self._special_ids.isdisjoint(section.encoding.ids[section.skip :]):
                raise TemplateError(f"this tokenizer makes a special token of the plain text {clean[:80]!r}")
            yield section
            start += len(clean)
            after = piece

    def _continued(self, backend: tokenizers.Tokenizer, text: str, after: str, start: int) -> _Section:
        """Encode `text` as the continuation of `after`, whose last special token (or a newline) is encoded with it."""
        anchor = ""
        if after.endswith(self._controls):
            anchor = next(control for control in self._controls if after.endswith(control))
        elif after and self._prefixes:
            anchor = "\n"
        if anchor:
            head = self._native.encode(anchor, add_special_tokens=False).ids
            whole = backend.encode(anchor + text, add_special_tokens=False)
            if whole.ids[: len(head)] == head:
                return _Section(whole, start, len(head), len(anchor))
        return _Section(backend.encode(text, add_special_tokens=False), start, 0, 0)

    @cached_property
    def _prefixes(self) -> bool:
        """Whether the tokenizer treats the beginning of a text unlike its middle."""
        newline = self._native.encode("\n", add_special_tokens=False).ids
        whole = self._native.encode("\nx", add_special_tokens=False).ids
        return whole[len(newline) :] != self._native.encode("x", add_special_tokens=False).ids

    @cached_property
    def _plain(self) -> tokenizers.Tokenizer:
        """A copy that reads special tokens' spellings as ordinary text."""
        plain = _clean_copy(self._native)
        plain.encode_special_tokens = True
        return plain

    def first_token(self, text: str) -> str:
        """The spelling of the added token that `text` begins with, "" if it begins with ordinary text."""
        found = (token.content for token in self._added.values() if token.content and text.startswith(token.content))
        return max(found, key=len, default="")

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens included."""
        return str(self._native.decode(list(ids), skip_special_tokens=False))

    def without_specials(self, ids: Iterable[int], *, keep: str = "") -> list[int]:
        """`ids` without special tokens, except those spelt in `keep`."""
        kept = set(self._native.encode(keep, add_special_tokens=False).ids)
        return [i for i in ids if i not in self._special_ids or i in kept]

    def mark_for(self, texts: Sequence[str]) -> str:
        """The mark for an example with these texts: "" where no text spells a special token."""
        if not any(self.controls.search(text) for text in texts):
            return ""
        free = next((mark for mark in _MARKS if not any(mark in text for text in texts)), None)
        if free is None:
            raise TemplateError(f"a text holds each of the {len(_MARKS)} private-use characters from U+10F000 on")
        return free

    def marked(self, value: Any, mark: str) -> Any:
        """`value` (text, lists, mappings) with every special token's spelling broken by `mark`."""
        if isinstance(value, str):
            return self.controls.sub(lambda m: m[0][0] + mark + m[0][1:], value) if mark else value
        if isinstance(value, Mapping):
            return {key: self.marked(item, mark) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.marked(item, mark) for item in value]
        return value

    @cached_property
    def digest(self) -> str:
        """sha256 of the vocabulary, the added tokens and how a probe text is encoded, without `PADDING`; hex."""
        added = [
            (i, token.content, token.special, token.lstrip, token.rstrip)
            for i, token in sorted(self._added.items())
            if token.content != PADDING
        ]
        vocabulary = sorted((t, i) for t, i in self._native.get_vocab(with_added_tokens=True).items() if t != PADDING)
        facts = [vocabulary, added, self._native.encode(_PROBE, add_special_tokens=False).ids]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _clean_copy(backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """A copy of `backend` that neither pads nor truncates."""
    copied = copy.deepcopy(backend)
    copied.no_padding()
    copied.no_truncation()
    return copied


def _split(pattern: re.Pattern[str], text: str) -> Iterator[tuple[str, bool]]:
    """Yield the stretches of `text` with whether they match `pattern`, empty ones left out."""
    position = 0
    for match in pattern.finditer(text):
        if match.start() > position:
            yield text[position : match.start()], False
        yield match[0], True
        position = match.end()
    if position < len(text):
        yield text[position:], False
