"""What another threshold would change, from the ledger alone.

The ledger holds every measure of every document that reached a step, so what the step itself would decide is known
exactly, its other rules and reasons included. What comes after is not:

    would go      documents that are kept now and would be dropped: exact. Counted beside are those that a later step
                  drops anyway, and those that a later step dropped in favour of one that would go (a copy of it),
                  whose fate is unknown then
    would pass    documents that the step drops now and would let through: exact for the step, and an upper bound for
                  the result, since no later step has seen them
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from burnish.data.curate.documents import Sizes
from burnish.data.curate.explain import limit_text, shortened
from burnish.data.curate.ledger import DROP, MEASURE, Amount
from burnish.data.curate.record import Curated, StepRecord
from burnish.data.curate.step import Rule
from burnish.errors import ConfigError

SAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A document whose fate would change."""

    id: str
    value: float
    excerpt: str


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """What would change.

    Attributes:
        step: name of the step.
        now, then: the rule as it is, and with the other limit.
        reached: documents that reach the step.
        passed: those that it lets through now.
        go: kept now, would be dropped.
        go_anyway: passed now, would be dropped, and a later step drops them already.
        stand_ins: dropped by a later step in favour of a document that would go.
        come: dropped by this step now, would pass it.
        after: names of the steps that have not seen those.
        go_samples, come_samples: the ones nearest to the new limit.
    """

    step: str
    now: Rule
    then: Rule
    reached: int
    passed: int
    go: Amount
    go_anyway: Amount
    stand_ins: int
    come: Amount
    after: tuple[str, ...]
    go_samples: tuple[Sample, ...]
    come_samples: tuple[Sample, ...]

    def lines(self) -> list[str]:
        """For people."""
        now, then = limit_text(self.now), limit_text(self.then)
        passes = self.passed + self.come.documents - self.go.documents - self.go_anyway.documents
        found = [
            f"{self.step}, {self.now.reason}: {self.now.measure} {now} is kept now; then {then}",
            f"{self.passed:,} of {self.reached:,} documents pass it now; then {passes:,}",
            f"would go: {_amount(self.go)} that are kept now",
        ]
        if self.go_anyway.documents:
            found.append(f"  and {_amount(self.go_anyway)} that a later step drops anyway")
        if self.stand_ins:
            found.append(
                f"  {self.stand_ins:,} documents were dropped later in favour of these; their fate is unknown then"
            )
        found += [f"  {one.value:.4g}  {shortened(one.id, 40)}: {one.excerpt}" for one in self.go_samples]
        found.append(f"would pass: {_amount(self.come)} that are dropped now")
        if self.come.documents and self.after:
            found.append(f"  at most so many more are kept: unknown is what {', '.join(self.after)} would say of them")
        found += [f"  {one.value:.4g}  {shortened(one.id, 40)}: {one.excerpt}" for one in self.come_samples]
        return found


def what_if(run: Curated, step: str, threshold: float, *, rule: str = "", samples: int = SAMPLES) -> WhatIf:
    """What another limit of a rule would change.

    Args:
        run: a finished run.
        step: name of the step.
        threshold: the other limit.
        rule: name of the rule; may be left out where the step has one.
        samples: how many documents to show of each kind.

    Raises:
        ConfigError: there is no such step or rule, or the step has several and none is named.
    """
    record = run.step(step)
    now = _rule(record, rule)
    then = replace(now, at_least=threshold) if now.at_least is not None else replace(now, at_most=threshold)
    found = _Change(then, samples)
    for shard in range(run.num_shards):
        found.see(run, record, shard)
    return WhatIf(
        step=step,
        now=now,
        then=then,
        reached=found.reached,
        passed=found.passed,
        go=found.go,
        go_anyway=found.go_anyway,
        stand_ins=_stand_ins(run, step, found.going),
        come=found.come,
        after=tuple(one.name for one in run.after(step)),
        go_samples=tuple(found.go_samples),
        come_samples=tuple(found.come_samples),
    )


@dataclass
class _Change:
    """What would change, summed over shards."""

    then: Rule
    samples: int
    reached: int = 0
    passed: int = 0
    go: Amount = field(default_factory=Amount)
    go_anyway: Amount = field(default_factory=Amount)
    come: Amount = field(default_factory=Amount)
    going: list[str] = field(default_factory=list)
    go_samples: list[Sample] = field(default_factory=list)
    come_samples: list[Sample] = field(default_factory=list)

    def see(self, run: Curated, record: StepRecord, shard: int) -> None:
        """Count a shard."""
        table, ends = run.rows(record.name, shard), run.ends(shard)
        dropped = equals(table.column("fate"), DROP)
        would = self._would(record, table, dropped)
        gone = ends.filter(pc.equal(ends.column("fate"), DROP)).column("id").combine_chunks()
        kept = ~_is_in(table.column("id"), gone)
        goes, comes = would & ~dropped, dropped & ~would
        self.reached += table.num_rows
        self.passed += int((~dropped).sum())
        _add(self.go, table, goes & kept)
        _add(self.go_anyway, table, goes & ~kept)
        _add(self.come, table, comes)
        self.going += table.column("id").filter(pa.array(goes)).to_pylist()
        values = measured(table, self.then.measure)
        for rows, into in ((goes & kept, self.go_samples), (comes, self.come_samples)):
            into += nearest(table, ends, np.flatnonzero(rows), values, self.then.limit, self.samples)
            into.sort(key=lambda one: (abs(one.value - self.then.limit), one.id))
            del into[self.samples :]

    def _would(self, record: StepRecord, table: pa.Table, dropped: np.ndarray) -> np.ndarray:
        """Which documents of a step's table it would drop: beyond a limit, or for a reason that is no rule."""
        ruled = _is_in(table.column("reason"), pa.array([one.reason for one in record.rules]))
        would = dropped & ~ruled
        for one in record.rules:
            now_or_then = self.then if one.reason == self.then.reason else one
            would |= now_or_then.fails(measured(table, one.measure))
        return np.asarray(would)


def _rule(record: StepRecord, name: str) -> Rule:
    rules = {rule.reason: rule for rule in record.rules}
    if not rules:
        raise ConfigError([f"step '{record.name}' has no threshold; its reasons are: {', '.join(record.reasons)}"])
    if not name and len(rules) == 1:
        return next(iter(rules.values()))
    if name not in rules:
        found = f"there is no rule '{name}'" if name else "it has several rules"
        raise ConfigError([f"step '{record.name}': {found}; name one of them with --rule: {', '.join(rules)}"])
    return rules[name]


def measured(table: pa.Table, measure: str) -> np.ndarray:
    """A measure of a step's table, NaN where it does not exist, (n,)."""
    return np.asarray(table.column(f"{MEASURE}{measure}").to_numpy(zero_copy_only=False), dtype=float)


def equals(column: pa.ChunkedArray, value: str) -> np.ndarray:
    """Where a column has a value, (n,) bool."""
    return np.asarray(pc.fill_null(pc.equal(column, value), False).to_numpy(zero_copy_only=False), dtype=bool)


def nearest(
    table: pa.Table, ends: pa.Table, rows: np.ndarray, values: np.ndarray, limit: float, count: int
) -> list[Sample]:
    """Of some documents, those whose values are the nearest to a limit.

    Args:
        table: of the step, for one shard.
        ends: of all documents of the shard.
        rows: which rows of the table, (m,).
        values: for each row of the table, (n,).
        limit: the limit.
        count: how many at most.
    """
    rows = rows[~np.isnan(values[rows])]
    rows = rows[np.argsort(np.abs(values[rows] - limit), kind="stable")][:count]
    ids = table.column("id").take(pa.array(rows)).to_pylist()
    found = ends.filter(pa.array(_is_in(ends.column("id"), pa.array(ids, pa.string())))).to_pylist()
    excerpts = {row["id"]: shortened(row["excerpt"]) for row in found}
    return [
        Sample(id=name, value=float(value), excerpt=excerpts[name])
        for name, value in zip(ids, values[rows].tolist(), strict=True)
    ]


def _is_in(column: pa.ChunkedArray, values: pa.Array) -> np.ndarray:
    return np.asarray(pc.is_in(column, values).to_numpy(zero_copy_only=False), dtype=bool)


def _stand_ins(run: Curated, step: str, going: list[str]) -> int:
    """How many documents a later step dropped in favour of one that would go: its note names the survivor."""
    ids = pa.array(going, pa.string())
    count = 0
    for one in run.after(step):
        for shard in range(run.num_shards):
            rows = run.rows(one.name, shard, ["fate", "note"])
            count += int((equals(rows.column("fate"), DROP) & _is_in(rows.column("note"), ids)).sum())
    return count


def _add(amount: Amount, table: pa.Table, rows: np.ndarray) -> None:
    size, words, tokens = (table.column(name) for name in ("bytes", "words", "tokens"))
    counted = tokens.to_numpy() if len(tokens) and not tokens.null_count else None
    amount.add(Sizes(bytes=size.to_numpy(), words=words.to_numpy(), tokens=counted).taken(rows))


def _amount(amount: Amount) -> str:
    tokens = "" if amount.tokens is None else f", {amount.tokens:,} tokens"
    return f"{amount.documents:,} documents ({amount.bytes:,} bytes, {amount.words:,} words{tokens})"
