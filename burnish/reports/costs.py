"""What each stage cost: time, tokens, memory."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.reports.lineage import Node
from burnish.reports.records import Run
from burnish.reports.scale import duration, memory

UNKNOWN = "–"


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """A row of the table of costs: numbers, and how they are written.

    Attributes:
        seconds, peak_memory_bytes, num_tokens, num_steps: None where not recorded or without meaning.
        share: of the time of all stages, percent.
        num_stages: how many stages the row stands for.
    """

    name: str
    seconds: float | None
    peak_memory_bytes: int | None
    num_tokens: int | None
    num_steps: int | None
    tokens_per_second: float | None = None
    share: float = 0.0
    num_stages: int = 1

    @property
    def time(self) -> str:
        """The seconds, as people read them."""
        return UNKNOWN if self.seconds is None else duration(self.seconds)

    @property
    def memory(self) -> str:
        """The peak memory, with its unit."""
        return UNKNOWN if self.peak_memory_bytes is None else memory(self.peak_memory_bytes)

    @property
    def tokens(self) -> str:
        """The tokens trained on."""
        return UNKNOWN if self.num_tokens is None else f"{self.num_tokens:,}"

    @property
    def steps(self) -> str:
        """The steps."""
        return UNKNOWN if self.num_steps is None else f"{self.num_steps:,}"

    @property
    def speed(self) -> str:
        """The median speed of a step."""
        return UNKNOWN if self.tokens_per_second is None else f"{self.tokens_per_second:,.0f}"


def costs(nodes: Sequence[Node]) -> tuple[CostRow, ...]:
    """A row for each run of a lineage, in its order."""
    runs = [(node.name, node.run) for node in nodes if node.run]
    whole = sum(run.seconds or 0.0 for _, run in runs)
    return tuple(_row(name, run, whole) for name, run in runs)


def total_of(rows: Sequence[CostRow]) -> CostRow:
    """All rows together: times, steps and tokens added, the largest memory."""
    seconds = [row.seconds for row in rows if row.seconds is not None]
    memories = [row.peak_memory_bytes for row in rows if row.peak_memory_bytes is not None]
    tokens = [row.num_tokens for row in rows if row.num_tokens is not None]
    steps = [row.num_steps for row in rows if row.num_steps is not None]
    return CostRow(
        name="together",
        seconds=sum(seconds) if seconds else None,
        peak_memory_bytes=max(memories, default=None),
        num_tokens=sum(tokens) if tokens else None,
        num_steps=sum(steps) if steps else None,
        share=100.0,
        num_stages=len(rows),
    )


def _row(name: str, run: Run, whole: float) -> CostRow:
    speeds = [row["tokens_per_second"] for row in run.steps if "tokens_per_second" in row]
    memories = [row["peak_memory_bytes"] for row in run.steps if "peak_memory_bytes" in row]
    peak = max([run.peak_memory_bytes or 0, *memories])
    seconds = run.seconds
    if seconds is None and run.steps:  # an unfinished run knows only its steps
        seconds = sum(row.get("seconds", 0.0) for row in run.steps)
    return CostRow(
        name=name,
        seconds=seconds,
        peak_memory_bytes=round(peak) if peak else None,
        num_tokens=run.num_tokens,
        num_steps=len(run.steps) if run.steps else None,
        tokens_per_second=statistics.median(speeds) if speeds else None,
        share=round(100 * (seconds or 0.0) / whole, 2) if whole else 0.0,
    )
