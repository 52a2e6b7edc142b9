"""Draw the README's picture from the demo's record: pass rates per kind, before and after, with intervals.

    python scripts/demo_picture.py            docs/records/demo.json -> docs/assets/demo.svg

The record is the demo's `runs/demo/metrics.json`, copied. The picture is drawn on a light card of its own, so that it
can be read on a dark page too. The same record gives the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
MODELS = {
    "start": ("#6b6b6b", "o", "start"),
    "sft": ("#0b6e99", "s", "after SFT"),
    "dpo": ("#c4501b", "D", "after DPO"),
}


def picture(record: dict[str, Any]) -> Figure:
    """The plot of a record."""
    mpl.rcParams.update({"svg.hashsalt": "burnish", "font.size": 10, "svg.fonttype": "none"})
    trained, unseen = sorted(record["start"]["kinds"]), sorted(record["start"]["held_out_kinds"])
    rows = ["overall", *trained, *unseen]
    figure = Figure(figsize=(7.6, 0.36 * len(rows) + 1.5), layout="constrained")
    axes = figure.add_subplot()
    for index, (name, (colour, marker, label)) in enumerate(MODELS.items()):
        values = [
            record[name]["overall"],
            *(record[name]["kinds"][kind] for kind in trained),
            *(record[name]["held_out_kinds"][kind] for kind in unseen),
        ]
        rates = [100 * value["pass_rate"] for value in values]
        below = [max(0.0, rate - 100 * value["low"]) for rate, value in zip(rates, values, strict=True)]
        above = [max(0.0, 100 * value["high"] - rate) for rate, value in zip(rates, values, strict=True)]
        places = [row + 0.24 * (index - 1) for row in range(len(rows))]
        axes.errorbar(
            rates, places, xerr=[below, above], label=label, fmt=marker, color=colour, markersize=5, elinewidth=1.3
        )
    axes.set_yticks(range(len(rows)), [row.replace("_", " ") for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-2, 102)
    axes.axhline(0.5, color="#999999", linewidth=0.8)
    axes.axhline(len(trained) + 0.5, color="#999999", linewidth=0.8)
    note = {"ha": "right", "va": "top", "fontsize": 9, "color": "#555555"}
    axes.text(101, len(trained) + 0.62, "kinds that training never saw", note)
    axes.set_xlabel("answers that pass, % (95% interval); topics and wordings held out of training")
    axes.grid(axis="x", color="#e5e5e5")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    return figure


def main() -> None:
    """Read the record, write the picture."""
    record = json.loads((ROOT / "docs/records/demo.json").read_text(encoding="utf-8"))
    target = ROOT / "docs/assets/demo.svg"
    target.parent.mkdir(exist_ok=True)
    picture(record).savefig(target, metadata={"Date": None}, facecolor="white")
    print(f"wrote {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
