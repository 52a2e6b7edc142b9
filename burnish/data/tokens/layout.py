"""What a folder of token files holds.

    tokens.json               the manifest, written last: a folder without it is not finished
    shard-00000.tokens        token ids one after another, little-endian, 2 or 4 bytes each by the vocabulary
    shard-00000.index.arrow   a row for every document of the shard: id, source, start, bytes

    tokens   [o n e . E | t w o E | t h r e e E]      E is the end token, the last token of every document
    start     0           5         9                 a document reaches to the next one's start

No begin token is stored: a reader puts `first` (the begin token, the end token where there is none) in front.
A shard is made of one input file, so its bytes depend on that file and the tokenizer alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.data.curate.atomic import read_json, write_json
from burnish.errors import DataError

MANIFEST = "tokens.json"
INDEX = pa.schema([("id", pa.string()), ("source", pa.string()), ("start", pa.uint64()), ("bytes", pa.int64())])
"""Of a shard. `bytes` counts the document's text in UTF-8."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What the manifest says of one shard.

    Attributes:
        name: of its files, without their endings.
        num_tokens: end tokens included.
        num_documents, num_bytes: documents, and the UTF-8 bytes of their texts.
        sha256: of the token file.
    """

    name: str
    num_tokens: int
    num_documents: int
    num_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """What the token ids mean.

    Attributes:
        tokenizer: digest of the vocabulary and the rules (`burnish.text.tokenizer.Encoder.digest`).
        vocabulary: ids lie below it.
        first: the token that predicts the first one of a document.
        end: the token behind every document.
    """

    tokenizer: str
    vocabulary: int
    first: int
    end: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the token files: two bytes where the vocabulary allows it."""
        return np.dtype("<u2" if self.vocabulary <= 1 << 16 else "<u4")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The manifest: what the ids mean, and the shards that hold some, in order."""

    spelling: Spelling
    shards: tuple[Shard, ...]


def write_manifest(folder: Path, spelling: Spelling, shards: Sequence[Shard]) -> None:
    """Finish a folder; shards without tokens are left out.

    Raises:
        DataError: no shard has any.
    """
    filled = [dataclasses.asdict(shard) for shard in shards if shard.num_tokens]
    if not filled:
        raise DataError(f"{folder}: there is nothing to write, no document has any token; look at the data")
    write_json(folder / MANIFEST, {"spelling": dataclasses.asdict(spelling), "shards": filled})


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a finished folder.

    Raises:
        DataError: there is none, or it is not one.
    """
    found = read_json(folder / MANIFEST)
    try:
        if found is not None:
            shards = tuple(Shard(**shard) for shard in found["shards"])
            return Manifest(spelling=Spelling(**found["spelling"]), shards=shards)
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{folder / MANIFEST} is no manifest of token files ({error}); make it with: {_MAKE}"
        ) from error
    raise DataError(f"{folder} holds no token files (no {MANIFEST}); make them with: {_MAKE}")


def manifest_digest(folder: Path) -> str:
    """A SHA-256 (hex) that changes with the tokens: of the manifest, which holds the digest of every shard."""
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


_MAKE = "burnish tokenise --model MODEL --data DATA --out DIR"
