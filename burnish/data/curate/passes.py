"""Which steps run together, and the tasks that take one shard through them.

Consecutive row-wise steps are one pass over a shard; the keys of the corpus step that follows are made on the way, and
its decisions open the next pass:

    steps    gopher   fineweb   exact-dedup   pii   near-dedup
    pass 1   decide   decide    keys
             ──────────── reduce ────────────
    pass 2                      decide        decide  keys
             ──────────── reduce ────────────
    pass 3                                            decide

A task writes whole files and, last, a mark with its counts; a task whose mark is there is not run again. Everything a
task needs travels as plain data, so that it can run in a fresh process or on another machine that sees the same folder.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from burnish.data.curate.atomic import read_arrow, read_json, write_arrow, write_json, write_parquet
from burnish.data.curate.counting import Tokens
from burnish.data.curate.documents import Documents, batches, document_batch
from burnish.data.curate.ledger import Count, ledger_rows, step_schema
from burnish.data.curate.registry import step_names, steps_from
from burnish.data.curate.room import Room
from burnish.data.curate.step import CorpusStep, Decisions, RowStep, Step
from burnish.errors import BurnishError, DataError

Judge = Callable[[Documents, pa.RecordBatch | None], Decisions]
"""What decides about documents of a shard, given their marks if it is a corpus step."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """Steps that run together, by their place in the pipeline.

    Attributes:
        opens: the corpus step whose decisions open it.
        rows: row-wise steps.
        keys: the corpus step whose keys are made at its end.
    """

    opens: int | None = None
    rows: tuple[int, ...] = ()
    keys: int | None = None

    @property
    def deciding(self) -> tuple[int, ...]:
        """The steps that decide in it, in order."""
        return (*(() if self.opens is None else (self.opens,)), *self.rows)


def passes_of(steps: Sequence[Step]) -> tuple[Pass, ...]:
    """The passes of a pipeline."""
    found: list[Pass] = []
    opens: int | None = None
    rows: list[int] = []
    for place, step in enumerate(steps):
        if isinstance(step, CorpusStep):
            found.append(Pass(opens=opens, rows=tuple(rows), keys=place))
            opens, rows = place, []
        else:
            rows.append(place)
    return (*found, Pass(opens=opens, rows=tuple(rows)))


def go_through(
    room: Room, plain: Sequence[Mapping[str, Any]], number: int, what: Pass, shard: int, tokens: Tokens | None
) -> dict[str, dict[str, Any]]:
    """Task: take one shard through a pass.

    Args:
        room: where to read and write.
        plain: all steps of the pipeline, as plain data.
        number: of the pass, from 1.
        what: its steps.
        shard: which.
        tokens: how tokens are counted; None if they are not.

    Returns:
        The counts of each step in it, by name, as plain data.
    """
    mark = room.done(f"pass-{number}", shard)
    if (done := read_json(mark)) is not None:
        return done
    steps = steps_from(plain)
    names = step_names(steps)
    crew = [Judging(place, names[place], steps[place], tokens) for place in what.deciding]
    judges = [_judge(json.dumps(list(plain)), one.place, str(room.prepared(one.place + 1, one.name))) for one in crew]
    kept = [pa.RecordBatch.from_pylist([], read_arrow(room.documents(number - 1, shard)).schema)]
    keys = [] if what.keys is None else [_keys(names[what.keys], steps[what.keys], _no_documents())]
    for documents, marks in _batches(room, number, what, shard):
        for one, judge in zip(crew, judges, strict=True):
            documents = one.pass_on(documents, marks, judge)
        kept.append(documents.batch)
        if what.keys is not None:
            keys.append(_keys(names[what.keys], steps[what.keys], documents))
    for one in crew:
        write_parquet(room.step(one.place + 1, one.name, shard), pa.Table.from_batches(one.rows, one.schema))
    if what.keys is not None:
        write_arrow(room.keys(number, shard), pa.Table.from_batches(keys))
    write_arrow(room.documents(number, shard), pa.Table.from_batches(kept))
    result = {one.name: one.count.plain() for one in crew}
    write_json(mark, result)
    return result


@dataclass
class Judging:
    """A step at work on a shard.

    Attributes:
        place, name, step: which.
        tokens: how tokens of edited texts are counted.
        rows: its ledger.
        count: what it did.
    """

    place: int
    name: str
    step: Step
    tokens: Tokens | None = None
    rows: list[pa.RecordBatch] = field(default_factory=list)
    count: Count = field(default_factory=Count)

    @property
    def schema(self) -> pa.Schema:
        """Of its ledger."""
        return step_schema(self.step.measures)

    def pass_on(self, documents: Documents, marks: pa.RecordBatch | None, judge: Judge) -> Documents:
        """Decide, write it down, and return the documents that go on."""
        mine = marks if isinstance(self.step, CorpusStep) else None
        decisions = _decided(self.name, self.step, documents, mine, judge)
        self.count.see(self.step, documents, decisions)
        self.rows.append(ledger_rows(self.step, documents, decisions))
        left = documents.edited(decisions.texts, self.tokens).taken(np.flatnonzero(~decisions.dropped))
        self.count.leave(left)
        return left


@functools.lru_cache(maxsize=64)
def _judge(plain: str, place: int, prepared: str) -> Judge:
    """What decides for a step; made once per process, since it may load a model."""
    step = steps_from(json.loads(plain))[place]
    if isinstance(step, RowStep):
        decide = step.decider(Path(prepared))
        return lambda documents, marks: decide(documents)
    assert isinstance(step, CorpusStep)
    return _with_marks(step)


def _with_marks(step: CorpusStep) -> Judge:
    def judge(documents: Documents, marks: pa.RecordBatch | None) -> Decisions:
        assert marks is not None  # the pass opens with this step
        return step.decide(documents, marks)

    return judge


def _decided(name: str, step: Step, documents: Documents, marks: pa.RecordBatch | None, judge: Judge) -> Decisions:
    """The decisions, checked; a failure names the step and, if one document alone causes it, the document.

    Raises:
        DataError: the step failed, or broke the contract.
    """
    try:
        decisions = judge(documents, marks)
    except Exception as error:
        if isinstance(error, BurnishError):
            raise
        culprit = _culprit(documents, marks, judge)
        raise DataError(f"step '{name}' failed on {culprit}: {type(error).__name__}: {error}") from error
    if mistakes := decisions.mistakes(step, len(documents)):
        raise DataError(f"step '{name}' breaks its contract: {'; '.join(mistakes)}")
    return decisions


def _culprit(documents: Documents, marks: pa.RecordBatch | None, judge: Judge) -> str:
    for row in range(len(documents)):
        try:
            judge(documents.taken(np.array([row])), None if marks is None else marks.slice(row, 1))
        except Exception:
            return f"document '{documents.ids[row]}'"
    return f"documents '{documents.ids[0]}' to '{documents.ids[-1]}' together"


def _keys(name: str, step: Step, documents: Documents) -> pa.RecordBatch:
    assert isinstance(step, CorpusStep)
    keys = step.keys(documents)
    if keys.num_rows != len(documents):
        raise DataError(f"step '{name}' gave {keys.num_rows} keys for {len(documents)} documents")
    return keys


def _no_documents() -> Documents:
    return document_batch([], [])


def _batches(room: Room, number: int, what: Pass, shard: int) -> Iterator[tuple[Documents, pa.RecordBatch | None]]:
    """The documents of a shard before a pass, batch by batch, with their marks if a corpus step opens it.

    Raises:
        DataError: there are more or fewer marks than documents.
    """
    table = read_arrow(room.documents(number - 1, shard))
    marks = None if what.opens is None else read_arrow(room.marks(number, shard)).combine_chunks()
    if marks is not None and marks.num_rows != table.num_rows:
        raise DataError(f"shard {shard} has {table.num_rows} documents and {marks.num_rows} marks")
    start = 0
    for documents in batches(table):
        mine = None if marks is None else marks.slice(start, len(documents)).to_batches()[0]
        yield documents, mine
        start += len(documents)
