"""What a person sees: plain lines where there is no terminal, a bar where there is one."""

from __future__ import annotations

import re

import pytest
from rich.console import Console

from burnish.training import progress
from burnish.training.progress import ProgressBar


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(progress, "Console", lambda: Console(force_terminal=False))
    return clock


def run(clock: Clock, *, steps: int, seconds: float, done: int = 0) -> None:
    with ProgressBar("sft", total=steps, done=done) as bar:
        for step in range(done + 1, steps + 1):
            clock.now += seconds
            bar.show(step, {"loss": 1.0 / step, "accuracy": 0.5, "grad_norm": 9.0, "tokens_per_second": 123.4})


def test_a_line_every_ten_seconds_and_at_the_end(clock, capsys):
    run(clock, steps=10, seconds=4.0)
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split()[1].split("/")[0]) for line in lines] == [1, 4, 7, 10]


def test_what_a_line_says(clock, capsys):
    """Six updates of 5 seconds: after the third, three are left, so 15 seconds."""
    run(clock, steps=6, seconds=5.0)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "sft 3/6  loss 0.3333  accuracy 0.5  123 tokens/s  15 s left"
    assert lines[-1].endswith("0 s left")


def test_a_resumed_run_estimates_from_its_own_updates(clock, capsys):
    """Updates that another process did must not make this one look fast."""
    run(clock, steps=104, seconds=20.0, done=100)
    lines = capsys.readouterr().out.splitlines()
    assert [line.rsplit("  ", 1)[1] for line in lines] == ["60 s left", "40 s left", "20 s left", "0 s left"]


def test_a_terminal_gets_a_bar(monkeypatch):
    console = Console(force_terminal=True, width=120, record=True, color_system=None)
    monkeypatch.setattr(progress, "Console", lambda: console)
    with ProgressBar("dpo", total=4, done=1) as bar:
        for step in (2, 3, 4):
            bar.show(step, {"loss": 0.25, "margin": 0.125, "tokens_per_second": 50.0})
    text = console.export_text()
    assert re.search(r"dpo .* 4/4 .*loss 0.25  margin 0.125  50 tokens/s", text)
