"""The processes of one run, as a launcher such as torchrun starts them: who they are, what they tell each other, how
they end together.

    torchrun --nproc-per-node 2 -m burnish sft ...       the same words for every process; a process is a *rank*

Rank 0 leads: it alone prints, locks and writes records. What ranks tell each other goes over a gloo group of its own,
whose waits have no time limit, because a rank may have to wait for an hour of work of another. A rank that dies closes
its connections, which the others notice at once; the first to fail leaves its message in the launcher's store, so that
one message is printed, whichever rank it comes from.

torch is imported only where a launcher has started several processes.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from burnish.errors import BurnishError, ConfigError, RankFailed, RankLost, Stopped

T = TypeVar("T")

_FOREVER = timedelta(days=3650)
_PATIENCE_SECONDS = 3.0
"""How long a rank whose connections broke looks for the message of the one that failed."""

_WORD = "burnish/failed"
_BROKEN = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Broken pipe")
"""What torch's own errors say where a connection to another rank broke."""


@dataclass
class _Meeting:
    """Where the ranks of this run have met: the launcher's store, and the group for what they tell each other."""

    store: Any
    group: Any
    was_first: bool = False


_meeting: _Meeting | None = None


class Processes:
    """The processes that share the work: this one alone, or those of torch.distributed once it is initialised.

    Attributes:
        index: which one this is.
        count: how many there are.
    """

    def __init__(self) -> None:
        distributed = sys.modules.get("torch.distributed")
        started = distributed is not None and distributed.is_available() and distributed.is_initialized()
        self.index: int = distributed.get_rank() if distributed is not None and started else 0
        self.count: int = distributed.get_world_size() if distributed is not None and started else 1

    @property
    def leads(self) -> bool:
        """Whether this one prints and writes."""
        return self.index == 0

    def gathered(self, mine: T) -> list[T]:
        """What every rank brought, in their order. All ranks must call it."""
        if self.count == 1:
            return [mine]
        from torch import distributed

        found: list[Any] = [None] * self.count
        distributed.all_gather_object(found, mine, group=_group())
        return found

    def told(self, word: Any = None) -> Any:
        """What rank 0 has to say; the word of other ranks is not heard. All ranks must call it, and wait for ever."""
        if self.count == 1:
            return word
        from torch import distributed

        found: list[Any] = [word]
        distributed.broadcast_object_list(found, src=0, group=_group())
        return found[0]

    def any(self, mine: bool) -> bool:
        """Whether it is so on some rank. All ranks must call it."""
        return any(self.gathered(mine))

    def wait(self) -> None:
        """Go on when every rank is here."""
        self.gathered(None)


def _group() -> Any:
    return None if _meeting is None else _meeting.group


@contextmanager
def joined() -> Iterator[Processes]:
    """Meet the other processes that the environment names, if it names any, and part from them at the end.

    The process group is gloo on the CPU, and NCCL beside it where there are GPUs; `LOCAL_RANK` chooses the GPU.

    Raises:
        ConfigError: the environment names several processes and not how to meet them, or there are too few GPUs.
        RankFailed, RankLost: another process failed, in place of the broken connection that is noticed here.
        Stopped: the launcher ended this process.
    """
    global _meeting
    if _number("WORLD_SIZE", 1) == 1:
        yield Processes()
        return
    _meeting = _met()
    try:
        yield Processes()
        Processes().wait()
    except BaseException as error:
        found = caused(error)
        _meeting.was_first = _leave_word(_meeting.store, found)
        if found is error:
            raise
        raise found from error
    from torch import distributed

    distributed.destroy_process_group()
    _meeting = None


def first_launched() -> bool:
    """Whether this is the first of the processes that a launcher started, or the only one; before they have met."""
    return _number("RANK", 0) == 0


def speaks() -> bool:
    """Whether this process has to print what ended the run: the first that failed does, and one on each machine."""
    if _meeting is None or _meeting.was_first:
        return True
    word = _word(_meeting.store)
    return word is None or (word["host"] != socket.gethostname() and _number("LOCAL_RANK", 0) == 0)


def is_broken() -> bool:
    """Whether the processes had met and did not part in order."""
    return _meeting is not None


def exit_code(code: int) -> int:
    """The exit code of this process; where the others are lost, the process ends here and now.

    torch would wait for them as the interpreter shuts down, until the launcher kills it after 30 seconds.
    """
    if is_broken():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def caused(error: BaseException) -> BaseException:
    """What ended the run: `error`, or what another rank said where `error` is but a broken connection to it.

    An end by SIGTERM is what a launcher does to the ranks that are left.
    """
    if _meeting is None:
        return error
    terminated = isinstance(error, SystemExit) and error.code == 143
    if not terminated and not _is_broken_connection(error):
        return error
    _ignore_terminations()
    word = _word(_meeting.store, patience=0.0 if terminated else _PATIENCE_SECONDS)
    if word is not None:
        return RankFailed(f"rank {word['rank']}: {word['message']}")
    if terminated:
        return Stopped(
            "the launcher ended this process (SIGTERM): it was asked to, or another process failed; type the same "
            "command again to go on from the newest checkpoint"
        )
    return RankLost(
        f"rank {Processes().index} of {Processes().count}: another process of the run is gone without a word: it was "
        "killed (kill -9, or the system was out of memory), or its machine is lost. All of them end now, and what was "
        "saved is whole: type the same command again to go on from the newest checkpoint, with as many processes or "
        f"with another number ({str(error).splitlines()[0]})"
    )


def _ignore_terminations() -> None:
    """This process is ending; the launcher's SIGTERM must not keep it from saying why."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _is_broken_connection(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and any(mark in str(error) for mark in _BROKEN)


def _leave_word(store: Any, error: BaseException) -> bool:
    """Put the message where the others find it; whether this rank was the first."""
    mine = json.dumps({"rank": Processes().index, "host": socket.gethostname(), "message": _message(error)})
    try:
        return bool(store.compare_set(_WORD, "", mine).decode() == mine)
    except RuntimeError:  # the store was on the machine that is gone
        return True


def _message(error: BaseException) -> str:
    return str(error) if isinstance(error, BurnishError) else f"{type(error).__name__}: {error}"


def _word(store: Any, patience: float = 0.0) -> Mapping[str, Any] | None:
    """What the first rank that failed has left, None if nothing comes."""
    until = time.monotonic() + patience
    try:
        while not store.check([_WORD]):
            if time.monotonic() >= until:
                return None
            time.sleep(0.05)
        found: Mapping[str, Any] = json.loads(store.get(_WORD))
    except RuntimeError:
        return None
    return found


def _met() -> _Meeting:
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    if torch.cuda.is_available():
        if (local := _number("LOCAL_RANK", 0)) >= torch.cuda.device_count():
            raise ConfigError(
                [f"process {local} of this machine has no GPU: there are {torch.cuda.device_count()}; start as many"]
            )
        torch.cuda.set_device(local)
    try:
        store, rank, count = next(iter(rendezvous("env://")))
    except ValueError as error:
        raise ConfigError(
            [f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, and the processes cannot meet ({error}); start with torchrun"]
        ) from None
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=count)
    return _Meeting(store=store, group=distributed.new_group(backend="gloo", timeout=_FOREVER))


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    try:
        return int(text)
    except ValueError:
        raise ConfigError([f"the variable {name} is '{text}'; expected a whole number, as torchrun sets it"]) from None
