"""A tiny stage for tests: writes one number per step, goes on where it was, and can fail or wait on the way."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import ClassVar, Literal

from burnish.config import setting, settings
from burnish.errors import DataError
from burnish.stages.stage import Plan, Stage, Work


@settings
class Even:
    """The same pause every time."""

    kind: Literal["even"] = "even"
    seconds: float = setting(0.0, "pause after each step", unit="seconds", ge=0)


@settings
class Growing:
    """A pause that grows."""

    kind: Literal["growing"] = "growing"
    seconds: float = setting(0.0, "pause after each step", unit="seconds", ge=0)
    factor: float = setting(2.0, "growth per step", gt=1)


@settings
class Pace:
    """How fast it goes."""

    pause: Even | Growing = setting(Even(), "how long it waits")
    every: int = setting(1, "steps between lines", unit="steps", ge=1)


@settings
class CountStage(Stage):
    """Count up to a number."""

    verb: ClassVar[str] = "count"
    growable: ClassVar[tuple[str, ...]] = ("steps",)

    data: str | None = setting(None, "file whose size is the first number", source=True)
    more: tuple[str, ...] = setting((), "other files", source=True)
    steps: int = setting(3, "numbers to write", unit="steps", ge=1)
    seed: int = setting(0, "added to each number")
    label: str | None = setting(None, "a word in front of each number")
    loud: bool = setting(False, "say each number")
    pace: Pace = setting(Pace(every=1), "how fast it goes")
    fail_at: int = setting(0, "step that fails; 0 never", unit="steps")
    kill_at: int = setting(0, "step before which the process kills itself; 0 never", unit="steps")

    def plan(self) -> Plan:
        if self.label == "impossible":
            raise DataError("label is impossible")
        return Plan(lines=(f"{self.steps} numbers",))

    def run(self, work: Work) -> None:
        path = work.out / "numbers.txt"
        done = path.read_text().splitlines() if work.resume and path.exists() else []
        work.record({"found": len(done), "numerics": {"dtype": "int"}})
        first = Path(self.data).stat().st_size if self.data and Path(self.data).is_file() else 0
        for step in range(len(done) + 1, self.steps + 1):
            if step == self.fail_at:
                raise DataError(f"step {step} fails")
            if step == self.kill_at and not work.resume:
                os.kill(os.getpid(), signal.SIGKILL)
            number = first + step * self.pace.every + self.seed
            done.append(f"{self.label or ''}{number}")
            path.write_text("\n".join(done))
            if self.loud:
                work.say(done[-1])
            time.sleep(self.pace.pause.seconds * (step if isinstance(self.pace.pause, Growing) else 1))


@settings
class JoinStage(Stage):
    """Put artefacts together."""

    verb: ClassVar[str] = "join"

    parts: dict[str, str] = setting(..., "folders or files, by name", source=True)
    note: str = setting("", "written at the end")

    def run(self, work: Work) -> None:
        files = (Path(part) / "numbers.txt" if Path(part).is_dir() else Path(part) for part in self.parts.values())
        text = "\n".join([*(file.read_text() for file in files), self.note])
        (work.out / "model").mkdir(exist_ok=True)
        (work.out / "model" / "joined.txt").write_text(text)


@settings
class OwnOptionStage(Stage):
    """A stage that takes a name which every run has."""

    verb: ClassVar[str] = "own"
    out: str = setting("", "taken")

    def run(self, work: Work) -> None:
        """Do nothing."""
