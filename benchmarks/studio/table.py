"""Write the table of `docs/studio.md` from the committed records, between the page's two marks.

    python -m benchmarks.studio.table

A test compares the page with what this would write. Where there is no record, the page says that the figures are owed.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.records import RECORDS, record_file
from benchmarks.studio.run import ENGINES
from benchmarks.table import Record, placed, read, table

PAGE = Path(__file__).parents[2] / "docs" / "studio.md"

P95_MS = 200
"""The target: 95 of 100 requests are answered within this many milliseconds."""

OWED = "These figures are owed: the benchmark has not been run and recorded yet."
KINDS = {
    "next item": "the next item",
    "judgement": "a judgement",
    "judgement again": "a judgement sent again",
    "work page": "the page of the work",
    "progress page": "the page of the progress",
}


def lines(folder: Path = RECORDS) -> list[str]:
    """All that stands between the marks."""
    found = [read(record_file(f"studio-{name}", "cpu", folder)) for name in ENGINES]
    records = [record for record in found if record is not None]
    if not records:
        return [OWED]
    missing = [name for name, record in zip(ENGINES, found, strict=True) if record is None]
    heads = ("Milliseconds", "Requests", "Half within", "95% within", "99% within", "The slowest")
    rows = [row for record in records for row in of_engine(record["line"])]
    owed = [f"Owed: {', '.join(missing)}.", ""] if missing else []
    return [*table(heads, rows), "", *owed, *(f"- {measured_on(record)}" for record in records)]


def of_engine(line: Record) -> list[tuple[str, ...]]:
    """All requests on an engine, and those of each kind."""
    target = f" (at most {P95_MS})"
    kinds = [_row(f"{name}", line["kinds"][key], "") for key, name in KINDS.items() if key in line["kinds"]]
    return [_row(f"**{line['engine'].split()[0]}**, all", line["all"], target), *kinds]


def _row(name: str, one: Record, target: str) -> tuple[str, ...]:
    p50, p95, p99, worst = (f"{one[key]:.0f}" for key in ("p50_ms", "p95_ms", "p99_ms", "worst_ms"))
    return name, f"{one['count']:,}", p50, p95 + target, p99, worst


def measured_on(record: Record) -> str:
    """What was asked for, what was found, machine, day and versions of a record."""
    made, line = record["origin"], record["line"]
    names = ", ".join(f"{name} {version}" for name, version in line["versions"].items())
    asked = f"{line['people']} people, {line['rate']:g} requests a second for {line['seconds']:g} s"
    runs = ", ".join(f"{value:.0f}" for value in line["runs"])
    judged = f"{sum(line['judgements']):,} judgements of items that each needed {line['overlap']}"
    memory = made["memory_bytes"] / 2**30
    return (
        f"{line['engine']}: {asked}, {len(line['runs'])} times (95% within {runs} ms), {judged}. {made['date']}: "
        f"{made['machine']}, {made['cores']} cores, {memory:.0f} GiB; {names}."
    )


if __name__ == "__main__":
    PAGE.write_text(placed(PAGE.read_text(encoding="utf-8"), lines()), encoding="utf-8")
