"""A finished run as it is read again: its summary, the tables of a step, the shard of a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from burnish.config import nearest
from burnish.data.curate.atomic import read_json, read_parquet
from burnish.data.curate.engine import SUMMARY
from burnish.data.curate.ledger import shard_name, step_folders
from burnish.data.curate.step import Rule
from burnish.errors import ConfigError, StoreError


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """What the summary says of a step.

    Attributes:
        name, kind, source: as in a recipe and the ledger.
        reasons: that it can give.
        rules: its thresholds.
        counts: what `burnish.data.curate.ledger.Count` says, as plain data.
    """

    name: str
    kind: str
    source: str
    reasons: tuple[str, ...]
    rules: tuple[Rule, ...]
    counts: Mapping[str, Any]


@dataclass(frozen=True)
class Curated:
    """A finished run.

    Args:
        folder: the artefact.
    """

    folder: Path

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """What `summary.json` says.

        Raises:
            StoreError: there is none.
        """
        found = read_json(self.folder / SUMMARY)
        if found is None or "steps" not in found or not (self.folder / "ledger").is_dir():
            raise StoreError(
                f"{self.folder} holds no finished curation (no {SUMMARY} and ledger); name the folder of one"
            )
        return found

    @cached_property
    def steps(self) -> tuple[StepRecord, ...]:
        """The steps in order; the first is `read`."""
        return tuple(
            StepRecord(
                name=step["name"],
                kind=step["kind"],
                source=step["source"],
                reasons=tuple(step["reasons"]),
                rules=tuple(Rule(**rule) for rule in step["rules"]),
                counts=step,
            )
            for step in self.summary["steps"]
        )

    def step(self, name: str) -> StepRecord:
        """The step of that name.

        Raises:
            ConfigError: there is none.
        """
        found = {step.name: step for step in self.steps}
        if name not in found:
            raise ConfigError([f"the run has no step '{name}'; {nearest(name, found)}"])
        return found[name]

    @property
    def num_shards(self) -> int:
        """How many shards."""
        return int(self.summary["shards"])

    def rows(self, step: str, shard: int, columns: Sequence[str] | None = None) -> pa.Table:
        """The ledger of a step for a shard."""
        return read_parquet(step_folders(self.folder)[step] / f"{shard_name(shard)}.parquet", columns)

    def all_rows(self, step: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The ledger of a step."""
        return pa.concat_tables([self.rows(step, shard, columns) for shard in range(self.num_shards)])

    def ends(self, shard: int, columns: Sequence[str] | None = None) -> pa.Table:
        """The ledger of all documents, for a shard."""
        return read_parquet(self.folder / "ledger" / "documents" / f"{shard_name(shard)}.parquet", columns)

    def all_ends(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The ledger of all documents."""
        return pa.concat_tables([self.ends(shard, columns) for shard in range(self.num_shards)])

    def places(self, shard: int) -> pa.Table:
        """Where the documents of a shard were read."""
        return read_parquet(self.folder / "places" / f"{shard_name(shard)}.parquet")

    def after(self, step: str) -> Iterator[StepRecord]:
        """The steps after one."""
        names = [one.name for one in self.steps]
        yield from self.steps[names.index(step) + 1 :]
