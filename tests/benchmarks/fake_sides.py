"""Two sides that need no model: results as the processes give them, with a log of who ran when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from benchmarks.case import gradient_file

Change = Callable[[str, str, int], dict[str, Any]]


class FakeSides:
    """A launch whose results are written down.

    Args:
        folder: where the gradients go.
        seconds: of each timed run, by side, in the order in which they come.
        change: by side, mode and number of the run, what differs from the usual result.
    """

    def __init__(self, folder: Path, seconds: dict[str, list[float]], change: Change = lambda *_: {}) -> None:
        self.folder = folder
        self.seconds = {side: list(values) for side, values in seconds.items()}
        self.change = change
        self.log: list[tuple[str, str]] = []

    def __call__(self, side: str, mode: str) -> dict[str, Any]:
        number = sum(entry == (side, mode) for entry in self.log)
        self.log.append((side, mode))
        changed = self.change(side, mode, number)
        if mode == "agree":
            out = self.folder / side
            out.mkdir(exist_ok=True)
            save_file(changed.pop("gradient", {"a": np.ones(4, np.float32)}), gradient_file(str(out)))
            return {"out": str(out), "loss": 2.0, "numbers": [-40.0, -3.0], "tokens": [[1, 2], [3, 4]], **changed}
        found = {
            "rows": 16,
            "seconds": self.seconds[side].pop(0),
            "loss": 0.7,
            "peak_bytes": 1_000_000_000 * (1 if side == "ours" else 4),
            "threads": 2,
            "versions": {"torch": "2.13.0"},
        }
        if side == "ours":
            found |= {"model_flops": 8e9, "product_rate": 1e10}
        return found | changed


TIMES = {"ours": [4.0, 1.0, 2.0], "peer": [8.0, 6.0, 10.0]}
