"""The contract of a curation step: documents in; for each of them keep, drop or another text, with the reason.

A step is a frozen settings value that is its own config, as an objective is:

    {kind: gopher-quality, min_words: 40}

A *row-wise* step decides about each document from that document alone (its id, text, address, source) and its own
settings. It must give the same decision in any batch, beside any other documents and in any order; randomness comes
from `documents.draws`. A *corpus* step (deduplication) has to see all documents first. It works in three moves:

    keys(documents)            per shard, in parallel:   what the whole-corpus part has to know, a row per document
    reduce(corpus)             once:                     a row of marks per document, shard after shard
    decide(documents, marks)   per shard, in parallel:   decisions, as of a row-wise step

Documents reach a corpus step in canonical order (by a hash of the id), so "the first of a group" means the same in
every run, and nothing depends on how the input was cut into files.

Thresholds are *rules*: a named limit on a measure that is recorded for every document, kept ones included. The ledger
can then say what another limit would have done, without running again. What is no threshold (a line was cut out, a word
of a list stands in the text) is a reason alone.

To add a step: subclass `RowStep` or `CorpusStep`, mark it `@settings`, and name it in `burnish.data.curate.registry`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from burnish.data.curate.documents import Documents
from burnish.store import Code

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A limit on a measure; a document beyond it is dropped.

    Attributes:
        reason: the name of the rule, and the reason of what it drops.
        measure: the measure that it looks at.
        at_least, at_most: the limit, one of the two.
        open: the limit itself is beyond the limit too.
    """

    reason: str
    measure: str
    at_least: float | None = None
    at_most: float | None = None
    open: bool = False

    @property
    def limit(self) -> float:
        """The threshold."""
        found = self.at_least if self.at_least is not None else self.at_most
        assert found is not None, f"rule {self.reason} has no limit"
        return found

    def fails(self, values: np.ndarray) -> np.ndarray:
        """Which values are beyond the limit; a measure that does not exist for a document (NaN) never is."""
        if self.at_least is not None:
            return values <= self.at_least if self.open else values < self.at_least
        return values >= self.limit if self.open else values > self.limit


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What a step decided about some documents.

    Attributes:
        dropped: which documents go, (n,) bool.
        reasons: place in the step's `reasons`, -1 for none, (n,) int. A dropped or edited document has one.
        texts: the new text of each document that was edited, by row.
        scores: one number that says the most about the decision, NaN for none, (n,) float.
        measures: every measure of the step, (n,) float each; NaN where it does not exist.
        notes: a few words for people, by row: the survivor of a group, the word that was found.
    """

    dropped: np.ndarray
    reasons: np.ndarray
    texts: Mapping[int, str] = field(default_factory=dict)
    scores: np.ndarray
    measures: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: Mapping[int, str] = field(default_factory=dict)

    def mistakes(self, step: Step, count: int) -> list[str]:
        """What breaks the contract, a line each."""
        found = []
        arrays = {"dropped": self.dropped, "reasons": self.reasons, "scores": self.scores, **self.measures}
        found += [f"{name} has {len(a)} values for {count} documents" for name, a in arrays.items() if len(a) != count]
        if tuple(sorted(self.measures)) != tuple(sorted(step.measures)):
            found.append(f"measures are {sorted(self.measures)}; the step declares {sorted(step.measures)}")
        if found:
            return found
        if len(self.reasons) and not -1 <= int(self.reasons.min()) <= int(self.reasons.max()) < len(step.reasons):
            found.append(f"a reason is none of the {len(step.reasons)} that the step declares")
        rows = [*np.flatnonzero(self.dropped).tolist(), *self.texts]
        if any(self.reasons[row] < 0 for row in rows):
            found.append("a document is dropped or edited without a reason")
        if any(self.dropped[row] for row in self.texts):
            found.append("a dropped document has a new text")
        return found


def kept(count: int, measures: Mapping[str, np.ndarray] | None = None) -> Decisions:
    """Decisions that keep all of `count` documents."""
    return Decisions(
        dropped=np.zeros(count, bool),
        reasons=np.full(count, -1),
        scores=np.full(count, np.nan),
        measures=measures or {},
    )


def by_rules(step: Step, measures: Mapping[str, np.ndarray], count: int) -> Decisions:
    """Drop what is beyond a limit, for the reason of the first such rule in the order of `step.rules`.

    The score is the measure that the rule looked at; of a kept document it is the measure if the step has only one.

    Args:
        step: whose rules are obeyed.
        measures: every measure of the step, (n,) each.
        count: n.
    """
    reasons = np.full(count, -1)
    scores = measures[step.measures[0]].astype(float) if len(step.measures) == 1 else np.full(count, np.nan)
    for rule in step.rules:
        fresh = rule.fails(measures[rule.measure]) & (reasons < 0)
        reasons[fresh] = step.reasons.index(rule.reason)
        scores[fresh] = measures[rule.measure][fresh]
    return Decisions(dropped=reasons >= 0, reasons=reasons, scores=scores, measures=measures)


class Corpus(Protocol):
    """All documents at the beginning of a pass, in canonical order: what the whole-corpus part of a step is given."""

    @property
    def num_shards(self) -> int:
        """Shards, numbered from 0."""

    @property
    def folder(self) -> Path:
        """A folder for what the step wants to write on the way; removed when the run is finished."""

    def documents(self, shard: int) -> Iterator[Documents]:
        """The documents of a shard, batch by batch, read from the disk."""

    def keys(self, shard: int) -> pa.Table:
        """What `keys` gave for the documents of a shard, a row each. Only in `reduce`."""

    def ids(self, shard: int) -> list[str]:
        """The ids of a shard's documents. Only in `reduce`."""

    def map(self, function: Callable[..., T], tasks: Sequence[tuple[object, ...]]) -> list[T]:
        """`function(*task)` for each task, on the workers; results in the order of the tasks.

        Args:
            function: a plain function of a module, so that another process can find it.
            tasks: its arguments, small: paths and numbers rather than texts.
        """

    def path(self, shard: int) -> Path:
        """The Arrow file with the documents of a shard, for a function that runs on a worker (`read_shard`)."""

    def say(self, line: str) -> None:
        """Print one line for the user."""


class Step(ABC):
    """A curation step: a frozen settings class with a field `kind`, the name under which recipes find it.

    Class attributes:
        source: where its rules are published, for the report.
    """

    kind: str
    source: ClassVar[str] = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every reason that it can give, a closed list in the order of the report; by default its rules."""
        return tuple(rule.reason for rule in self.rules)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Its thresholds, in the order in which they are tried."""
        return ()

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures that it records for every document that reaches it."""
        return tuple(dict.fromkeys(rule.measure for rule in self.rules))

    def check(self) -> None:  # noqa: B027
        """Refuse what could not work, before any work: a file that is missing, a package that is not installed.

        Raises:
            BurnishError: says what to change.
        """

    def prepare(self, folder: Path, corpus: Corpus) -> None:  # noqa: B027
        """Make what `decide` needs and the settings do not hold (a trained model), once for all workers.

        Args:
            folder: to write into; kept in the artefact under `prepared/`.
            corpus: the documents at the beginning of the pass in which the step runs, which is before the row-wise
                steps that run in the same pass.
        """

    def code(self) -> tuple[Code, ...]:
        """What, besides the step's own class, decides what comes out; its source belongs to the identity of a run."""
        return ()


Decider = Callable[[Documents], Decisions]


class RowStep(Step):
    """A step that looks at one document at a time."""

    def decider(self, folder: Path) -> Decider:
        """The function that decides; made once per process.

        A step with a word list or a model loads it here, and returns a function that holds it.

        Args:
            folder: what `prepare` wrote.
        """
        return self.decide

    @abstractmethod
    def decide(self, documents: Documents) -> Decisions:
        """The decisions about some documents."""


class CorpusStep(Step):
    """A step that has to see the whole corpus first."""

    @abstractmethod
    def keys(self, documents: Documents) -> pa.RecordBatch:
        """What `reduce` has to know, a row for each document."""

    @abstractmethod
    def reduce(self, corpus: Corpus) -> Iterator[pa.RecordBatch]:
        """Yield, for each shard in order, a row of marks for each of its documents."""

    @abstractmethod
    def decide(self, documents: Documents, marks: pa.RecordBatch) -> Decisions:
        """The decisions about some documents.

        Args:
            documents: of one shard.
            marks: their rows of what `reduce` yielded.
        """
