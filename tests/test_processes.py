"""Processes: alone, what an environment must say, and which word ends a run."""

from __future__ import annotations

import json
import socket

import pytest
from torch.distributed import HashStore

from burnish import processes
from burnish.errors import ConfigError, RankFailed, RankLost, Stopped
from burnish.processes import Processes, caused, joined, speaks

BROKEN = RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:46737")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> HashStore:
    """The store of a run whose ranks have met, in which nobody has said anything yet."""
    found = HashStore()
    monkeypatch.setattr(processes, "_meeting", processes._Meeting(store=found, group=None))
    monkeypatch.setattr(processes, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(processes, "_ignore_terminations", lambda: None)
    return found


def left_by(store: HashStore, rank: int, message: str, *, host: str = "") -> None:
    word = {"rank": rank, "host": host or socket.gethostname(), "message": message}
    store.set(processes._WORD, json.dumps(word))


def test_one_process_is_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as alone:
        assert (alone.index, alone.count, alone.leads) == (0, 1, True)
        assert alone.gathered("x") == ["x"]
        assert alone.told("x") == "x"
        assert [alone.any(True), alone.any(False)] == [True, False]
        alone.wait()
    assert speaks()
    assert caused(BROKEN) is BROKEN


@pytest.mark.parametrize(("size", "words"), [("two", "WORLD_SIZE is 'two'"), ("2", "start with torchrun")])
def test_an_environment_that_does_not_say_how_to_meet(size: str, words: str, monkeypatch: pytest.MonkeyPatch):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(ConfigError, match=words), joined():
        pass


def test_a_broken_connection_is_what_the_other_rank_said(store: HashStore):
    left_by(store, 1, "the loss is not finite; examples: row-7")
    found = caused(BROKEN)
    assert type(found) is RankFailed
    assert str(found) == "rank 1: the loss is not finite; examples: row-7"


def test_a_broken_connection_without_a_word_is_a_lost_rank(store: HashStore):
    found = caused(BROKEN)
    assert type(found) is RankLost
    assert "type the same command again" in str(found)
    assert "Connection closed by peer" in str(found)


def test_an_error_of_ones_own_stays_what_it_is(store: HashStore):
    left_by(store, 1, "something else")
    for error in (RuntimeError("shapes do not fit"), ValueError("gloo"), KeyboardInterrupt()):
        assert caused(error) is error


def test_the_launchers_signal_is_told_as_such(store: HashStore):
    assert type(caused(SystemExit(143))) is Stopped
    assert isinstance(caused(SystemExit(1)), SystemExit)
    left_by(store, 0, "no such file")
    assert str(caused(SystemExit(143))) == "rank 0: no such file"


def test_the_first_that_fails_speaks_and_one_on_every_other_machine(store: HashStore, monkeypatch: pytest.MonkeyPatch):
    assert processes._leave_word(store, ValueError("first"))
    assert not processes._leave_word(store, ValueError("second"))
    assert json.loads(store.get(processes._WORD))["message"] == "ValueError: first"
    assert not speaks()
    left_by(store, 1, "first", host="another-machine")
    assert speaks()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not speaks()


def test_processes_are_counted_without_torch_being_started():
    assert (Processes().index, Processes().count) == (0, 1)
