"""`burnish` with an accident, for `test_several_processes.py`; the accident is named by a variable.

BURNISH_TEST_STOP_AFTER=N    SIGTERM reaches rank 1 alone (or the only process) when update N has been made
BURNISH_TEST_BLIND_RANK=N    rank N cannot read the data
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from burnish.cli import main
from burnish.errors import DataError
from burnish.stages import training
from burnish.training.trainer import Trainer


def stop_after(number: int) -> None:
    """Signal this process in the middle of an update."""
    step = Trainer.optimizer_step

    def stepped(self: Trainer[Any]) -> Mapping[str, float]:
        found = step(self)
        if self.num_updates == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return found

    Trainer.optimizer_step = stepped  # type: ignore[method-assign]


def blind() -> None:
    """Fail where the data is read."""

    def prepare(*arguments: object, **named: object) -> None:
        raise DataError("rank 1 cannot read the data")

    training.prepare = prepare  # type: ignore[assignment]


if __name__ == "__main__":
    rank = os.environ.get("RANK", "")
    if rank in ("", "1") and "BURNISH_TEST_STOP_AFTER" in os.environ:
        stop_after(int(os.environ["BURNISH_TEST_STOP_AFTER"]))
    if rank and rank == os.environ.get("BURNISH_TEST_BLIND_RANK"):
        blind()
    sys.exit(main())
