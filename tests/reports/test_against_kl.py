"""The reward against the distance from the start, and the note on a reward that is gamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from burnish.reports.against_kl import NUM_BINS, reward_against_kl
from burnish.reports.notes import notes
from burnish.reports.records import Run


def steps(rewards: list[float], looks: dict[int, float]) -> list[dict[str, Any]]:
    """Two updates to a rollout, a nat further with each rollout; looks at the given steps."""
    rows = []
    for number, reward in enumerate(rewards):
        for update in (1, 2):
            step = 2 * number + update
            row: dict[str, Any] = {"step": step, "rollout": number, "kl": float(number), "reward": reward}
            if step in looks:
                score = looks[step]
                row |= {"held_out_score": score, "held_out_score_low": score - 0.05, "held_out_kl": float(number) + 0.5}
                row |= {"held_out_score_high": score + 0.05, "held_out_score_count": 40}
            rows.append(row)
    return rows


def test_a_rollout_counts_once_however_many_updates_it_makes():
    chart = reward_against_kl(steps([0.0, 1.0], {}))
    assert chart is not None
    (spot,) = chart.spots
    assert "0.5" in spot.text
    assert "2 rollouts" in spot.text


def test_many_rollouts_are_gathered_and_looks_stand_as_they_are():
    chart = reward_against_kl(steps([place / 40 for place in range(41)], {20: 0.3, 60: 0.4, 82: 0.2}))
    assert chart is not None
    assert [label for label, _ in chart.legend] == ["reward, trained on", "held-out score"]
    assert sum(spot.series == 0 for spot in chart.spots) <= NUM_BINS
    assert [spot.text.split(" ")[2] for spot in chart.spots if spot.series == 1] == ["0.3", "0.4", "0.2"]


@pytest.mark.parametrize("rows", [[], [{"step": 1, "loss": 0.5}], steps([0.5], {})])
def test_other_runs_have_none(rows: list[dict[str, Any]]):
    assert reward_against_kl(rows) is None


@pytest.mark.parametrize(
    ("looks", "gamed"),
    [
        ({2: 0.3, 20: 0.5, 40: 0.3}, True),
        ({2: 0.3, 20: 0.5, 40: 0.47}, False),  # within the interval
        ({2: 0.3, 20: 0.4, 40: 0.5}, False),
    ],
)
def test_a_gamed_reward_is_noted(looks: dict[int, float], gamed: bool):
    rows = steps([place / 20 for place in range(20)], looks)
    found = notes(Run(folder=Path("grpo"), verb="grpo", finished=True, settings={}, versions={}, steps=tuple(rows)))
    assert any("gamed" in note for note in found) == gamed
