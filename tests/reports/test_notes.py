"""Notes: each kind of trouble is seen, and a sound run gets none."""

from __future__ import annotations

import pytest

from burnish.reports.notes import notes
from burnish.reports.records import Run


def run_with(**columns):
    length = len(next(iter(columns.values())))
    steps = tuple(
        {"step": float(i + 1), **{name: values[i] for name, values in columns.items() if values[i] is not None}}
        for i in range(length)
    )
    return Run(folder=None, verb="dpo", settings={}, versions={}, steps=steps)


def line(first, last, count=20):
    return [first + (last - first) * i / (count - 1) for i in range(count)]


SOUND = {
    "loss": line(0.7, 0.3),
    "held_out_loss": line(0.7, 0.4),
    "logp_chosen": line(-40, -39),
    "logp_rejected": line(-40, -70),
    "length_chosen": line(50, 50),
    "length_rejected": line(52, 52),
}


def test_a_sound_run_gets_no_note():
    assert notes(run_with(**SOUND)) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"logp_chosen": line(-40, -60)}, "chosen answers' log-probability falls from −41.6 to −58.4"),
        ({"length_rejected": line(50, 75)}, "drifts from 1.04 to 1.46"),
        ({"length_rejected": line(90, 90)}, "Chosen answers are shorter than rejected ones (rejected to chosen: 1.80)"),
        ({"length_rejected": line(20, 20)}, "Chosen answers are longer"),
        (
            {"held_out_loss": [*line(0.7, 0.4, 10), *line(0.41, 0.5, 10)]},
            "lowest at step 10 (0.4) and ends at 0.5, 25% higher",
        ),
        (
            {"loss": [None if i == 7 else 1.0 for i in range(20)]},
            "'loss' has no finite value at 1 step, the first of them step 8",
        ),
        (
            {"domain_weight/web": line(0.3, 0.99), "domain_weight/wiki": line(0.7, 0.01)},
            "weights of the domains have collapsed: 'web' has",
        ),
    ],
)
def test_trouble_gets_a_note(change, said):
    found = notes(run_with(**{**SOUND, **change}))
    assert any(said in note for note in found), found


def test_noise_of_single_steps_gets_no_note():
    noisy = [-40 - (12 if i % 7 == 3 else 0) for i in range(40)]
    assert notes(run_with(logp_chosen=noisy)) == ()


def test_a_handful_of_steps_is_too_short_to_tell():
    assert notes(run_with(logp_chosen=[-40, -50, -60])) == ()


def test_metrics_of_some_steps_only_are_no_trouble():
    assert notes(run_with(loss=line(1, 1), looked=[1.0 if i % 10 == 0 else None for i in range(20)])) == ()


def test_weights_that_are_spread_and_domains_that_a_batch_lacks_get_no_note():
    weights = {"domain_weight/web": line(0.3, 0.8), "domain_weight/wiki": line(0.7, 0.2)}
    lacking = {"excess_loss/wiki": [None if i == 7 else 1.0 for i in range(20)]}
    assert notes(run_with(**weights, **lacking)) == ()
