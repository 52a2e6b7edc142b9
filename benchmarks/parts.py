"""Where the time of our training step goes, by torch's profiler, in shares of the processor's time.

    python -m benchmarks.parts

    layers      matrix products of the layers, forward and backward
    head        the output head with the log-probs: products and passes over the vocabulary
    attention   scores, softmax and sums of values (models/blockwise.py)
    norms       models/norms.py
    optimiser   AdamW, and rounding the masters into the weights
    gradients   adding gradients to those of the masters
    rest        rotary positions, activations, residual sums, copies, Python

Of SFT, DPO and the reward model: the second update of a fresh run, as the first one makes memory and kernels. The
record holds the seconds of each part; the profiler makes the update a little slower, so shares are what to read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile

from benchmarks.case import Case, Request
from benchmarks.ours.training import reference, started_model, trainer_for, tree_of
from benchmarks.processes import finished
from benchmarks.records import RECORDS, origin, write_record
from benchmarks.run import CASES
from benchmarks.works import WORKS
from burnish.training.columns import with_column

FILE = RECORDS / "parts.json"
WORKS_OF_IT = ("sft", "dpo", "reward")

WITHIN: Mapping[str, str] = {
    "_BlockAttention": "attention",
    "_ChosenLogp": "head",
    "_RMSNorm": "norms",
    "Optimizer.step": "optimiser",
    "torch::autograd::AccumulateGrad": "gradients",
}
"""What an operation belongs to by the beginning of the name of something that it runs within."""

PRODUCTS = frozenset({"aten::mm", "aten::addmm"})


def parts(events: Iterable[Any]) -> dict[str, float]:
    """Seconds of each part, from the profiler's events; an event's own time counts once."""
    found = dict.fromkeys((*WITHIN.values(), "layers", "rest"), 0.0)
    for event in events:
        found[part_of(event)] += event.self_cpu_time_total / 1e6
    return found


def part_of(event: Any) -> str:
    """The part that an event's own time belongs to."""
    place = event
    while place is not None:
        for beginning, part in WITHIN.items():
            if place.name.startswith(beginning):
                return part
        place = place.cpu_parent
    return "layers" if event.name in PRODUCTS else "rest"


def profiled(name: str, folder: Path) -> dict[str, Any]:
    """The second update of a work.

    Args:
        name: of the work.
        folder: of the cases and the model.
    """
    request = Request(
        work=name, mode="measure", folder=str(folder), out="", device="cpu", updates=WORKS[name].updates, settings={}
    )
    start = started_model(request)
    trainer = trainer_for(request, start)
    batch, case = WORKS[name].batch, Case.read(folder / f"{name}.json")
    trees = [tree_of(index, row) for index, row in enumerate(case.rows[: 2 * batch])]
    if name == "dpo":
        trees = with_column(trees, "reference_logp", reference(trees, start, trainer))
    trainer.step(trees[:batch])
    with profile(activities=[ProfilerActivity.CPU]) as found:
        seconds = trainer.step(trees[batch:])["seconds"]
    return {"update_seconds": seconds, "seconds": parts(found.events())}


def main() -> int:
    """Profile, record; returns the exit code."""
    folder = (CASES / "cpu").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    finished([sys.executable, "-m", "benchmarks.cases", "cpu", str(folder)], os.environ)
    works = {name: profiled(name, folder) for name in WORKS_OF_IT}
    write_record(FILE, {"origin": origin(""), "works": works})
    return 0


if __name__ == "__main__":
    sys.exit(main())
