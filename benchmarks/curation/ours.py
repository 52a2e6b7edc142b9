"""Our side: a curation by the engine, in a fresh process, from reading the first file to writing the last one.

    python -m benchmarks.curation.ours REQUEST.json

The request says which `documents` (a folder), where to write (`out`), the `steps`, `workers` and `shard_bytes`. Writes
`result.json` beside the request: the seconds, what was said and when, and the counts of each step.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from pathlib import Path

from burnish.data.curate.engine import Curation, curate
from burnish.data.curate.gathering import inputs_of
from burnish.data.curate.intake import Intake
from burnish.data.curate.pool import InlinePool, Pool, ProcessPool
from burnish.data.curate.registry import steps_from


def main(path: Path) -> None:
    """Curate and write down what it took."""
    request = json.loads(path.read_text(encoding="utf-8"))
    began = time.perf_counter()
    said: list[tuple[float, str]] = []
    curation = Curation(
        inputs=inputs_of({"web": request["documents"]}),
        intake=Intake(),
        steps=steps_from(request["steps"]),
        shard_bytes=request["shard_bytes"],
    )
    pool: Pool = InlinePool() if request["workers"] == 1 else ProcessPool(request["workers"])
    try:
        summary = curate(
            curation, Path(request["out"]), pool, lambda line: said.append((time.perf_counter() - began, line))
        )
        seconds = time.perf_counter() - began
    finally:
        pool.close()
    result = {
        "seconds": seconds,
        "said": said,
        "shards": summary["shards"],
        "steps": {step["name"]: step["left"]["documents"] for step in summary["steps"]},
        "bytes": summary["steps"][0]["reached"]["bytes"],
        "versions": {name: importlib.metadata.version(name) for name in ("burnish", "rensa", "pyarrow", "numpy")},
    }
    (path.parent / "result.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
