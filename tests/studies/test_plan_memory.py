"""What a plan foretells of memory, as it was measured: the page has the record's figures, and none is far off."""

from __future__ import annotations

import json
from pathlib import Path

from studies.plan_memory.measure import RECORD, table
from studies.plan_memory.workloads import WORKLOADS

ROOT = Path(__file__).parents[2]
FOUND = json.loads((ROOT / RECORD).read_text(encoding="utf-8"))


def test_the_page_shows_the_record():
    assert table(FOUND) in (ROOT / "docs/plan.md").read_text(encoding="utf-8")


def test_a_plan_of_every_workload_is_within_a_fifth_of_what_a_fresh_process_took():
    workloads = FOUND["workloads"]
    assert set(WORKLOADS) <= set(workloads)
    for name, found in workloads.items():
        assert abs(found["predicted_bytes"] / found["measured_bytes"] - 1) < 0.2, name
