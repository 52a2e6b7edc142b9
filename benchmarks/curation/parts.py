"""What is measured, each part as one line of JSON. Every run is a fresh process; shown are medians.

minhash     near-duplicates: ours beside datatrove, in turns; what each finds and takes without a reason
substring   repeated passages by suffix array on one core: the engine with the step, and the search alone
pipeline    all steps that need no model, on two cores: its rate, and its memory at half and all of the corpus
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.curation.grid import CHOICES, START, shipped
from benchmarks.curation.judged import judged, unplanted
from benchmarks.curation.place import BANDS, LIMIT, MINHASH, ROWS, SHARD_BYTES, Place
from benchmarks.tune import tuned

Run = Mapping[str, Any]

SUBSTRING = "substring-dedup"
PEAKS = ("peak_bytes", "peak_own_bytes", "peak_first_bytes")
COMPARED = 300
"""Documents that were not planted and are compared with all others."""

_INDEX = re.compile(r"index of ([\d,]+) documents, (\d+) bytes each; ([\d,]+) candidate pairs, (\d+) bytes each")


def tuned_peer(place: Place, documents: int) -> dict[str, Any]:
    """The peer's fastest settings on a small corpus, and every trial.

    Args:
        place: where it runs.
        documents: of the corpus.
    """
    corpus = place.corpus(documents)

    def trial(settings: Run, limit_s: float | None) -> Run:
        return {**place.theirs(corpus, settings, limit_s), "rows": documents}

    best, trials = tuned(START, CHOICES, trial)
    return {"work": "curation-minhash", "documents": documents, "trials": trials, "best": best}


def minhash(place: Place, *, documents: int, part: int, repetitions: int, settings: Run) -> dict[str, Any]:
    """Near-duplicates, beside the peer with a splitter of ours, and in a single pass beside the peer as shipped.

    Args:
        place: where it runs.
        documents: of the corpus; `part` of the one for the peer as shipped, which may be smaller.
        repetitions: of each side on the corpus; beside the peer as shipped each runs once.
        settings: of the peer, from its tuning.
    """
    return {
        "work": "curation-minhash",
        "limit": LIMIT,
        "bands": BANDS,
        "rows": ROWS,
        "shard_bytes": SHARD_BYTES,
        "unplanted": {"compared": COMPARED, "highest": unplanted(place.corpus(documents), COMPARED)},
        "white_space": _beside(place, documents, repetitions, settings),
        "shipped": _beside(place, part, 1, shipped(settings)),
    }


def _beside(place: Place, documents: int, repetitions: int, settings: Run) -> dict[str, Any]:
    """Both sides in turns on one corpus."""
    corpus = place.corpus(documents)
    sides: dict[str, Callable[[], dict[str, Any]]] = {
        "ours": lambda: place.ours(corpus, [MINHASH]),
        "peer": lambda: place.theirs(corpus, settings),
    }
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}
    for number in range(repetitions):
        for side in list(sides)[:: 1 if number % 2 == 0 else -1]:
            runs[side].append(sides[side]())
    ours, peer = (_side(corpus, documents, runs[side]) for side in ("ours", "peer"))
    ours |= index_size(runs["ours"][0]["said"])
    return {
        "documents": documents,
        "ratio": ours["documents_per_second"] / peer["documents_per_second"],
        "memory_ratio": ours["peak_bytes"] / peer["peak_bytes"],
        "ours": ours,
        "peer": {**peer, "settings": dict(settings)},
    }


def _side(corpus: Path, documents: int, runs: Sequence[Run]) -> dict[str, Any]:
    """The medians of one side, and how well it did; every run must have kept the same documents."""
    if any(run["kept"] != runs[0]["kept"] for run in runs):
        raise ValueError("two runs of one side on one corpus kept different documents")
    found = judged(corpus, runs[0]["kept"], LIMIT)
    return {
        **rates(documents, runs),
        **asdict(found),
        "recall": found.recall,
        "false_share": found.false_share,
        **{name: runs[0][name] for name in ("said", "stages", "versions") if name in runs[0]},
    }


def index_size(said: Sequence[Sequence[Any]]) -> dict[str, float]:
    """What our side said of its index: bytes of memory for each document, candidates included."""
    (found,) = (match for _, line in said if (match := _INDEX.search(line)))
    documents, each, pairs, pair = (int(text.replace(",", "")) for text in found.groups())
    return {"index_bytes": each + pair * pairs / documents, "candidates": pairs}


def rates(documents: int, runs: Sequence[Run]) -> dict[str, Any]:
    """Documents per second and memory of some runs of one thing."""
    found = [documents / run["seconds"] for run in runs]
    return {
        "documents_per_second": statistics.median(found),
        "runs": found,
        **{name: statistics.median(run[name] for run in runs) for name in PEAKS},
    }


def substring(place: Place, *, documents: int, repetitions: int) -> dict[str, Any]:
    """Repeated passages, in MB of text per second of one core.

    Args:
        place: where it runs.
        documents: of the corpus.
        repetitions: runs.
    """
    corpus = place.corpus(documents)
    whole = [place.ours(corpus, [{"kind": SUBSTRING}], workers=1) for _ in range(repetitions)]
    bare = [place.bare_substring(corpus) for _ in range(repetitions)]
    steps = [run["bytes"] / 1e6 / _seconds_of(run["said"]) for run in whole]
    return {
        "work": "curation-substring",
        "documents": documents,
        "bytes": whole[0]["bytes"],
        "engine": _megabytes([run["bytes"] / 1e6 / run["seconds"] for run in whole], whole),
        "step": _megabytes(steps, whole),
        "search": _megabytes([run["bytes"] / 1e6 / run["seconds"] for run in bare], bare),
        "versions": whole[0]["versions"],
    }


def _seconds_of(said: Sequence[Sequence[Any]]) -> float:
    """From the first word of the step, at the beginning of its reduce, to the last, when all shards are cut."""
    clocks = [clock for clock, line in said if line.startswith(SUBSTRING)]
    return float(clocks[-1] - clocks[0])


def _megabytes(found: Sequence[float], runs: Sequence[Run]) -> dict[str, Any]:
    peaks = {name: statistics.median(run[name] for run in runs) for name in PEAKS}
    return {"megabytes_per_second": statistics.median(found), "runs": list(found), **peaks}


def pipeline_steps(corpus: Path) -> list[dict[str, Any]]:
    """All steps that need no model: addresses, the published rules, both deduplications, personal data."""
    return [
        {"kind": "urls", "block_domains": [str((corpus / "blocked.txt").resolve())]},
        {"kind": "gopher-quality"},
        {"kind": "gopher-repetition"},
        {"kind": "c4", "terminal_punctuation": False},
        {"kind": "fineweb-quality"},
        {"kind": "exact-dedup"},
        dict(MINHASH),
        {"kind": "pii"},
    ]


def pipeline(place: Place, *, documents: int, repetitions: int) -> dict[str, Any]:
    """The whole pipeline, at half the corpus once and at all of it.

    Args:
        place: where it runs.
        documents: of the whole corpus.
        repetitions: runs of the whole corpus.
    """
    half, whole = place.corpus(documents // 2), place.corpus(documents)
    small = place.ours(half, pipeline_steps(half))
    large = [place.ours(whole, pipeline_steps(whole)) for _ in range(repetitions)]
    return {
        "work": "curation-pipeline",
        "shard_bytes": SHARD_BYTES,
        "half": _size(documents // 2, [small]),
        "whole": _size(documents, large),
        "said": large[0]["said"],
        "steps": large[0]["steps"],
        "versions": large[0]["versions"],
    }


def _size(documents: int, runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "documents": documents,
        "bytes": runs[0]["bytes"],
        "shards": runs[0]["shards"],
        **index_size(runs[0]["said"]),
        **rates(documents, runs),
    }
