"""Scales, texts of numbers, panels, curves and interval plots."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.reports.curves import MOST_POINTS, charts, drawn
from burnish.reports.dots import Entry, gain_plot, rate_plot
from burnish.reports.panels import PANELS, panels
from burnish.reports.scale import duration, memory, percent, plain, points, tick_texts, ticks
from burnish.stats import Interval, proportion

finite = st.floats(-1e6, 1e6).filter(lambda v: v == 0 or abs(v) > 1e-30)


@given(finite, finite)
def test_ticks_enclose_the_values_evenly(one, other):
    low, high = sorted((one, other))
    places = ticks(low, high)
    slack = 1e-6 * (places[-1] - places[0])
    assert places[0] <= low + slack
    assert places[-1] >= high - slack
    assert 2 <= len(places) <= 9
    steps = [b - a for a, b in pairwise(places)]
    assert min(steps) == pytest.approx(max(steps), rel=1e-3)


@given(finite, finite)
def test_texts_of_ticks_differ_and_share_their_decimals(one, other):
    places = ticks(*sorted((one, other)))
    if places[1] - places[0] > 1e-9 * max(map(abs, places)):
        texts = tick_texts(places)
        assert len(set(texts)) == len(places)
        assert len({len(t.partition(".")[2]) for t in texts if t != "0"}) == 1
        numbers = [float(t.replace("−", "-").replace(",", "")) for t in texts]
        assert numbers == pytest.approx(places, rel=1e-6, abs=1e-9 * max(map(abs, places)))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0312, "0.0312"), (-41.53, "−41.5"), (1240.4, "1,240"), (2e-5, "2e−5"), (0.5, "0.5"), (12, "12")],
)
def test_plain(value, text):
    assert plain(value) == text


def test_shares_durations_and_memory():
    assert [percent(v) for v in (0, 0.034, 0.0996, 0.523, 1)] == ["0%", "3.4%", "10%", "52%", "100%"]
    assert [points(v) for v in (0.419, -0.02, 0.0001, -0.0001)] == ["+41.9", "−2.0", "0.0", "0.0"]
    assert [duration(v) for v in (3.21, 48.4, 59.7, 125, 4320)] == [
        "3.2 s",
        "48 s",
        "1 min 0 s",
        "2 min 5 s",
        "1 h 12 min",
    ]
    assert [memory(v) for v in (3.42e9, 5.2e7)] == ["3.42 GB", "52 MB"]


def test_every_metric_gets_a_panel_and_unknown_ones_their_own():
    known = {name for panel in PANELS for name in panel.names}
    shown = list(panels({"step", "tokens", "seconds", "held_out_loss", "advantage", "held_out_surprise", *known}))
    names = [name for panel in shown for name in panel.names]
    assert sorted(names) == sorted({*known, "advantage", "surprise"})
    assert [panel.title for panel in shown[-2:]] == ["advantage", "surprise"]


def test_a_long_run_is_thinned_by_means():
    rows = [{"step": float(i), "loss": float(i % 2)} for i in range(1, 10 * MOST_POINTS + 1)]
    (chart,) = charts(rows)
    (curve,) = chart.curves
    assert chart.thinned == 10
    assert len(curve.values) == MOST_POINTS
    assert set(curve.values) == {0.5}
    assert curve.steps[-1] == rows[-1]["step"]


def test_a_running_mean_is_drawn_over_many_steps_and_not_over_few():
    (few,), (many,) = (charts([{"step": i + 1.0, "loss": 1.0} for i in range(n)]) for n in (10, 60))
    assert (few.window, few.curves[0].mean_path) == (0, "")
    assert many.window == 5
    assert many.curves[0].mean_path == many.curves[0].path  # the mean of a constant


def test_a_single_step_is_a_dot():
    (chart,) = charts([{"step": 1.0, "loss": 2.5}])
    assert len(chart.curves[0].dots) == 1
    assert chart.description == "Loss (nats) by step. training: 2.5 at step 1, 2.5 at step 1, between 2.5 and 2.5."


def test_a_panel_without_values_is_not_drawn():
    assert drawn(PANELS[0], [{"step": 1.0, "margin": 1.0}]) is None
    assert charts([]) == ()


def test_rates_lie_between_the_ends_of_the_axis():
    plot = rate_plot("x", [("row", [Entry(label="m", series=0, interval=proportion(k, 20))]) for k in (0, 20)])
    for row, at in zip(plot.rows, (0.0, 100.0), strict=True):
        assert row.marks[0].at == at
        assert 0 <= row.marks[0].low <= row.marks[0].at <= row.marks[0].high <= 100
    assert [text for _, text in plot.ticks] == ["0%", "25%", "50%", "75%", "100%"]
    assert "row: m 0% (0% to 16%)" in plot.description


@given(st.floats(-1, 1), st.floats(0, 0.3), st.floats(0, 0.3))
def test_gains_have_zero_on_their_axis(estimate, below, above):
    interval = Interval(estimate=estimate, low=max(-1, estimate - below), high=min(1, estimate + above), count=9)
    plot = gain_plot("x", [("all", []), ("row", [Entry(label="row", series=1, interval=interval)])])
    assert "0" in [text for _, text in plot.ticks] or "0.0" in [text for _, text in plot.ticks]
    mark = plot.rows[1].marks[0]
    assert -1e-6 <= mark.low <= mark.at <= mark.high <= 100 + 1e-6


def test_the_members_of_a_family_are_the_lines_of_one_panel():
    names = ("code", "web", "wiki/en")
    present = {f"{family}/{name}" for family in ("domain_weight", "loss_share", "unheard_of") for name in names}
    weights, unknown = panels(present)
    assert (weights.title, weights.labels) == ("Weights of domains", names)
    assert weights.names == tuple(f"domain_weight/{name}" for name in names)
    assert (unknown.title, unknown.labels) == ("unheard of", names)
    (chart,) = charts([{"step": step, **{f"domain_weight/{name}": 1 / step for name in names}} for step in (1.0, 2.0)])
    assert [curve.label for curve in chart.curves] == list(names)
    assert "code: 1 at step 1, 0.5 at step 2" in chart.description
