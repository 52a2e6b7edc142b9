"""What all tests share: one thread, and a garbage collector that leaves alone what lives to the end."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """A recipe collects garbage between its stages, and would go through every module that was imported each time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny models run on one thread: more of them only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
