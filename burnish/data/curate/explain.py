"""Why a document was kept or dropped: every decision about it, with its measures and the limits on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from burnish.data.curate.canonical import shard_of, stem_of
from burnish.data.curate.ledger import DROP, EDIT, MEASURE
from burnish.data.curate.pieces import READ
from burnish.data.curate.record import Curated, StepRecord
from burnish.data.curate.step import Rule
from burnish.errors import DataError


def explain(run: Curated, name: str) -> list[str]:
    """What became of a document and why, for people, a line each.

    Args:
        run: the run.
        name: the document's id.

    Raises:
        DataError: the run has read no such document; names those whose id begins alike.
    """
    shard = shard_of(stem_of(name), run.num_shards)
    ends = run.ends(shard)
    end = _row(ends, name)
    if end is None:
        raise DataError(f"the run has read no document '{name}'{_alike(ends, name)}")
    place = _row(run.places(shard), name)
    lines = [f"{name}: {_ending(end)}"]
    where = f"  from {place['file']}, row {place['row']}" if place else ""
    lines.append(f"{where}; source {end['source']}" + (f"; {end['url']}" if end["url"] else ""))
    lines.append(f"  {_size(end['bytes'], end['words'], end['tokens'])}: {shortened(end['excerpt'])}")
    for step in run.steps:
        row = _row(run.rows(step.name, shard), name)
        if row is None:
            break
        lines += _decision(step, row)
    return lines


def shortened(text: str, limit: int = 100) -> str:
    """The beginning of a text, on one line, with nothing that a terminal would obey."""
    line = " ".join(text.split())
    clean = "".join(mark if mark.isprintable() else "�" for mark in line)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def limit_text(rule: Rule) -> str:
    """A rule's limit in words: "at least 50", "below 0.67"."""
    if rule.at_least is not None:
        return f"{'above' if rule.open else 'at least'} {rule.limit:g}"
    return f"{'below' if rule.open else 'at most'} {rule.limit:g}"


def _row(table: pa.Table, name: str) -> dict[str, Any] | None:
    rows = table.filter(pc.equal(table.column("id"), name)).to_pylist()
    return rows[0] if rows else None


def _alike(ends: pa.Table, name: str) -> str:
    stem = stem_of(name)
    alike = [one for one in ends.column("id").to_pylist() if stem_of(one) == stem]
    return f"; there is {', '.join(alike[:5])}" if alike else "; ids are in ledger/documents of the run"


def _ending(end: Mapping[str, Any]) -> str:
    if end["fate"] == DROP:
        return f"dropped by '{end['step']}' for '{end['reason']}'"
    if end["fate"] == EDIT:
        return f"kept, edited; {_size(end['bytes_out'], end['words_out'], end['tokens_out'])} are left"
    return "kept as it was"


def _size(num_bytes: int, words: int, tokens: int | None) -> str:
    return f"{num_bytes:,} bytes, {words:,} words" + ("" if tokens is None else f", {tokens:,} tokens")


def _decision(step: StepRecord, row: Mapping[str, Any]) -> Iterator[str]:
    note = f" ({shortened(row['note'])})" if row["note"] else ""
    why = f", {row['reason']}" if row["reason"] else ""
    yield f"  {step.name}: {row['fate']}{why}{note}"
    if step.name == READ:
        return
    ruled = {rule.measure for rule in step.rules}
    for rule in step.rules:
        value = row[f"{MEASURE}{rule.measure}"]
        mark = " <- decided" if row["reason"] == rule.reason and row["fate"] == DROP else ""
        yield f"    {rule.measure} {_number(value)}, {limit_text(rule)} is kept ({rule.reason}){mark}"
    for name, value in row.items():
        if name.startswith(MEASURE) and name.removeprefix(MEASURE) not in ruled:
            yield f"    {name.removeprefix(MEASURE)} {_number(value)}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
