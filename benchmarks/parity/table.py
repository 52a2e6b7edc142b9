"""Write the table of TRL's losses and ours into `docs/parity.md`, between its two marks.

    python -m benchmarks.parity.table

TRL's numbers are the stored ones; ours are computed now, on the rebuilt model in the tree layout.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.parity.comparisons import ABSENT, COMPARISONS
from benchmarks.parity.ours import Comparison, cases, from_model, numbers, their_value

PAGE = Path(__file__).parents[2] / "docs" / "parity.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
HEADS = ("Objective", "TRL", "TRL's loss", "Ours", "Relative difference", "Note")


def row(comparison: Comparison) -> tuple[str, ...]:
    """One line of the table."""
    case = cases()[comparison.case]
    theirs, ours = their_value(comparison, case), from_model(comparison, "tree").loss
    difference = abs(ours - theirs) / abs(theirs)
    shown = "below 1e-6" if difference < 1e-6 else f"{difference:.0e}"
    return comparison.name, f"`{comparison.case}`", f"{theirs:.6g}", f"{ours:.6g}", shown, comparison.note


def lines() -> list[str]:
    """The table, what it was made with, and what has no counterpart, as Markdown."""
    made = numbers()["origin"]
    rows = [HEADS, tuple("---" for _ in HEADS), *(row(comparison) for comparison in COMPARISONS)]
    return [
        f"TRL {made['trl']} in {made['dtype']} on {made['date']}, torch {made['torch']}, "
        f"transformers {made['transformers']}.",
        "",
        *("| " + " | ".join(cells) + " |" for cells in rows),
        "",
        f"Stored too, for losses that Burnish does not have: {', '.join(dict.fromkeys(ABSENT.values()))}.",
    ]


def write() -> None:
    """Put the table into the page."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text("\n".join([f"{before}{BEGIN}", "", *lines(), "", f"{END}{after}"]), encoding="utf-8")


if __name__ == "__main__":
    write()
