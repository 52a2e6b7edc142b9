"""Measure the data engine and print one line of JSON for each part; `parts.py` says what they are.

    python -m benchmarks.curation.run minhash|substring|pipeline|all

The corpora are made once, from real texts: `../shared/data` beside the checkout, the folder that BURNISH_TEST_DATA
names, or `--data`. `minhash` needs the peer's environment (`make bench-data` makes it); it tunes the peer first, on a
small corpus, and records every trial. A record is written unless a size or the repetitions are less than usual.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.curation.parts import minhash, pipeline, substring, tuned_peer
from benchmarks.curation.place import Place
from benchmarks.curation.sentences import real_texts
from benchmarks.records import RECORDS, origin, record_file, write_record
from burnish.errors import BurnishError, ConfigError

CORPORA = Path(".cache/benchmarks/curation")
PEER = Path(".venv-datatrove/bin/python")
PARTS = ("minhash", "substring", "pipeline")

USUAL = {"documents": 100_000, "part": 100_000, "passages": 20_000, "trial": 4_000, "repetitions": 3}
"""What a record needs at least."""


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    words = argparse.ArgumentParser(prog="python -m benchmarks.curation.run", description="measure the data engine")
    words.add_argument("part_of_all", choices=[*PARTS, "all"], metavar="|".join([*PARTS, "all"]))
    words.add_argument("--documents", type=int, default=USUAL["documents"], help="of the corpus")
    words.add_argument("--part", type=int, default=USUAL["part"], help="documents beside datatrove as it ships")
    words.add_argument("--passages", type=int, default=USUAL["passages"], help="documents searched for passages")
    words.add_argument("--trial", type=int, default=USUAL["trial"], help="documents of a trial of the peer's tuning")
    words.add_argument("--repetitions", type=int, default=USUAL["repetitions"], help="runs of each side")
    words.add_argument("--data", type=Path, default=real_texts(), help="folder with real texts")
    words.add_argument("--corpora", type=Path, default=CORPORA, help="folder of the corpora")
    words.add_argument("--peer", type=Path, default=PEER, help="the interpreter of datatrove's environment")
    words.add_argument("--records", type=Path, default=RECORDS, help="folder of the records")
    return words


def measured(part: str, place: Place, typed: argparse.Namespace) -> list[dict[str, Any]]:
    """The lines of a part; that of a tuning has its trials.

    Raises:
        ConfigError: the peer's environment is not there.
    """
    if part == "substring":
        return [substring(place, documents=typed.passages, repetitions=typed.repetitions)]
    if part == "pipeline":
        return [pipeline(place, documents=typed.documents, repetitions=typed.repetitions)]
    if not place.peer.is_file():
        raise ConfigError([f"there is no {place.peer}, the peer's interpreter; type make .venv-datatrove/.made"])
    found = tuned_peer(place, typed.trial)
    sizes = {"documents": typed.documents, "part": typed.part, "repetitions": typed.repetitions}
    return [found, minhash(place, **sizes, settings=found["best"])]


def is_usual(typed: argparse.Namespace) -> bool:
    """Whether it was measured well enough for a record."""
    return all(vars(typed)[name] >= least for name, least in USUAL.items())


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, record; returns the exit code."""
    typed = parser().parse_args(argv)
    typed.corpora.mkdir(parents=True, exist_ok=True)
    for part in PARTS if typed.part_of_all == "all" else (typed.part_of_all,):
        with tempfile.TemporaryDirectory(dir=typed.corpora, ignore_cleanup_errors=True) as scratch:
            place = Place(data=typed.data, folder=typed.corpora, scratch=Path(scratch), peer=typed.peer.absolute())
            try:
                lines = measured(part, place, typed)
            except BurnishError as error:
                sys.stderr.write(f"benchmarks: {error}\n")
                return 1
        for line in lines:
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
            name = f"tuning-{line['work']}" if "trials" in line else line["work"]
            if is_usual(typed):
                write_record(record_file(name, "cpu", typed.records), {"line": line, "origin": origin("")})
    return 0


if __name__ == "__main__":
    sys.exit(main())
