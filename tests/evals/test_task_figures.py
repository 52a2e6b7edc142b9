"""How answers to tasks are scored, and the figures of a look."""

from __future__ import annotations

import pytest

from burnish.evals.tasks import METRICS, Scored, figure_name, figure_of, is_task_figure, task_figures
from burnish.stats import mean_interval, pass_rate


@pytest.mark.parametrize(
    ("metric", "predicted", "score"),
    [
        ("exact", " OPAL, ruby\n", 1.0),
        ("exact", "opal, ruby", 0.0),
        ("normalised", "the opal ruby!", 1.0),
        ("normalised", "opal and ruby", 0.0),
        ("ending", "It has three. So it is opal, ruby.", 1.0),
        ("ending", "opal, ruby are gems", 0.0),
        ("ending", "ruby", 0.0),
        ("ending", "fireopal ruby", 0.0),
        ("f1", "opal jade", 0.5),
    ],
)
def test_the_metrics_on_worked_answers(metric: str, predicted: str, score: float):
    assert METRICS[metric]("OPAL, ruby", predicted) == score


def test_nothing_ends_with_nothing_alone():
    assert METRICS["ending"]("", "") == 1.0
    assert METRICS["ending"]("", "opal") == 0.0


def scored(task: str, shots: int, *scores: float) -> list[Scored]:
    return [Scored(task=task, shots=shots, score=score) for score in scores]


def test_figures_are_by_task_and_shots_with_the_intervals_of_the_library():
    found = task_figures([*scored("gems", 0, 1, 0, 0, 1), *scored("my_sums", 0, 1, 1), *scored("gems", 3, 0.5, 0.25)])
    rate, mean = pass_rate([1, 0, 0, 1]), mean_interval([0.5, 0.25])
    assert found["held_out_task_gems_0_shot"] == 0.5
    assert (found["held_out_task_gems_0_shot_low"], found["held_out_task_gems_0_shot_high"]) == (rate.low, rate.high)
    assert found["held_out_task_gems_0_shot_count"] == 4
    assert found["held_out_task_gems_3_shot_low"] == mean.low
    assert found["held_out_tasks_0_shot"] == pytest.approx(4 / 6)
    assert "held_out_tasks_3_shot" not in found, "of one task alone there is no mean over tasks"
    assert len(found) == 4 * 4


def test_a_name_says_what_it_was_made_of():
    for task, shots in (("gems", 0), ("my_sums_2_shot", 12), (None, 3)):
        name = figure_name(task, shots)
        assert figure_of(name) == (task, shots)
        assert all(is_task_figure(f"{name}{end}") for end in ("", "_low", "_high", "_count"))
    assert figure_of("held_out_task_gems_0_shot_low") is None
    assert not any(map(is_task_figure, ("held_out_loss", "held_out_score_low", "task_gems_0_shot")))
