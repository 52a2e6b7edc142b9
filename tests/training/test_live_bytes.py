"""The accounting of live tensors."""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from burnish.training.live_bytes import LiveBytes


def test_the_peak_and_what_is_left():
    with LiveBytes() as live:
        kept = torch.ones(1000)
        assert live.now == 4000
        torch.ones(500)
        assert live.now == 4000
    assert live.peak == 6000
    assert kept.numel() == 1000


def test_views_share_a_storage():
    with LiveBytes() as live:
        whole = torch.ones(10, 10)
        views = [whole[0], whole.T, whole.view(-1), whole.reshape(5, 20)]
        del whole
        assert live.now == 400
        del views
    assert live.now == 0


def test_a_lap_begins_from_what_is_alive():
    with LiveBytes() as live:
        torch.ones(1000)
        kept = torch.ones(10)
        assert live.lap() == 4000
        assert live.peak == kept.numel() * 4


def test_what_backward_makes_is_seen():
    weight = torch.ones(100, 100, requires_grad=True)
    with LiveBytes() as live:
        (weight @ torch.ones(100, 1)).sum().backward()
    assert live.peak >= 100 * 100 * 4


def test_tensors_without_numbers_count_as_if_they_had_them():
    with FakeTensorMode(), LiveBytes() as live:
        fake = torch.ones(10**6, 10**6)
        assert live.now == 4 * 10**12
        assert fake.shape == (10**6, 10**6)
