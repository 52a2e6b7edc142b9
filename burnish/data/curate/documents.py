"""A batch of documents as steps see it: an Arrow batch, and what several steps want to know about its texts.

    id       text, unique in the corpus
    text     what the document says
    url      where it was found, null if not known
    source   which of the named inputs it came from, or what the row says (`source`)
    extra    every other column of the row, as one JSON object; null if there is none

Extra columns are carried as JSON text, so that files whose columns differ in type can stand in one corpus.

Words are made once per text and shared: `documents.words` (see `burnish.data.curate.words`). A step that drops
documents passes the rest on with their words; a text that was edited loses its words and gets new ones.

While a run that counts tokens works, a column `tokens` stands beside these five.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from burnish.data.curate.counting import Tokens
from burnish.data.curate.words import Words, split_words

DOCUMENT = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.large_string()),
        ("url", pa.string()),
        ("source", pa.string()),
        ("extra", pa.large_string()),
    ]
)
"""The columns of a document; texts have 64-bit offsets, so that no shard is too large for Arrow."""

TOKENS = pa.field("tokens", pa.int64())
"""The column of tokens, where they are counted."""

BATCH_DOCUMENTS = 512
BATCH_BYTES = 4_000_000
"""A batch holds no more than so many documents, or so many bytes of text if it has more than one document."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How long some texts are; (n,) int64 each, `tokens` None where none are counted."""

    bytes: np.ndarray
    words: np.ndarray
    tokens: np.ndarray | None = None

    def taken(self, rows: np.ndarray) -> Sizes:
        """The sizes of some texts.

        Args:
            rows: which, as places or (n,) bool.
        """
        tokens = None if self.tokens is None else self.tokens[rows]
        return Sizes(bytes=self.bytes[rows], words=self.words[rows], tokens=tokens)


class Documents:
    """Some documents, in their canonical order.

    Args:
        batch: has the columns of `DOCUMENT`, and may have that of `TOKENS`.
        split: the words of each text where they are known already, None where they are not.
        words: the words of all texts, where they are known.
    """

    def __init__(
        self, batch: pa.RecordBatch, split: list[list[str] | None] | None = None, words: Words | None = None
    ) -> None:
        self.batch = batch
        self._split: list[list[str] | None] = split if split is not None else [None] * batch.num_rows
        self._words = words

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    @cached_property
    def ids(self) -> list[str]:
        """The id of each document."""
        return list(self.batch.column("id").to_pylist())

    @cached_property
    def texts(self) -> list[str]:
        """The text of each document."""
        return list(self.batch.column("text").to_pylist())

    @cached_property
    def urls(self) -> list[str | None]:
        """The address of each document, None where it is not known."""
        return list(self.batch.column("url").to_pylist())

    @cached_property
    def sources(self) -> list[str]:
        """The source of each document."""
        return list(self.batch.column("source").to_pylist())

    @cached_property
    def num_bytes(self) -> np.ndarray:
        """UTF-8 bytes of each text, (n,) int64."""
        return text_bytes(self.batch.column("text"))

    @property
    def words(self) -> Words:
        """The words of the texts (`burnish.data.curate.words`)."""
        if self._words is None:
            for row, known in enumerate(self._split):
                if known is None:
                    self._split[row] = split_words(self.texts[row])
            self._words = Words([words for words in self._split if words is not None])
        return self._words

    @property
    def sizes(self) -> Sizes:
        """How long the texts are."""
        place = self.batch.schema.get_field_index(TOKENS.name)
        tokens = None if place < 0 else np.asarray(self.batch.column(place))
        return Sizes(bytes=self.num_bytes, words=self.words.counts, tokens=tokens)

    def draws(self, seed: int, name: str) -> np.ndarray:
        """A number from [0, 1) for each document, (n,): a function of its id, the seed and the name alone.

        Args:
            seed: of the run.
            name: tells the draws of one step from those of another.
        """
        prefix = f"{seed}\0{name}\0"
        bits = [xxhash.xxh3_64_intdigest((prefix + name_of).encode()) >> 11 for name_of in self.ids]
        return np.array(bits, dtype=np.float64) / 2.0**53

    def taken(self, rows: np.ndarray) -> Documents:
        """The documents of some rows, in that order, with the words that are known of them."""
        if np.array_equal(rows, np.arange(len(self))):
            return self
        words = self._words.taken(rows) if self._words is not None else None
        return Documents(self.batch.take(pa.array(rows)), [self._split[row] for row in rows.tolist()], words)

    def edited(self, texts: Mapping[int, str], tokens: Tokens | None = None) -> Documents:
        """The same documents with other texts in some rows.

        Args:
            texts: the new texts, by row.
            tokens: counts those of the new texts, where the documents have a column of tokens.
        """
        if not texts:
            return self
        new = [texts.get(row, old) for row, old in enumerate(self.texts)]
        column = self.batch.schema.get_field_index("text")
        batch = self.batch.set_column(column, DOCUMENT.field("text"), pa.array(new, pa.large_string()))
        if tokens is not None:
            counts = np.array(batch.column(TOKENS.name))
            counts[list(texts)] = tokens.counts(list(texts.values()))
            batch = batch.set_column(batch.schema.get_field_index(TOKENS.name), TOKENS, pa.array(counts))
        return Documents(batch, [None if row in texts else words for row, words in enumerate(self._split)])


def text_bytes(column: pa.Array) -> np.ndarray:
    """UTF-8 bytes of each text of a column without nulls, (n,) int64."""
    return np.asarray(pc.binary_length(column)).astype(np.int64)


def batches(table: pa.Table) -> Iterator[Documents]:
    """The documents of a table in batches; where they are cut follows from the table alone.

    Args:
        table: has the columns of `DOCUMENT`, and may have that of `TOKENS`.
    """
    table = table.combine_chunks()
    if table.num_rows == 0:
        return
    (batch,) = table.to_batches()
    ends = np.cumsum(text_bytes(batch.column("text")))
    start = 0
    while start < batch.num_rows:
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + BATCH_BYTES, side="right"))
        stop = min(max(stop, start + 1), start + BATCH_DOCUMENTS, batch.num_rows)
        yield Documents(batch.slice(start, stop - start))
        start = stop


def document_batch(
    ids: list[str],
    texts: list[str],
    *,
    urls: list[str | None] | None = None,
    sources: list[str] | None = None,
) -> Documents:
    """Documents made by hand, for tests and examples.

    Args:
        ids, texts: of the documents.
        urls: null if not given.
        sources: "made" if not given.
    """
    nothing = [None] * len(ids)
    columns = [ids, texts, urls or nothing, sources or ["made"] * len(ids), nothing]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, DOCUMENT, strict=True)]
    return Documents(pa.record_batch(arrays, schema=DOCUMENT))
