"""`substring-dedup`: text that stands in the corpus before is taken out, wherever in a document it is.

    {kind: substring-dedup, min_length: 200}

A passage of at least `min_length` bytes (or characters) that stands in front, in an earlier document or earlier in the
same one, is cut out (Lee et al. 2022, 4.1, whose 50 tokens are about 200 bytes of English). The order is the canonical
one, so the first occurrence is the same however the input is cut. It stays where it stands, unless it is itself part of
a longer text that stands before. What overlaps is not compared: of "abababab..." the first `min_length` stay
(`burnish.data.curate.suffixes` has the rule; `burnish.data.curate.passages` says what happens to a corpus that is too
large for one suffix array; `burnish.data.curate.removal` how a cut keeps to whole characters).

A document is dropped if fewer than `min_left` characters that are no white space are left of it; with 1, which is set,
nothing is lost that does not stand somewhere else. With more, what a dropped document had of its own is gone, also
where a later document repeats it: that one was cut in favour of the dropped one. A document in which nothing is
repeated is never touched, however short. The same is to be had in mind for the steps that follow.

The note names the document in which the beginning of the longest repeated passage stands first, none if that is the
same document. `what-if` takes another `min_left`; another `min_length` would find other passages, which no record of
this run has.

Memory: `BYTES_PER_BYTE` for each byte of text that a search reads, `array_bytes` of them at most in each process;
beside that `BYTES_PER_DOCUMENT` in the process that reduces, and `BYTES_PER_PASSAGE` there. The texts stand on the disk
once more while the step reduces.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import ClassVar, Literal, cast

import numpy as np
import pyarrow as pa

from burnish.config import setting, settings
from burnish.data.curate.documents import Documents
from burnish.data.curate.passages import Search, find_repeats, repeats_of
from burnish.data.curate.removal import in_characters, torn, without
from burnish.data.curate.step import Corpus, CorpusStep, Decisions, Rule
from burnish.data.curate.suffixes import BYTES_PER_BYTE, Unit, joined, repeats, suffix_arrays_from, window_bytes
from burnish.data.curate.survivors import survivor_names
from burnish.store import Code

BYTES_PER_DOCUMENT = 32
"""What the reducing process holds of each document: its length, where it begins, and the place of another document."""

BYTES_PER_PASSAGE = 100
"""What a passage costs there while its document is looked for."""

_REPEATED, _LITTLE = "repeated-passage", "too-little-left"


@settings
class SubstringDedup(CorpusStep):
    """Take out passages that stand in the corpus before; drop documents of which too little is left."""

    kind: Literal["substring-dedup"] = "substring-dedup"
    source: ClassVar[str] = "Lee et al. 2022, 4.1"
    min_length: int = setting(200, "shorter passages may stand in several places", ge=1, le=1_000_000)
    unit: Unit = setting("bytes", "what min_length counts: bytes of UTF-8, or characters")
    min_left: int = setting(1, "a document that loses text goes if fewer characters, white space aside, are left", ge=1)
    array_bytes: int = setting(
        200_000_000,
        "text in one search; a larger corpus is searched by pairs of parts",
        unit="bytes",
        ge=1,
        le=2 * 10**9,
    )

    @property
    def reasons(self) -> tuple[str, ...]:
        """Text was taken out; or so much of it that the rest is not worth keeping."""
        return (_REPEATED, _LITTLE)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What is left of a document that loses text; of others the measure does not exist."""
        return (Rule(reason=_LITTLE, measure="left", at_least=self.min_left),)

    @property
    def measures(self) -> tuple[str, ...]:
        """The share of the bytes that is repeated, repeated passages, and characters left."""
        return ("repeated", "passages", "left")

    def check(self) -> None:
        """Refuse to begin without pydivsufsort.

        Raises:
            MissingExtra: it is not installed.
        """
        suffix_arrays_from()

    def code(self) -> tuple[Code, ...]:
        """What finds passages, and what cuts them out."""
        makers = (repeats, window_bytes, joined, find_repeats, in_characters, torn, without)
        return (Search, *(cast(FunctionType, one) for one in makers))

    def keys(self, documents: Documents) -> pa.RecordBatch:
        """The bytes of each text."""
        return pa.record_batch([pa.array(documents.num_bytes)], names=["bytes"])

    def reduce(self, corpus: Corpus) -> Iterator[pa.RecordBatch]:
        """Each document's repeated passages, and the document in which the longest stands first."""
        tables = [corpus.keys(shard) for shard in range(corpus.num_shards)]
        shards = np.cumsum([0, *(table.num_rows for table in tables)])
        starts = np.cumsum(np.concatenate([[0], *(table.column("bytes").to_numpy() + 1 for table in tables)]))
        search = Search(length=self.min_length, unit=self.unit, array_bytes=self.array_bytes)
        self._say(corpus, search, int(starts[-1]))
        found = repeats_of(corpus, search)
        places = np.searchsorted(starts, found[:, 0], side="right") - 1
        ends = np.searchsorted(places, np.arange(shards[-1] + 1))  # passages of documents in front of each, and of all
        names = survivor_names(corpus, _sources(found, places, starts), shards)
        found -= starts[places][:, None]
        for shard, named in enumerate(names):
            begin, end = shards[shard], shards[shard + 1]
            here = found[ends[begin] : ends[end]]
            offsets = pa.array(ends[begin : end + 1] - ends[begin], pa.int64())
            lists = [pa.LargeListArray.from_arrays(offsets, pa.array(here[:, side])) for side in (0, 1)]
            yield pa.record_batch([*lists, named], names=["starts", "stops", "first"])

    def decide(self, documents: Documents, marks: pa.RecordBatch) -> Decisions:
        """Cut the passages out, and drop documents of which too little is left."""
        count = len(documents)
        share, passages, left = np.zeros(count), np.zeros(count), np.full(count, np.nan)
        texts: dict[int, str] = {}
        begins, ends = (marks.column(name).to_pylist() for name in ("starts", "stops"))
        for row in range(count):
            if begins[row]:
                text, taken = without(documents.texts[row], list(zip(begins[row], ends[row], strict=True)))
                share[row], passages[row] = taken / documents.num_bytes[row], len(begins[row])
                if taken:
                    texts[row], left[row] = text, sum(map(len, text.split()))
        measures = {"repeated": share, "passages": passages, "left": left}
        dropped = self.rules[0].fails(left)
        first = marks.column("first").to_pylist()
        return Decisions(
            dropped=dropped,
            reasons=np.where(dropped, 1, np.where(np.isnan(left), -1, 0)),
            texts={row: text for row, text in texts.items() if not dropped[row]},
            scores=share,
            measures=measures,
            notes={row: first[row] for row in texts if first[row] is not None},
        )

    def _say(self, corpus: Corpus, search: Search, size: int) -> None:
        parts = search.parts(size)
        largest = max(sum(stop - start for start, stop in part) for part in parts)
        corpus.say(
            f"substring-dedup: {size:,} bytes of text; searches: {len(parts):,}, of at most {largest:,} bytes, "
            f"{BYTES_PER_BYTE} bytes of memory for each"
        )


def _sources(found: np.ndarray, places: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """For each document the one in which its longest passage (of equals the first) stands first; itself if it has none.

    Args:
        found: the passages, (k, 3).
        places: the document of each, (k,).
        starts: where the documents begin, and the end of the last, (n + 1,).
    """
    sources = np.arange(len(starts) - 1)
    order = np.lexsort((-np.arange(len(found)), found[:, 1] - found[:, 0]))  # the last to be written is the longest
    sources[places[order]] = np.searchsorted(starts, found[order, 2], side="right") - 1
    return sources
