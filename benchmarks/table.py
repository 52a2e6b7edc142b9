"""Write the tables of `docs/performance.md` from the committed records, between the page's two marks.

    python -m benchmarks.table

A test compares the page with what this would write. Where there is no record, the page says that the figures are owed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.records import RECORDS, record_file, tuning_file
from benchmarks.works import WORKS, Work

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"

Record = Mapping[str, Any]

NAMES = {
    "sft": "SFT",
    "dpo": "DPO, reference pass included",
    "reward": "Reward model",
    "grpo": "GRPO, 8 answers of 96 tokens",
    "sample-groups": "Sampling, 4 prompts x 8 answers x 64 tokens",
    "sample-prompts": "Sampling, 32 prompts x 64 tokens",
    "resume": "Resume: command to first update",
    "load": "Start: command to first update",
}
TITLES = {"cpu": "On the CPU", "cuda": "On a GPU"}


def lines(folder: Path = RECORDS) -> list[str]:
    """All that stands between the marks."""
    return [line for device in TITLES for line in (f"### {TITLES[device]}", "", *section(device, folder), "")][:-1]


def section(device: str, folder: Path) -> list[str]:
    """What was measured on one kind of device."""
    found = {work.name: read(record_file(work.name, device, folder)) for work in WORKS.values()}
    records = {name: record for name, record in found.items() if record is not None}
    if not records:
        return ["These figures are owed: the benchmarks have not been run and recorded on such a machine yet."]
    rows = [figures(WORKS[name], record) for name, record in records.items()]
    heads = (
        "Work",
        "Burnish",
        "Peer",
        "Times as fast",
        "Memory",
        "Peer's memory",
        "Share of it",
        "Of the product rate",
    )
    missing = [NAMES[name] for name in found if name not in records]
    owed = ["", f"Owed: {'; '.join(missing)}."] if missing else []
    made = [f"- {line}" for line in dict.fromkeys(map(measured_on, records.values()))]
    tuned, apart = tuning(list(records), device, folder), agreement(records)
    return [*table(heads, rows), *owed, "", *made, "", *tuned, "", *apart, *(spent(folder) if device == "cpu" else [])]


def read(path: Path) -> Record | None:
    """A record, None if it was not made."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def figures(work: Work, record: Record) -> tuple[str, ...]:
    """One line of the table; targets stand in brackets."""
    both = record["line"]
    ours, peer = both["ours"], both["peer"]
    speed = f"{both['ratio']:.2f}" + (f" (at least {work.ratio:g})" if work.ratio is not None else "")
    memory = f"{both['memory_ratio']:.2f}" + (f" (at most {work.memory:g})" if work.memory is not None else "")
    share = f"{ours['share_of_product_rate']:.0%}" if "share_of_product_rate" in ours else "-"
    gigabytes = [f"{side['peak_bytes'] / 1e9:.2f} GB" for side in (ours, peer)]
    return NAMES[work.name], pace(work, ours), pace(work, peer), speed, *gigabytes, memory, share


def pace(work: Work, side: Record) -> str:
    """Rows per second, or seconds; of a resumed run also whether its bytes are those of an unbroken one."""
    if work.kind != "command":
        return f"{side['rows_per_second']:.3g} rows/s"
    if "same_bytes" in side:
        return f"{side['seconds']:.1f} s, {'same' if side['same_bytes'] else 'other'} bytes"
    if "import_seconds" in side:
        imports, training = side["import_seconds"], side["training_seconds"]
        return f"{side['seconds']:.1f} s (imports {imports:.1f} s, all updates {training:.1f} s)"
    return f"{side['seconds']:.1f} s"


def measured_on(record: Record) -> str:
    """Machine, day and versions of a record."""
    made, both = record["origin"], record["line"]
    where = made["accelerator"] or f"{made['machine']}, {made['cores']} cores, {made['memory_bytes'] / 2**30:.0f} GiB"
    held = {**both["peer"]["versions"], **both["ours"]["versions"]}
    names = ", ".join(f"{name} {held[name]}" for name in ("burnish", "trl", "torch", "transformers") if name in held)
    return f"{made['date']}: {where}; {names}."


def tuning(names: Sequence[str], device: str, folder: Path) -> list[str]:
    """What the peer's tuning tried and found."""
    paths = dict.fromkeys(tuning_file(name, device, folder) for name in names)
    found = [record for path in paths if (record := read(path)) is not None]
    rows = [
        (
            NAMES[record["work"]],
            str(len(record["trials"])),
            f"{record['trials'][0]['rows_per_second']:.3g}",
            f"{best['rows_per_second']:.3g}",
            ", ".join(f"`{name}={value}`" for name, value in settings(record["best"]).items()),
        )
        for record in found
        for best in [best_trial(record)]
    ]
    heads = ("Peer's tuning", "Trials", "Rows/s as it starts", "Rows/s at its best", "Settings")
    return table(heads, rows) if rows else []


def best_trial(record: Record) -> Record:
    """The trial whose settings were taken."""
    best: Record = next(trial for trial in record["trials"] if trial["settings"] == record["best"])
    return best


def settings(best: Record) -> dict[str, Any]:
    """The settings with the variables of the environment among them."""
    own = {name: value for name, value in best.items() if name != "environment"}
    return own | dict(best["environment"])


def agreement(records: Mapping[str, Record]) -> list[str]:
    """How far the two sides were apart in float32 before they were timed."""
    rows = [
        (NAMES[name], *(f"{found[key]:.0e}" if key in found else "-" for key in ("loss", "numbers", "gradient")))
        for name, record in records.items()
        if "loss" in (found := record["agreement"])
    ]
    heads = ("Apart in float32", "Loss", "Log-probs, scores or advantages", "Gradient")
    same = [NAMES[name] for name, record in records.items() if "different_tokens" in record["agreement"]]
    tokens = ["", f"The same greedy tokens on both sides: {'; '.join(same)}."] if same else []
    return [*(table(heads, rows) if rows else []), *tokens]


def spent(folder: Path) -> list[str]:
    """Where the time of our update goes."""
    record = read(folder / "parts.json")
    if record is None:
        return []
    names = ("layers", "head", "attention", "norms", "optimiser", "gradients", "rest")
    rows = []
    for work, found in record["works"].items():
        total = sum(found["seconds"].values())
        rows.append((NAMES[work], *(f"{found['seconds'][name] / total:.0%}" for name in names)))
    heads = ("Share of an update", "Layers' products", "Head, loss", "Attention", *(n.capitalize() for n in names[3:]))
    return ["", *table(heads, rows)]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown."""
    return ["| " + " | ".join(cells) + " |" for cells in (heads, ["---"] * len(heads), *rows)]


def updated(page: str, folder: Path = RECORDS) -> str:
    """The text of the page with the tables between its marks."""
    return placed(page, lines(folder))


def placed(page: str, between: Sequence[str]) -> str:
    """The text of a page with other lines between its marks."""
    before, rest = page.split(BEGIN)
    return "\n".join([f"{before}{BEGIN}", "", *between, "", f"{END}{rest.split(END)[1]}"])


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
