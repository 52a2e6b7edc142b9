"""Reward against distance: the reward that is trained on beside a held-out score, by KL from the start of the run.

Where a policy is over-optimised, its own reward goes on rising with the KL while the held-out score turns down (Gao et
al. 2023, "Scaling laws for reward model overoptimization"). Drawn by step, the two hide how far the policy has gone.
"""

from __future__ import annotations

from collections.abc import Sequence

from burnish.reports.points import Axes, Point, PointChart, Series, point_chart
from burnish.reports.records import Row
from burnish.reports.scale import plain
from burnish.stats import Interval, mean_interval

NUM_BINS = 8
"""Points that the rollouts of a run are gathered into."""

AXES = Axes(
    title="Reward against distance",
    hint="The reward rises by being trained on. What matters is whether the held-out score rises with it.",
    x_unit="KL from the start, nats per answer",
    y_unit="score",
    x_text=lambda value: f"{plain(value)} nats",
    y_text=plain,
    counted="rollouts or answers",
)


def reward_against_kl(steps: Sequence[Row]) -> PointChart | None:
    """The chart of an online run, None if it measured no KL or had too few rollouts."""
    rollouts = list({row["rollout"]: row for row in steps if {"kl", "reward", "rollout"} <= row.keys()}.values())
    if len(rollouts) < 2:
        return None
    series = [Series(label="reward, trained on", series=0, points=tuple(_gathered(rollouts)))]
    looks = [row for row in steps if {"held_out_kl", "held_out_score", "held_out_score_low"} <= row.keys()]
    if looks:
        series.append(Series(label="held-out score", series=1, points=tuple(_look(row) for row in looks)))
    return point_chart(AXES, series)


def _gathered(rollouts: Sequence[Row]) -> list[Point]:
    """Neighbouring rollouts together: their mean KL, and their mean reward with its interval."""
    size = max(2, -(-len(rollouts) // NUM_BINS))
    parts = [rollouts[start : start + size] for start in range(0, len(rollouts), size)]
    if len(parts) > 1 and len(parts[-1]) < 2:  # one rollout has no interval
        parts[-2:] = [[*parts[-2], *parts[-1]]]
    return [
        Point(at=sum(row["kl"] for row in part) / len(part), value=mean_interval([row["reward"] for row in part]))
        for part in parts
    ]


def _look(row: Row) -> Point:
    value = Interval(
        estimate=row["held_out_score"],
        low=row["held_out_score_low"],
        high=row["held_out_score_high"],
        count=int(row["held_out_score_count"]),
    )
    return Point(at=row["held_out_kl"], value=value)
