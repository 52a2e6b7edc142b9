"""The page about a curation: what each step took, where its limits lie, and what stands at the border.

    waterfall   documents, bytes, and tokens or words that are left after each step
    a step      what it dropped by reason; for each rule a histogram with the limit drawn, and documents on both sides
    of it

Histograms and samples are of the first shards, as many as hold `SEEN` documents: shards are cut by a hash of the id, so
the first ones are a random sample of the corpus. Counts are of all documents. Texts come from a crawl: everything is
escaped by the template, and shown as one line without control characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from burnish.data.curate.explain import limit_text, shortened
from burnish.data.curate.record import Curated, StepRecord
from burnish.data.curate.step import Rule
from burnish.data.curate.what_if import Sample, measured, nearest
from burnish.reports.histogram import BOTTOM, HEIGHT, TOP, WIDTH, Histogram, histogram
from burnish.reports.page import Tile, environment
from burnish.reports.scale import memory, number_of, percent
from burnish.reports.waterfall import num_documents, waterfall

SEEN = 50_000
"""Documents that histograms and samples are made of, at least, if there are so many."""


@dataclass(frozen=True, kw_only=True)
class RuleView:
    """A rule on the page."""

    reason: str
    measure: str
    limit: str
    beyond: int
    first: int
    histogram: Histogram | None
    kept: tuple[Sample, ...]
    dropped: tuple[Sample, ...]


@dataclass(frozen=True, kw_only=True)
class ReasonView:
    """What a step dropped or edited for a reason, with a few documents of reasons that are no rules."""

    reason: str
    documents: int
    bytes: int
    edited: int
    samples: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, kw_only=True)
class StepView:
    """A step on the page."""

    name: str
    kind: str
    source: str
    facts: str
    reasons: tuple[ReasonView, ...]
    rules: tuple[RuleView, ...]


def curation_page(run: Curated, *, samples: int, title: str = "What became of the documents") -> str:
    """The page.

    Args:
        run: a finished curation.
        samples: documents that are shown on each side of a limit, and for each reason that is no rule.
        title: its heading.
    """
    bars = waterfall(run)
    read, kept = run.steps[0].counts["reached"], run.steps[-1].counts["left"]
    shards, unit = _first_shards(run), run.summary["unit"]
    template = environment().get_template("curation.html")
    return template.render(
        title=title,
        lede=f"{number_of(read['documents'], 'document')} went through {number_of(len(run.steps) - 1, 'step')}; "
        f"{kept['documents']:,} are kept.",
        tiles=[
            Tile(name="read", value=f"{read['documents']:,}", detail=f"documents, {memory(read['bytes'])}"),
            Tile(name="kept", value=f"{kept['documents']:,}", detail=f"documents, {memory(kept['bytes'])}"),
            Tile(name="kept", value=_share(kept["bytes"], read["bytes"]), detail="of the bytes"),
            Tile(name="kept", value=f"{kept['words'] if kept['tokens'] is None else kept['tokens']:,}", detail=unit),
        ],
        bars=bars,
        unit=unit,
        steps=tuple(_step_view(run, step, shards, samples) for step in run.steps),
        incidents=sorted(run.summary["incidents"].items()),
        ids=run.summary["ids"],
        basis=_basis(run, shards),
        size={"width": WIDTH, "height": HEIGHT, "top": TOP, "floor": HEIGHT - BOTTOM},
    )


def _step_view(run: Curated, step: StepRecord, shards: Sequence[int], samples: int) -> StepView:
    counts = step.counts
    gone, edited = num_documents(counts["dropped"]), num_documents(counts["edited"])
    reached = counts["reached"]["documents"]
    facts = f"{number_of(reached, 'document')} came here; {gone:,} dropped ({_share(gone, reached)})"
    tables = [run.rows(step.name, shard) for shard in shards] if samples or step.rules else []
    ends = [run.ends(shard) for shard in shards] if samples else []
    ruled = {rule.reason for rule in step.rules}
    return StepView(
        name=step.name,
        kind=step.kind,
        source=step.source,
        facts=facts + (f", {edited:,} edited." if edited else "."),
        reasons=tuple(
            _reason_view(step, reason, tables, ends, 0 if reason in ruled else samples) for reason in step.reasons
        ),
        rules=tuple(_rule_view(step, rule, tables, ends, samples) for rule in step.rules),
    )


def _reason_view(
    step: StepRecord, reason: str, tables: Sequence[pa.Table], ends: Sequence[pa.Table], samples: int
) -> ReasonView:
    dropped, edited = step.counts["dropped"].get(reason), step.counts["edited"].get(reason)
    return ReasonView(
        reason=reason,
        documents=dropped["documents"] if dropped else 0,
        bytes=dropped["bytes"] if dropped else 0,
        edited=edited["documents"] if edited else 0,
        samples=_of_reason(reason, tables, ends, samples),
    )


def _of_reason(
    reason: str, tables: Sequence[pa.Table], ends: Sequence[pa.Table], count: int
) -> tuple[tuple[str, str, str], ...]:
    """The first documents of a reason: id, note and excerpt."""
    found: list[tuple[str, str, str]] = []
    for table, end in zip(tables, ends, strict=False):
        rows = np.flatnonzero(np.array(table.column("reason").to_pylist(), object) == reason)[: count - len(found)]
        chosen = table.take(pa.array(rows)).to_pylist()
        excerpts = (
            dict(zip(end.column("id").to_pylist(), end.column("excerpt").to_pylist(), strict=True)) if chosen else {}
        )
        found += [(row["id"], shortened(row["note"] or ""), shortened(excerpts[row["id"]])) for row in chosen]
    return tuple(found)


def _rule_view(
    step: StepRecord, rule: Rule, tables: Sequence[pa.Table], ends: Sequence[pa.Table], samples: int
) -> RuleView:
    values = [measured(table, rule.measure) for table in tables]
    kept: list[Sample] = []
    dropped: list[Sample] = []
    for table, end, mine in zip(tables, ends, values, strict=False):
        fails = rule.fails(mine)
        for rows, into in ((~fails, kept), (fails, dropped)):
            into += nearest(table, end, np.flatnonzero(rows), mine, rule.limit, samples)
            into.sort(key=lambda one: (abs(one.value - rule.limit), one.id))
            del into[samples:]
    first = step.counts["dropped"].get(rule.reason)
    return RuleView(
        reason=rule.reason,
        measure=rule.measure,
        limit=limit_text(rule),
        beyond=step.counts["beyond"].get(rule.reason, 0),
        first=first["documents"] if first else 0,
        histogram=histogram(np.concatenate(values) if values else np.zeros(0), rule),
        kept=tuple(kept),
        dropped=tuple(dropped),
    )


def _first_shards(run: Curated) -> list[int]:
    """The first shards that hold enough documents."""
    shards, count = [], 0
    for shard in range(run.num_shards):
        shards.append(shard)
        count += run.ends(shard, ["id"]).num_rows
        if count >= SEEN:
            break
    return shards


def _basis(run: Curated, shards: Sequence[int]) -> str:
    if len(shards) == run.num_shards:
        return "Histograms and samples are of all documents."
    return (
        f"Histograms and samples are of {len(shards)} of {run.num_shards} shards, a random sample; counts are of all."
    )


def _share(part: float, whole: float) -> str:
    return percent(part / whole) if whole else "0%"
