"""A folder of token files as one stream of tokens: any stretch of it, and the document that holds any token.

    files = TokenFiles(Path("runs/tokens"))
    files.tokens(1_000, 1_020)        # ids, read from the disk when they are looked at
    files.holder(1_003)               # Holder(document="web/17", source="web", offset=12, ...)

Nothing is loaded: shards are mapped into memory when they are first read, and a few of them stay mapped. What a
document is called stands in the shard's index, which is mapped too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.data.curate.atomic import read_arrow
from burnish.data.tokens.layout import Shard, read_manifest
from burnish.data.tokens.writing import TokenDocument, index_path, tokens_path
from burnish.errors import DataError

_MAPPED = 64
"""Shards that stay mapped; each takes two file mappings of the process, which a system limits."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The document that holds a token.

    Attributes:
        document, source: its names.
        shard: name of the shard that it lies in.
        offset: how many tokens of the document stand before the token.
        start, stop: the document's tokens in the stream.
    """

    document: str
    source: str
    shard: str
    offset: int
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Tokens of one document that follow each other.

    Attributes:
        document: its id.
        offset: how many tokens of the document stand before them.
        tokens: ids.
    """

    document: str
    offset: int
    tokens: np.ndarray


@dataclass(frozen=True)
class _Mapped:
    """A shard whose files are mapped."""

    tokens: np.ndarray
    index: pa.Table
    starts: np.ndarray

    def place(self, token: int) -> int:
        """Number of the document that holds a token of the shard."""
        return int(np.searchsorted(self.starts, token, side="right")) - 1

    def stop(self, place: int) -> int:
        """Where a document ends."""
        return int(self.starts[place + 1]) if place + 1 < len(self.starts) else len(self.tokens)

    def name(self, place: int, column: str) -> str:
        """The id or source of a document."""
        return str(self.index.column(column)[place].as_py())


class TokenFiles:
    """Token files as one stream.

    Args:
        folder: holds a manifest.

    Attributes:
        spelling: what the ids mean.
        num_tokens, num_documents: in all shards.

    Raises:
        DataError: there is no manifest, or a shard has not the size that it names.
    """

    def __init__(self, folder: Path) -> None:
        manifest = read_manifest(folder)
        self.folder = folder
        self.spelling = manifest.spelling
        self.shards = manifest.shards
        self._ends = np.cumsum([shard.num_tokens for shard in self.shards])
        self.num_tokens = int(self._ends[-1]) if self.shards else 0
        self.num_documents = sum(shard.num_documents for shard in self.shards)
        self._mapped: dict[int, _Mapped] = {}
        for shard in self.shards:
            self._check_size(shard)

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """The tokens from `start` up to `stop` of the stream, across shards; a view of the disk inside of one.

        Raises:
            IndexError: the stretch is not in the stream.
        """
        parts = [self._shard(shard).tokens[low:high] for shard, low, high in self._parts(start, stop)]
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, self.spelling.dtype), *parts])

    def stretches(self, start: int, stop: int) -> Iterator[Stretch]:
        """The same tokens, cut at the borders of documents.

        Raises:
            IndexError: the stretch is not in the stream.
        """
        for shard, low, high in self._parts(start, stop):
            mapped = self._shard(shard)
            place = mapped.place(low)
            while low < high:
                upto = min(mapped.stop(place), high)
                offset = low - int(mapped.starts[place])
                yield Stretch(document=mapped.name(place, "id"), offset=offset, tokens=mapped.tokens[low:upto])
                low, place = upto, place + 1

    def documents(self) -> Iterator[TokenDocument]:
        """Every document, in the order of the stream."""
        for number in range(len(self.shards)):
            mapped = self._shard(number)
            names, sources, sizes = (mapped.index.column(name).to_pylist() for name in ("id", "source", "bytes"))
            for place, (name, source, size) in enumerate(zip(names, sources, sizes, strict=True)):
                tokens = mapped.tokens[int(mapped.starts[place]) : mapped.stop(place)]
                yield TokenDocument(id=name, source=source, tokens=tokens, num_bytes=size)

    def holder(self, token: int) -> Holder:
        """The document that holds the token of this number.

        Raises:
            IndexError: the stream has no such token.
        """
        ((shard, low, _),) = self._parts(token, token + 1)
        mapped, base = self._shard(shard), token - low
        place = mapped.place(low)
        start = int(mapped.starts[place])
        return Holder(
            document=mapped.name(place, "id"),
            source=mapped.name(place, "source"),
            shard=self.shards[shard].name,
            offset=low - start,
            start=base + start,
            stop=base + mapped.stop(place),
        )

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """The shards that a stretch of the stream lies in, with the stretch in each."""
        if not 0 <= start <= stop <= self.num_tokens:
            raise IndexError(f"{self.folder} has the tokens 0 to {self.num_tokens - 1:,}; found {start:,} to {stop:,}")
        shard = int(np.searchsorted(self._ends, start, side="right"))
        while start < stop:
            base = int(self._ends[shard]) - self.shards[shard].num_tokens
            upto = min(stop, int(self._ends[shard]))
            yield shard, start - base, upto - base
            start, shard = upto, shard + 1

    def _shard(self, number: int) -> _Mapped:
        found = self._mapped.pop(number, None)
        if found is None:
            name = self.shards[number].name
            index = read_arrow(index_path(self.folder, name))
            tokens = np.memmap(tokens_path(self.folder, name), dtype=self.spelling.dtype, mode="r")
            found = _Mapped(tokens, index, index.column("start").chunk(0).to_numpy())
        self._mapped[number] = found
        if len(self._mapped) > _MAPPED:
            del self._mapped[next(iter(self._mapped))]
        return found

    def _check_size(self, shard: Shard) -> None:
        path, expected = tokens_path(self.folder, shard.name), shard.num_tokens * self.spelling.dtype.itemsize
        found: Any = path.stat().st_size if path.is_file() else "no file"
        if found != expected or not index_path(self.folder, shard.name).is_file():
            raise DataError(
                f"{path}: found {found} bytes, expected {expected} and an index beside it; the folder was changed or "
                "copied in part. Make it anew with burnish tokenise"
            )
