"""Write the table of data formats into docs/data.md, from the registry that the readers use.

Run it after a format has changed; a test compares the page with what it would write.
"""

from __future__ import annotations

import json
from pathlib import Path

from burnish.data.formats import FORMATS, Format

PAGE = Path(__file__).parents[1] / "docs" / "data.md"
BEGIN, END = "<!-- formats: begin -->", "<!-- formats: end -->"


def table() -> str:
    """The table, and a worked row of each format."""
    rows = ["| format | what it is | fields |", "|---|---|---|", *(_row(form) for form in FORMATS)]
    worked = [f"**{form.name}**\n\n```json\n{json.dumps(form.worked, ensure_ascii=False)}\n```" for form in FORMATS]
    return "\n\n".join(["\n".join(rows), "A worked row of each:", *worked])


def _row(form: Format) -> str:
    needs = ", ".join(" or ".join(f"`{name}`" for name in need.split("|")) for need in form.needs)
    return f"| `{form.name}` | {form.meaning} | {needs} |"


def updated(page: str) -> str:
    """The text of the page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
