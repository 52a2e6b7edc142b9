"""`decontamination`: documents that hold parts of an evaluation set, by runs of words that both have.

    {kind: decontamination, sets: {gsm8k: evals/gsm8k.jsonl, mmlu: evals/mmlu/}}

A document is contaminated if more than `max_shared` of its places begin a run of `size` words (13, as Brown et al.
2020, appendix C, use) that stands in an evaluation row too, words being compared without case, punctuation and white
space. A text of a row that is shorter than `size` is looked for as a whole if it has at least `least` words; what is
shorter still would be found everywhere, and is not looked for. In scripts without spaces between words two characters
count as a word: of a Chinese question, runs of 26 characters are looked for.

The sets may have any form that Burnish reads; every text of a row counts, whatever its field is called, or only those
of `fields`. The note names the set and the row that share the most with the document (a run that several rows have
counts for the first of them). `action: report` notes and counts, and drops nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import Any, ClassVar, Literal, cast

import numpy as np
import pyarrow as pa

from burnish.config import setting, settings
from burnish.data.curate.atomic import read_arrow, write_arrow
from burnish.data.curate.documents import Documents
from burnish.data.curate.phrases import Phrases, cut_phrases, normal_words
from burnish.data.curate.step import Corpus, Decider, Decisions, RowStep, Rule, by_rules
from burnish.data.locate import Hub, located
from burnish.data.row import Row
from burnish.data.streams import DataSettings, streams
from burnish.errors import ConfigError, DataError
from burnish.store import Code

_RUNS, _ROWS = "runs.arrow", "rows.arrow"


@settings
class Decontamination(RowStep):
    """Drop or report documents that hold parts of evaluation sets."""

    source: ClassVar[str] = "runs of 13 words: Brown et al. 2020, arXiv 2005.14165, appendix C"

    kind: Literal["decontamination"] = "decontamination"
    sets: Mapping[str, str] = setting(..., "files or folders of evaluation sets, by name", source=True, min_length=1)
    fields: tuple[str, ...] = setting((), "columns that are looked for; every text if none is named")
    size: int = setting(
        13, "of a run that is looked for; two characters are a word in scripts without spaces", unit="words", ge=2
    )
    least: int = setting(8, "shorter texts of a set are not looked for", unit="words", ge=2)
    max_shared: int = setting(0, "runs that a document may share", ge=0)
    action: Literal["drop", "report"] = setting("drop", "what happens to a contaminated document")

    @property
    def reasons(self) -> tuple[str, ...]:
        """Contaminated."""
        return ("contaminated",)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The number of shared runs, if it drops."""
        rule = Rule(reason="contaminated", measure="shared", at_most=self.max_shared)
        return (rule,) if self.action == "drop" else ()

    @property
    def measures(self) -> tuple[str, ...]:
        """Places of the document where a run of an evaluation set begins."""
        return ("shared",)

    def check(self) -> None:
        """Refuse sets that are not there, and names of the hub: a set is read from files."""
        for name, path in self.sets.items():
            if isinstance(located(path), Hub):
                raise ConfigError([f"sets.{name}: no such file or folder: {path}; download it first"])

    def prepare(self, folder: Path, corpus: Corpus) -> None:
        """Read the sets and write the runs that are looked for."""
        texts: list[str] = []
        owners: list[int] = []
        names: list[str] = []
        for name, found in self._rows():
            texts += found
            owners += [len(names)] * len(found)
            names.append(name)
        runs = cut_phrases(texts, owners, self.size, self.least)
        if not len(runs.hashes):
            raise DataError(f"sets: no text of {self.least} words or more in {', '.join(self.sets.values())}")
        columns = {"size": runs.sizes, "hash": runs.hashes, "owner": runs.owners}
        write_arrow(folder / _RUNS, pa.table(columns))
        write_arrow(folder / _ROWS, pa.table({"name": pa.array(names, pa.large_string())}))

    def _rows(self) -> Iterator[tuple[str, list[str]]]:
        """What each row is called, and its texts."""
        for name, path in self.sets.items():
            count = 0
            for _, rows in streams(DataSettings(path=path), lambda note: None):
                for row in rows:
                    if not isinstance(row, Row):
                        raise row
                    values = {field: row.values[field] for field in self.fields or row.values if field in row.values}
                    found = list(_texts(values))
                    count += len(found)
                    yield f"{name}, {row.stem + ', ' if row.stem else ''}row {row.line}", found
            if count == 0:
                wanted = f"no text in the fields {', '.join(self.fields)}" if self.fields else "no text"
                raise DataError(f"sets.{name}: {wanted} in {path}")

    def decider(self, folder: Path) -> Decider:
        """Load the runs."""
        table = read_arrow(folder / _RUNS)
        runs = Phrases(*(table.column(name).to_numpy() for name in ("size", "hash", "owner")))
        names = read_arrow(folder / _ROWS).column("name")
        return lambda documents: self._decided(documents, runs, names)

    def decide(self, documents: Documents) -> Decisions:
        """Decides with what `prepare` wrote; see `decider`."""
        raise DataError("decontamination needs its prepared runs: call prepare(folder, corpus), then decider(folder)")

    def _decided(self, documents: Documents, runs: Phrases, names: pa.ChunkedArray) -> Decisions:
        places = [(texts, owners) for _, texts, owners in runs.found(normal_words(documents.words))]
        texts = np.concatenate([texts for texts, _ in places])
        owners = np.concatenate([owners for _, owners in places])
        shared = np.bincount(texts, minlength=len(documents)).astype(float)
        decisions = by_rules(self, {"shared": shared}, len(documents))
        notes = {}
        for row in np.flatnonzero(shared).tolist():
            rows, counts = np.unique(owners[texts == row], return_counts=True)
            best = int(counts.argmax())
            notes[row] = f"{names[int(rows[best])].as_py()}: {counts[best]} of {int(shared[row])} shared runs"
        return replace(decisions, notes=notes)

    def code(self) -> tuple[Code, ...]:
        """What reads and compares."""
        return (Phrases, cast(FunctionType, streams))


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)
