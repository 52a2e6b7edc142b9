"""Write the tables of `docs/curation.md` from the committed records, between the page's two marks.

    python -m benchmarks.curation.table

A test compares the page with what this would write. Where there is no record, the page says that the figures are owed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.records import RECORDS, record_file
from benchmarks.table import Record, placed, read, table

PAGE = Path(__file__).parents[2] / "docs" / "curation.md"

RATIO, RECALL, FALSE, PASSAGES, PIPELINE = 10, 0.95, 0.005, 2, 1000
"""Targets: times datatrove's rate, shares of near-copies found and of removals without a reason, MB/s, documents/s."""

OWED = "These figures are owed: the benchmarks have not been run and recorded yet."


def lines(folder: Path = RECORDS) -> list[str]:
    """All that stands between the marks."""
    near, passages, pipeline = (read(record_file(f"curation-{name}", "cpu", folder)) for name in PARTS)
    trials = read(record_file("tuning-curation-minhash", "cpu", folder))
    found = [
        *([] if near is None else near_duplicates(near["line"])),
        *([] if passages is None and pipeline is None else alone(passages, pipeline)),
        *([] if trials is None else tuning(trials["line"])),
    ]
    records = [record for record in (near, passages, pipeline) if record is not None]
    if not records:
        return [OWED]
    made = [f"- {line}" for line in dict.fromkeys(map(measured_on, records))]
    return [*found, *made]


PARTS = ("minhash", "substring", "pipeline")


def near_duplicates(line: Record) -> list[str]:
    """Both comparisons with datatrove."""
    heads = (
        "Near-duplicates",
        "Documents",
        "Burnish",
        "datatrove",
        "Times as fast",
        "Found of near-copies",
        "datatrove's",
        "Removed without a reason",
        "datatrove's",
        "Memory",
        "datatrove's",
    )
    rows = [_compared(name, line[key], target) for key, name, target in WAYS]
    compared, highest = line["unplanted"]["compared"], line["unplanted"]["highest"]
    alike = f"Of {compared} documents that were not planted, none has a Jaccard above {highest:.2f} with any other."
    return [*table(heads, rows), "", alike, ""]


WAYS = (
    ("shipped", "datatrove as it ships, tuned", f" (at least {RATIO})"),
    ("white_space", "datatrove with a splitter of ours, tuned", ""),
)


def _compared(name: str, both: Record, target: str) -> tuple[str, ...]:
    ours, peer = both["ours"], both["peer"]
    return (
        name,
        f"{both['documents']:,}",
        *(f"{side['documents_per_second']:,.0f}/s" for side in (ours, peer)),
        f"{both['ratio']:.1f}{target}",
        f"{ours['recall']:.2%} (at least {RECALL:.0%})",
        f"{peer['recall']:.2%}",
        f"{ours['false_share']:.2%} (at most {FALSE:.1%})",
        f"{peer['false_share']:.2%}",
        *(f"{side['peak_bytes'] / 1e6:,.0f} MB" for side in (ours, peer)),
    )


def alone(passages: Record | None, pipeline: Record | None) -> list[str]:
    """What has no peer beside it."""
    rows = []
    if passages is not None:
        line = passages["line"]
        size = f"{line['bytes'] / 1e6:.0f} MB of text, one core"
        for key, name in (("engine", "whole run"), ("step", "the step in it"), ("search", "the search alone")):
            target = f" (at least {PASSAGES})" if key == "step" else ""
            rows.append(_row(f"Repeated passages, {name}", size, f"{_mb(line[key])} MB/s{target}", line[key]))
    if pipeline is not None:
        for key in ("half", "whole"):
            one = pipeline["line"][key]
            size = f"{one['documents']:,} documents, {one['bytes'] / 1e6:.0f} MB, {one['shards']} shards, two cores"
            rate = f"{one['documents_per_second']:,.0f} documents/s (at least {PIPELINE:,})"
            reducing = f"{one['peak_first_bytes'] / 1e6:,.0f} MB in the process that reduces"
            index = f"; index {one['index_bytes']:.0f} bytes a document, {reducing}"
            rows.append(_row("Pipeline without models", size, rate + index, one))
    return [*table(("Alone", "Of", "Rate", "Memory", "of it in no file"), rows), ""]


def _row(name: str, size: str, rate: str, found: Mapping[str, float]) -> tuple[str, ...]:
    return (name, size, rate, *(f"{found[key] / 1e6:,.0f} MB" for key in ("peak_bytes", "peak_own_bytes")))


def _mb(found: Mapping[str, float]) -> str:
    return f"{found['megabytes_per_second']:.2f}"


def tuning(line: Record) -> list[str]:
    """What the peer's tuning tried."""
    rows = [
        (trial["choice"], f"{trial['rows_per_second']:,.0f}/s" if "error" not in trial else "took too long or failed")
        for trial in line["trials"]
    ]
    return [*table((f"datatrove's tuning, {line['documents']:,} documents", "Rate"), rows), ""]


def measured_on(record: Record) -> str:
    """Machine, day and versions of a record."""
    made, line = record["origin"], record["line"]
    held = line.get("versions") or {
        **line["white_space"]["peer"]["versions"],
        **line["white_space"]["ours"]["versions"],
    }
    names = ", ".join(f"{name} {held[name]}" for name in ("burnish", "rensa", "datatrove", "spacy") if name in held)
    memory = made["memory_bytes"] / 2**30
    return f"{made['date']}: {made['machine']}, {made['cores']} cores, {memory:.0f} GiB; {names}."


if __name__ == "__main__":
    PAGE.write_text(placed(PAGE.read_text(encoding="utf-8"), lines()), encoding="utf-8")
