"""Measure the studio under 50 people, on each engine, and print one line of JSON for each.

    python -m benchmarks.studio.run sqlite|postgres|all

Each repetition starts the command `burnish studio` on an empty database, drives it at a given rate of requests
(`load.py`), lets all people work at once until nothing is left, kills the server, and looks into the database: unless
every item has exactly as many judgements as asked, nobody was handed one twice, all that was acknowledged is there
once, and every request was answered with 200, there is no figure. A record is written unless something is less than
usual. PostgreSQL is left out, and that is said, where there is none.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import math
import sqlite3
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import burnish
from benchmarks.records import RECORDS, origin, record_file, write_record
from benchmarks.studio.crowd import OVERLAP, found, gather, mistakes
from benchmarks.studio.engines import NoPostgres, new_database, postgres
from benchmarks.studio.load import Answered, worked
from benchmarks.studio.server import serving
from burnish.errors import BurnishError
from burnish.studio.app import open_studio
from burnish.studio.settings import StudioSettings

ENGINES = ("sqlite", "postgres")
PACKAGES = ("SQLAlchemy", "fastapi", "uvicorn", "pg8000")

USUAL = {"people": 50, "rate": 20.0, "seconds": 60.0, "repetitions": 3}
"""What a record needs at least."""

Databases = Callable[[], AbstractContextManager[str]]
"""Gives the address of an empty database, dropped at the end; "" for a file in the studio's folder."""


class Broken(BurnishError):
    """The studio did not keep what it promises."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """How much is asked for: `rate` requests a second for `seconds`, by `people`, drawn from `seed`."""

    people: int
    rate: float
    seconds: float
    seed: int = 0

    @property
    def num_items(self) -> int:
        """Items for all judgements of the load, which are a third of its requests, and some for the end."""
        return math.ceil(self.rate * self.seconds / 3 / OVERLAP) + self.people


@dataclass(frozen=True, kw_only=True)
class Done:
    """One repetition: the load's requests, how long they took altogether, judgements in all, the engine's version."""

    answered: list[Answered]
    seconds: float
    judgements: int
    engine: str


def one_run(load: Load, database: str, folder: Path) -> Done:
    """One repetition on an empty database.

    Args:
        load: how much.
        database: its address; "" for a file in the folder.
        folder: of the studio, empty.

    Raises:
        Broken: something was lost, doubled, handed out twice, or not answered with 200.
        ProcessFailed: the studio did not start, or ended.
    """
    settings = StudioSettings(folder=str(folder), database=database)
    studio = open_studio(settings)
    members = gather(studio, people=load.people, items=load.num_items)
    studio.database.close()
    with serving(settings) as server:
        working = worked(members, server.address, rate=load.rate, seconds=load.seconds, seed=load.seed)
        seen, rest, took = asyncio.run(working)
        ended = server.kill()
    studio = open_studio(settings)
    now = found(studio)
    engine = engine_version(studio.database.engine.dialect.name, database)
    studio.database.close()
    wrong = [*seen.odd, *rest.odd]
    wrong += mistakes(now, handed=seen.handed + rest.handed, acknowledged=seen.acknowledged | rest.acknowledged)
    wrong += [line for line in ended.errors.splitlines() if "locked" in line or "Error" in line]
    if wrong:
        raise Broken("\n".join(["the studio did not keep what it promises:", *wrong[:20]]))
    return Done(answered=seen.answered, seconds=took, judgements=len(now.pairs), engine=engine)


def engine_version(name: str, database: str) -> str:
    """The engine and its version."""
    if name == "sqlite":
        return f"SQLite {sqlite3.sqlite_version}"
    import sqlalchemy

    engine = sqlalchemy.create_engine(database)
    with engine.connect() as connection:
        version = connection.exec_driver_sql("SHOW server_version").scalar_one()
    engine.dispose()
    return f"PostgreSQL {str(version).split()[0]}"


def measured(name: str, load: Load, repetitions: int, databases: Databases) -> dict[str, Any]:
    """The line of an engine: percentiles of all repetitions together, and the 95th of each.

    Raises:
        Broken, ProcessFailed: as `one_run`.
    """
    runs = []
    for number in range(repetitions):
        with tempfile.TemporaryDirectory() as folder, databases() as database:
            seeded = Load(people=load.people, rate=load.rate, seconds=load.seconds, seed=number)
            runs.append(one_run(seeded, database, Path(folder)))
    by_kind: dict[str, list[float]] = defaultdict(list)
    for one in (answered for run in runs for answered in run.answered):
        by_kind[one.what].append(one.seconds)
    everything = [seconds for all_of_kind in by_kind.values() for seconds in all_of_kind]
    p95 = [percentile([one.seconds for one in run.answered], 0.95) * 1000 for run in runs]
    return {
        "work": f"studio-{name}",
        "engine": runs[0].engine,
        "people": load.people,
        "rate": load.rate,
        "seconds": load.seconds,
        "overlap": OVERLAP,
        "items": load.num_items,
        "p95_ms": statistics.median(p95),
        "runs": p95,
        "answered_per_second": len(everything) / sum(run.seconds for run in runs),
        "judgements": [run.judgements for run in runs],
        "all": spread(everything),
        "kinds": {what: spread(seconds) for what, seconds in sorted(by_kind.items())},
        "versions": {
            "burnish": burnish.__version__,
            **{package: importlib.metadata.version(package) for package in PACKAGES},
        },
    }


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """How many, and milliseconds at some percentiles."""
    at = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "worst_ms": 1.0}
    return {"count": len(seconds), **{name: percentile(seconds, share) * 1000 for name, share in at.items()}}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below this share of all."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@contextmanager
def databases(name: str) -> Iterator[Databases]:
    """Empty databases of an engine, which runs until the end.

    Raises:
        NoPostgres: there is no PostgreSQL here.
    """
    if name == "sqlite":
        yield lambda: nullcontext("")
        return
    with postgres(is_safe=True) as server:
        yield lambda: new_database(server, "studio")


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    words = argparse.ArgumentParser(prog="python -m benchmarks.studio.run", description="measure the studio")
    words.add_argument("engine", choices=[*ENGINES, "all"], metavar="|".join([*ENGINES, "all"]))
    words.add_argument("--people", type=int, default=USUAL["people"], help="who work at once")
    words.add_argument("--rate", type=float, default=USUAL["rate"], help="requests a second")
    words.add_argument("--seconds", type=float, default=USUAL["seconds"], help="of the load, each repetition")
    words.add_argument("--repetitions", type=int, default=USUAL["repetitions"], help="each on an empty database")
    words.add_argument("--records", type=Path, default=RECORDS, help="folder of the records")
    return words


def is_usual(typed: argparse.Namespace) -> bool:
    """Whether it was measured well enough for a record."""
    return all(vars(typed)[name] >= least for name, least in USUAL.items())


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, record; returns the exit code."""
    typed = parser().parse_args(argv)
    load = Load(people=typed.people, rate=typed.rate, seconds=typed.seconds)
    for name in ENGINES if typed.engine == "all" else (typed.engine,):
        try:
            with databases(name) as made:
                line = measured(name, load, typed.repetitions, made)
        except NoPostgres as error:
            sys.stderr.write(f"benchmarks: {error}; PostgreSQL is left out\n")
            continue
        except BurnishError as error:
            sys.stderr.write(f"benchmarks: {error}\n")
            return 1
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        if is_usual(typed):
            write_record(record_file(line["work"], "cpu", typed.records), {"line": line, "origin": origin("")})
    return 0


if __name__ == "__main__":
    sys.exit(main())
