"""Charts of scores on held-out tasks, and that nothing else draws them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from burnish.evals.tasks import Scored, task_figures
from burnish.reports.invented import write_run
from burnish.reports.lineage import lineage
from burnish.reports.page import render
from burnish.reports.panels import panels
from burnish.reports.records import read_run
from burnish.reports.tasks import task_charts


def look(right: int) -> dict[str, float]:
    """So many of four answers right, to two tasks with no and with three shots."""
    outcomes = [float(number < right) for number in range(4)]
    return task_figures(
        [Scored(task=task, shots=shots, score=one) for task in ("b", "a") for shots in (0, 3) for one in outcomes]
    )


BEFORE = look(0)
STEPS: list[dict[str, Any]] = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, **look(1)}, {"step": 3, **look(4)}]


def test_a_chart_for_each_task_and_one_for_all_with_a_line_for_each_number_of_shots():
    charts = task_charts(BEFORE, STEPS)
    assert [chart.title for chart in charts] == ["All held-out tasks", "Held-out task: a", "Held-out task: b"]
    assert all([label for label, _ in chart.legend] == ["zero-shot", "3-shot"] for chart in charts)
    one = [spot.text for spot in charts[1].spots if spot.series == 0]
    assert [text.split(": ")[1].split(" ")[0] for text in one] == ["0", "0.25", "1"]
    assert [text.split(" at ")[1] for text in one] == [f"update {n}, 4 questions" for n in (0, 2, 3)]
    assert "8 questions" in charts[0].spots[0].text


def test_a_run_without_tasks_has_no_chart_and_one_without_a_first_look_begins_later():
    assert task_charts({}, [{"step": 1.0, "loss": 1.0}]) == ()
    assert task_charts({"held_out_score": 0.5}, []) == ()
    assert [spot.text.split(" at ")[1][:8] for spot in task_charts({}, STEPS)[1].spots] == ["update 2", "update 3"] * 2


def test_other_panels_leave_them_alone():
    names = {name for row in STEPS for name in row} | {"held_out_loss"}
    assert {panel.title for panel in panels(names)} == {"Loss"}


def test_the_page_draws_them_from_the_record_and_the_metrics(tmp_path: Path):
    folder = write_run(tmp_path / "sft", "sft", facts={"before": BEFORE})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in STEPS))
    assert read_run(folder).before == BEFORE
    page = render(lineage([folder], {folder: "sft"}), (), title="x", samples_per_kind=0)
    assert page.count("Held-out task: a</title>") == 1
    assert "zero-shot: 0 (0 to" in page
