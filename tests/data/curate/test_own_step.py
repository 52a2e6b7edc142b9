"""The step that docs/curation.md writes does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

from burnish.data.curate.registry import steps_from
from tests.data.curate.contract import check_row_step, run_steps

PAGE = Path(__file__).parents[3] / "docs" / "curation.md"


def test_the_step_of_the_page_keeps_the_contract_and_runs(tmp_path):
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "shout.py").write_text(code)
    (step,) = steps_from([{"kind": f"{tmp_path}/shout.py:Shout", "max_capitals": 0.2}])
    rows = check_row_step(step, ["QUIET PLEASE", "quiet please", "", "One Two"])
    assert [row[2] for row in rows] == ["shouting", None, None, "shouting"]
    found = run_steps([step], [{"id": "a", "text": "LOUD"}, {"id": "b", "text": "low"}], tmp_path / "out")
    assert (found["a"].step, found["a"].reason, found["b"].fate) == ("Shout", "shouting", "keep")
