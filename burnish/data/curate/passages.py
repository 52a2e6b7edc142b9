"""Repeated passages of a whole corpus: its texts in one file, in parts that are no larger than a suffix array may be.

A corpus that fits is one part. A larger one is cut into blocks, and every two of them are searched together, so that
every two places of the corpus meet in some search:

    blocks      A B C D                        each half as large as a suffix array may be
    searches    AB  AC  AD  BC  BD  CD         a task each; of the passages found, the union is what one search finds

That is exact: a window is a repeat if there is a place in front of it, and the search that has both finds it. Where a
block is cut does not matter, since it reaches on by the length of a window. With k blocks the searches read k - 1 times
the corpus, so the time of a corpus far larger than `array_bytes` grows with the square of its size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from burnish.data.curate.atomic import whole
from burnish.data.curate.step import Corpus
from burnish.data.curate.suffixes import BORDER, Unit, joined, repeats

Part = tuple[tuple[int, int], ...]
"""What is searched together: slices of the corpus, in order, that do not touch."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is looked for.

    Attributes:
        length: the least length of a passage.
        unit: of that.
        array_bytes: text that one suffix array covers at most.
    """

    length: int
    unit: Unit
    array_bytes: int

    @property
    def reach(self) -> int:
        """The bytes of a window at most."""
        return self.length if self.unit == "bytes" else 4 * self.length

    def parts(self, size: int) -> list[Part]:
        """What is searched together.

        Args:
            size: bytes of the corpus.
        """
        block = max(self.array_bytes // 2, self.reach)
        starts = range(0, size, block)
        if size <= self.array_bytes or len(starts) == 1:
            return [((0, size),)]
        return [
            (one, other) if one[1] < other[0] else ((one[0], other[1]),)
            for place, start in enumerate(starts)
            for later in starts[place + 1 :]
            for one, other in [(self._block(start, block, size), self._block(later, block, size))]
        ]

    def _block(self, start: int, block: int, size: int) -> tuple[int, int]:
        return start, min(start + block + self.reach, size)


def repeats_in(texts: Sequence[str], length: int, unit: Unit = "bytes") -> list[list[tuple[int, int]]]:
    """The repeated passages of some texts, in one process and in memory.

    Args:
        texts: in the order in which the first of equal passages stays.
        length, unit: the least length of a passage.

    Returns:
        For each text where its passages begin and end, in bytes of UTF-8.
    """
    data = [text.encode() for text in texts]
    starts = np.cumsum([0, *(len(one) + 1 for one in data)])
    found = repeats(np.frombuffer(bytearray(_bordered(data)), np.uint8), length, unit)
    texts_of = np.searchsorted(starts, found[:, 0], side="right") - 1
    passages: list[list[tuple[int, int]]] = [[] for _ in texts]
    for place, (start, stop, _) in zip(texts_of.tolist(), found.tolist(), strict=True):
        passages[place].append((start - int(starts[place]), stop - int(starts[place])))
    return passages


def repeats_of(corpus: Corpus, search: Search) -> np.ndarray:
    """The repeated passages of a corpus, as places in its texts with a byte after each.

    Args:
        corpus: the documents.
        search: what to look for.

    Returns:
        As `burnish.data.curate.suffixes.repeats`.
    """
    file = corpus.folder / "texts"
    size = write_texts(corpus, file)
    parts = search.parts(size)
    results = [str(corpus.folder / f"{number:05d}.npy") for number in range(len(parts))]
    tasks = [(str(file), part, search.length, search.unit, result) for part, result in zip(parts, results, strict=True)]
    corpus.map(find_repeats, tasks)
    file.unlink()
    return joined(np.concatenate([np.load(result) for result in results]))


def write_texts(corpus: Corpus, file: Path) -> int:
    """Write the texts of a corpus, a border after each; returns how many bytes that makes."""
    with whole(file) as beside, beside.open("wb") as sink:
        for shard in range(corpus.num_shards):
            for documents in corpus.documents(shard):
                sink.write(_bordered(documents.batch.column("text").cast(pa.large_binary()).to_pylist()))
        return sink.tell()


def find_repeats(file: str, part: Part, length: int, unit: Unit, result: str) -> None:
    """Task: search one part, and write what was found. A result that is there is left as it is.

    Args:
        file: of the texts.
        part: the slices to search.
        length, unit: the least length of a passage.
        result: where to write the passages, as places in the corpus.
    """
    if Path(result).exists():
        return
    texts = np.memmap(file, np.uint8, "r") if Path(file).stat().st_size else np.zeros(0, np.uint8)
    slices = [_whole_characters(texts, *one) for one in part] if unit == "characters" else list(part)
    text = np.concatenate([np.append(texts[start:stop], np.uint8(BORDER)) for start, stop in slices])
    found = repeats(text, length, unit)
    if len(slices) == 2:
        (start, stop), (later, _) = slices
        _moved(found, stop - start + 1, start, later)
    elif slices:
        found += slices[0][0]
    with whole(Path(result)) as beside, beside.open("wb") as sink:
        np.save(sink, found)


def _whole_characters(texts: np.ndarray, start: int, stop: int) -> tuple[int, int]:
    """A slice that does not end in the middle of a character."""
    while start < stop < len(texts) and texts[stop] & 0xC0 == 0x80:
        stop -= 1
    return start, stop


def _moved(passages: np.ndarray, border: int, start: int, later: int) -> None:
    """Turn places in two slices that were put together into places of the corpus.

    Args:
        passages: changed in place.
        border: where the second slice begins.
        start, later: where the slices begin in the corpus.
    """
    places = passages.reshape(-1)
    places += np.where(places >= border, later - border, start)


def _bordered(texts: Iterable[bytes]) -> bytes:
    return b"".join(_with_borders(texts))


def _with_borders(texts: Iterable[bytes]) -> Iterator[bytes]:
    for text in texts:
        yield text
        yield bytes([BORDER])
