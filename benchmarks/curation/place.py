"""Where the data engine's benchmarks run, and one run of each side in a fresh process, watched from outside."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet

from benchmarks.curation.corpus import Size, made
from benchmarks.curation.near_copies import NGRAM
from benchmarks.curation.sentences import sentences_of
from benchmarks.curation.tree import watched

LIMIT = 0.8
"""The Jaccard from which on documents are the same."""

BANDS, ROWS = 20, 6
"""Of a signature, on both sides."""

MINHASH: Mapping[str, Any] = {"kind": "minhash-dedup", "jaccard": LIMIT, "bands": BANDS, "rows": ROWS, "ngram": NGRAM}
SHARD_BYTES = 7_000_000
"""Cuts corpora of 10,000, 50,000 and 100,000 documents into 2, 10 and 20 shards of one size, even for two workers."""

WORKERS = 2


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where everything lies.

    Attributes:
        data: folder with real texts.
        folder: of the corpora.
        scratch: for what runs write; the caller removes it.
        peer: the interpreter of the peer's environment.
    """

    data: Path
    folder: Path
    scratch: Path
    peer: Path

    def corpus(self, documents: int) -> Path:
        """The corpus of so many documents, made if it is not there."""
        folder = self.folder / str(documents)
        made(folder, Size(documents=documents), sentences_of(self.data))
        return folder

    def ours(
        self,
        corpus: Path,
        steps: Sequence[Mapping[str, Any]],
        *,
        workers: int = WORKERS,
        shard_bytes: int = SHARD_BYTES,
    ) -> dict[str, Any]:
        """Curate a corpus; `kept` are the ids that were."""
        request = {"steps": list(steps), "workers": workers, "shard_bytes": shard_bytes}
        with self._asked(corpus, request) as path:
            found = _run([sys.executable, "-m", "benchmarks.curation.ours"], path)
            tables = sorted((path.parent / "out" / "documents").glob("*.parquet"))
            found["kept"] = [name for one in tables for name in _ids(one)]
        return found

    def bare_substring(self, corpus: Path) -> dict[str, Any]:
        """Search a corpus for repeated passages, without the engine."""
        with self._asked(corpus, {}) as path:
            return _run([sys.executable, "-m", "benchmarks.curation.bare_substring"], path)

    def theirs(self, corpus: Path, settings: Mapping[str, Any], limit_s: float | None = None) -> dict[str, Any]:
        """Deduplicate a corpus with datatrove, in so many seconds at most; `kept` are the ids that were."""
        request = {"settings": dict(settings), "ngram": NGRAM, "bands": BANDS, "rows": ROWS}
        script = Path(__file__).with_name("datatrove_side.py")
        with self._asked(corpus, request) as path:
            found = _run([str(self.peer), str(script)], path, limit_s)
            files = sorted((path.parent / "out" / "kept").glob("*.jsonl"))
            found["kept"] = [json.loads(line)["id"] for one in files for line in one.read_text("utf-8").splitlines()]
        return found

    @contextmanager
    def _asked(self, corpus: Path, request: Mapping[str, Any]) -> Iterator[Path]:
        """The file of a request, in a folder that goes with all that the run writes."""
        with tempfile.TemporaryDirectory(dir=self.scratch, ignore_cleanup_errors=True) as name:
            folder = Path(name).resolve()
            where = {"documents": str((corpus / "documents").resolve()), "out": str(folder / "out")}
            path = folder / "request.json"
            path.write_text(json.dumps({**request, **where}), encoding="utf-8")
            yield path


def _run(words: list[str], path: Path, limit_s: float | None = None) -> dict[str, Any]:
    """What a side wrote of its run, with what was seen from outside."""
    quiet = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    seen = watched([*words, str(path)], {**os.environ, **quiet}, limit_s)
    found: dict[str, Any] = json.loads((path.parent / "result.json").read_text(encoding="utf-8"))
    return {
        **found,
        "process_seconds": seen.seconds,
        "peak_bytes": seen.peak_bytes,
        "peak_own_bytes": seen.peak_own_bytes,
        "peak_first_bytes": seen.peak_first_bytes,
    }


def _ids(path: Path) -> list[str]:
    with pyarrow.parquet.ParquetFile(path) as file:
        return list(file.read(columns=["id"]).column("id").to_pylist())
