"""SIGTERM asks; it does not break the update in progress."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from burnish.objectives.sft import SFT
from burnish.training.interrupt import Interrupt
from burnish.training.trainer import Trainer, Updates
from tests.training.toys import Shelf, chats, parts_of, policy


@pytest.fixture(autouse=True)
def _harmless():
    """A handler of our own below, so that a failure of the code does not end the tests."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: pytest.fail("the signal went past the interrupt"))
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_signal_is_noted():
    with Interrupt() as interrupt:
        assert not interrupt.asked
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.asked
    assert interrupt.asked, "it stays so"


def test_the_handler_from_before_is_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyError), Interrupt():  # noqa: PT012
        assert signal.getsignal(signal.SIGTERM) != before
        raise KeyError
    assert signal.getsignal(signal.SIGTERM) == before


def test_outside_of_the_main_thread_nothing_is_installed():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with Interrupt() as interrupt:
            seen.append((signal.getsignal(signal.SIGTERM), interrupt.asked))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, False)]


def test_the_update_in_progress_is_finished():
    """The signal arrives while the third batch is drawn: that update is done, the fourth is not begun."""
    source = Shelf([chats(2)] * 9)
    trainer = Trainer(parts_of(policy()), SFT(), Updates(), steps=9)
    draw = source.next

    def next_batch(feedback):
        if source.place == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(feedback)

    source.next = next_batch
    with Interrupt() as interrupt:
        trainer.run(source, after=lambda metrics: interrupt.asked)
    assert trainer.num_updates == 3
