"""The search for repeated passages alone, without the engine around it: texts in memory, one suffix array.

    python -m benchmarks.curation.bare_substring REQUEST.json

Writes `result.json` beside the request: the seconds of `burnish.data.curate.suffixes.repeats`, and the bytes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.curation.corpus import texts_of
from burnish.data.curate.steps.substring import SubstringDedup
from burnish.data.curate.suffixes import BORDER, repeats


def main(path: Path) -> None:
    """Search, and write down what it took."""
    request = json.loads(path.read_text(encoding="utf-8"))
    step = SubstringDedup()
    data = b"".join(text.encode() + bytes([BORDER]) for _, text in texts_of(Path(request["documents"]).parent))
    text = np.frombuffer(data, np.uint8).copy()
    began = time.perf_counter()
    found = repeats(text, step.min_length, step.unit)
    seconds = time.perf_counter() - began
    result = {"seconds": seconds, "bytes": len(data), "passages": len(found)}
    (path.parent / "result.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
