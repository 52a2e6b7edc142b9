"""The peer's side: datatrove's four stages of MinHash deduplication, in a process of the peer's environment.

    python datatrove_side.py REQUEST.json

The request says which `documents` (a folder of JSONL), where to write (`out`), and the settings of `grid.py`. Writes
`result.json` beside the request: the seconds of each stage and of all, from reading the first to writing the last one.
What is kept lies in `out/kept`, as JSONL.

Imports datatrove and the standard library alone.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.text import TextNormConfig
from datatrove.utils.word_tokenizers import WordTokenizer


class AtWhiteSpace(WordTokenizer):
    """Words are what stands between white space; datatrove takes a splitter from its user, and ships none that is as
    plain."""

    def word_tokenize(self, text: str) -> list[str]:
        """The words of a text."""
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        """The text; MinHash asks for no sentences."""
        return [text]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """All of it; MinHash asks for no spans."""
        return [(0, len(text))]


def stages(request: dict[str, Any]) -> dict[str, tuple[list[Any], int]]:
    """The steps of each stage, and over how many tasks they are spread."""
    out, settings = Path(request["out"]), request["settings"]
    config = MinhashConfig(
        n_grams=request["ngram"],
        num_buckets=request["bands"],
        hashes_per_bucket=request["rows"],
        norm_config=TextNormConfig(**settings["norm"]),
        hash_config=HashConfig(precision=settings["precision"], hash_fc=settings["hash"]),
    )
    language = AtWhiteSpace() if settings["words"] == "white space" else settings["words"]
    reader = JsonlReader(request["documents"])
    signatures, buckets, removed = (str(out / name) for name in ("signatures", "buckets", "removed"))
    lines = settings["lines_to_buffer"]
    return {
        "signatures": (
            [reader, MinhashDedupSignature(output_folder=signatures, config=config, language=language)],
            settings["tasks"],
        ),
        "buckets": (
            [MinhashDedupBuckets(signatures, buckets, config=config, lines_to_buffer=lines)],
            request["bands"],
        ),
        "cluster": ([MinhashDedupCluster(buckets, removed, config=config, lines_to_buffer=lines)], 1),
        "filter": (
            [
                reader,
                MinhashDedupFilter(removed, lines_to_buffer=lines),
                JsonlWriter(str(out / "kept"), compression=None),
            ],
            settings["tasks"],
        ),
    }


def main(path: Path) -> None:
    """Run the stages one after another and write what they took."""
    request = json.loads(path.read_text(encoding="utf-8"))
    seconds: dict[str, float] = {}
    for name, (pipeline, tasks) in stages(request).items():
        began = time.perf_counter()
        LocalPipelineExecutor(
            pipeline=pipeline,
            tasks=tasks,
            workers=min(request["settings"]["workers"], tasks),
            start_method=request["settings"]["start"],
            logging_dir=str(Path(request["out"]) / "logs" / name),
        ).run()
        seconds[name] = time.perf_counter() - began
    names = ("datatrove", "numpy", "spacy", "xxhash")
    result = {
        "seconds": sum(seconds.values()),
        "stages": seconds,
        "versions": {name: importlib.metadata.version(name) for name in names},
    }
    (path.parent / "result.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
