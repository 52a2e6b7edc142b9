"""The driver: gather, cut, pass after pass, finish. What is done stays done: a killed run goes on, and ends the same.

    gather    a task per file      files -> sorted pieces
    cut       a task per shard     pieces -> canonical shards, the ledger of `read`
    pass n    a task per shard     documents -> documents, ledgers, keys;  then one reduce here
    finish    a task per shard     the end of every document, the documents that are kept

All of it goes on in `out/.work`, in a folder that is named by what the run is made of; at the end the finished folders
are moved to their places and `.work` is removed. `summary.json` is written last.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from burnish.config import dump, sources
from burnish.data.curate.atomic import read_json, write_arrow, write_json
from burnish.data.curate.corpus import WorkCorpus
from burnish.data.curate.counting import WORDS, Tokens
from burnish.data.curate.cutting import cut
from burnish.data.curate.finishing import finish
from burnish.data.curate.gathering import Gathered, Input, gathered
from burnish.data.curate.intake import Intake
from burnish.data.curate.ledger import Count
from burnish.data.curate.passes import Pass, go_through, passes_of
from burnish.data.curate.pieces import READ, READ_REASONS
from burnish.data.curate.pool import Pool, Task
from burnish.data.curate.registry import plain_steps, step_names
from burnish.data.curate.room import Room
from burnish.data.curate.step import CorpusStep, Step
from burnish.errors import DataError
from burnish.store import content_key, source_keys

SUMMARY = "summary.json"
_RESULTS = ("documents", "ledger", "places", "prepared", "incidents.parquet")


@dataclass(frozen=True, kw_only=True)
class Curation:
    """What is to be done, without how: two equal ones give the same bytes.

    Attributes:
        inputs: files to read.
        intake: how.
        steps: in order.
        shard_bytes: of text in a shard, about.
        tokens: what counts tokens; None: bytes and words are enough.
    """

    inputs: tuple[Input, ...]
    intake: Intake
    steps: tuple[Step, ...]
    shard_bytes: int = 64_000_000
    tokens: Tokens | None = None

    @property
    def key(self) -> str:
        """16 hexadecimal digits that stand for the content of all files, the settings and the source of the steps."""
        parts = [
            sorted((item.name, item.source, content_key(str(item.path))) for item in self.inputs),
            dump(self.intake),
            plain_steps(self.steps),
            [content_key(name) for name in sources(self.steps).values()],
            [source_keys((type(step), *step.code())) for step in self.steps],
            self.shard_bytes,
            None if self.tokens is None else [self.tokens.name, self.tokens.digest],
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def curate(curation: Curation, out: Path, pool: Pool, say: Callable[[str], None]) -> dict[str, Any]:
    """Take a corpus through the steps.

    Args:
        curation: what to do.
        out: folder of the result; what a killed run left there is used.
        pool: does the tasks.
        say: prints one line.

    Returns:
        The summary, as `summary.json` holds it: `key`; `files`, `shards`; the `unit` of text; `ids` given and derived;
        `incidents` by kind; `steps` in order, `read` first, each with `name`, `kind`, `source`, `reasons`, `rules` and
        what `Count` says.

    Raises:
        DataError: no document could be read, or a step failed; names it.
        StoreError: something cannot be written, such as on a full disk.
    """
    for step in curation.steps:
        step.check()
    key = curation.key
    if (summary := read_json(out / SUMMARY)) is not None and summary["key"] == key:
        return summary
    with contextlib.suppress(FileNotFoundError):
        (out / SUMMARY).unlink()
    work = out / ".work" / key
    run = _Run(curation, Room(work=work, out=work / "artefact"), pool, say)
    facts = run.all()
    for name in _RESULTS:
        _moved(run.room.out / name, out / name)
    summary = {"key": key, **facts}
    write_json(out / SUMMARY, summary)
    shutil.rmtree(out / ".work", ignore_errors=True)
    return summary


def _moved(source: Path, target: Path) -> None:
    """Put a finished file or folder into its place; what a killed run has moved already stays."""
    if not source.exists() or (source.is_dir() and not any(source.iterdir())):
        return
    if target.is_dir():
        shutil.rmtree(target)
    source.replace(target)


@dataclass
class _Run:
    """A run at work."""

    curation: Curation
    room: Room
    pool: Pool
    say: Callable[[str], None]
    counts: dict[str, Count] = field(default_factory=dict)
    shards: int = 0

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the steps."""
        return step_names(self.curation.steps)

    @cached_property
    def plain(self) -> list[dict[str, Any]]:
        """The steps as plain data."""
        return plain_steps(self.curation.steps)

    def all(self) -> dict[str, Any]:
        """Do everything; returns what the summary says."""
        size, intake = self.curation.shard_bytes, self.curation.intake
        found = gathered(self.curation.inputs, intake, size, self.room, self.pool)
        self.shards = found.shards
        self._tell_gathered(found)
        given = self._cut(found.pieces)
        for number, what in enumerate(passes_of(self.curation.steps), start=1):
            self._prepare(number, what)
            if what.opens is not None:
                self._reduce(number, what.opens)
            self._pass(number, what)
        self._finish(number)
        return {
            "files": len(self.curation.inputs),
            "shards": self.shards,
            "unit": WORDS if self.curation.tokens is None else self.curation.tokens.unit,
            "ids": {"given": given, "derived": found.documents - given},
            "incidents": dict(found.incidents),
            "steps": [self._said(READ), *map(self._said, self.names, self.curation.steps)],
        }

    def _said(self, name: str, step: Step | None = None) -> dict[str, Any]:
        """What the summary says of a step."""
        facts: dict[str, Any] = {"kind": "", "source": "", "reasons": list(READ_REASONS), "rules": []}
        if step is not None:
            rules = [asdict(rule) for rule in step.rules]
            facts = {"kind": step.kind, "source": step.source, "reasons": list(step.reasons), "rules": rules}
        return {"name": name, **facts, **self.counts[name].plain()}

    def _cut(self, pieces: Sequence[str]) -> int:
        """Cut the shards; returns how many documents were given an id."""
        mend = self.curation.intake.damaged == "mend"
        tasks = [
            Task(
                name=f"cut, shard {shard}",
                function=cut,
                arguments=(self.room, pieces, shard, self.shards, mend, self.curation.tokens),
            )
            for shard in range(self.shards)
        ]
        self.counts[READ] = Count()
        given = 0
        for result in self.pool.run(tasks):
            self.counts[READ].plus(result)
            given += result["given"]
        self._tell(READ)
        return given

    def _prepare(self, number: int, what: Pass) -> None:
        """Let the steps of a pass train what they need."""
        for place in (*what.rows, *(() if what.keys is None else (what.keys,))):
            mark = self.room.done(f"prepared-{self.names[place]}", 0)
            if read_json(mark) is not None:
                continue
            folder = self.room.prepared(place + 1, self.names[place])
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            self.curation.steps[place].prepare(folder, self._corpus(number, self.names[place]))
            if not any(folder.iterdir()):
                folder.rmdir()
            write_json(mark, {})

    def _reduce(self, number: int, place: int) -> None:
        """Let the corpus step that opens a pass see all keys."""
        step, name = self.curation.steps[place], self.names[place]
        mark = self.room.done(f"reduced-{name}", 0)
        if read_json(mark) is not None:
            return
        assert isinstance(step, CorpusStep)
        shard = -1
        for shard, marks in enumerate(step.reduce(self._corpus(number, name))):
            write_arrow(self.room.marks(number, shard), pa.Table.from_batches([marks]))
        if shard + 1 != self.shards:
            raise DataError(f"step '{name}' gave marks for {shard + 1} shards; there are {self.shards}")
        write_json(mark, {})

    def _pass(self, number: int, what: Pass) -> None:
        """Take every shard through a pass."""
        shutil.rmtree(self.room.work / f"documents-{number - 2}", ignore_errors=True)  # no later task reads it
        deciding = [self.names[place] for place in what.deciding]
        title = f"pass {number} ({', '.join(deciding) or 'keys'})"
        tasks = [
            Task(
                name=f"{title}, shard {shard}",
                function=go_through,
                arguments=(self.room, self.plain, number, what, shard, self.curation.tokens),
            )
            for shard in range(self.shards)
        ]
        self.counts |= {name: Count() for name in deciding}
        for result in self.pool.run(tasks):
            self._add(result)
        for name in deciding:
            self._tell(name)

    def _add(self, result: Mapping[str, Mapping[str, Any]]) -> None:
        for name, count in result.items():
            self.counts[name].plus(count)

    def _corpus(self, number: int, name: str) -> WorkCorpus:
        folder = self.room.work / "scratch" / name
        folder.mkdir(parents=True, exist_ok=True)
        return WorkCorpus(
            room=self.room,
            number=number - 1,
            num_shards=self.shards,
            folder=folder,
            pool=self.pool,
            name=name,
            say=self.say,
        )

    def _finish(self, last: int) -> None:
        tasks = [
            Task(name=f"finish, shard {shard}", function=finish, arguments=(self.room, self.names, last, shard))
            for shard in range(self.shards)
        ]
        self.pool.run(tasks)

    def _tell_gathered(self, found: Gathered) -> None:
        files = len(self.curation.inputs)
        size = found.bytes / 1e6
        self.say(f"{found.documents:,} documents, {size:,.1f} MB of text, in {files} files; {self.shards} shards")
        for what, number in found.incidents.items():
            self.say(f"incidents: {number:,} of '{what}' (see incidents.parquet)")

    def _tell(self, name: str) -> None:
        count = self.counts[name]
        gone = sum(amount.documents for amount in count.dropped.values())
        edited = sum(amount.documents for amount in count.edited.values())
        left = f"{name}: {count.left.documents:,} of {count.reached.documents:,} documents go on, {gone:,} dropped"
        self.say(left + (f", {edited:,} edited" if edited else ""))
