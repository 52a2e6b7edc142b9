"""What every step must keep to, as checks that the tests of a step call with documents of their own.

check_row_step(step, texts)      any batch, any neighbours, any order: the same decisions
run_steps(steps, rows, tmp_path) a whole run on rows; what became of each document, by id
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from burnish.config import dump, load
from burnish.data.curate.documents import Documents, document_batch
from burnish.data.curate.engine import Curation, curate
from burnish.data.curate.gathering import Input
from burnish.data.curate.intake import Intake
from burnish.data.curate.ledger import step_folders, tables
from burnish.data.curate.pool import InlinePool, Pool
from burnish.data.curate.registry import STEPS, step_class
from burnish.data.curate.step import Decisions, RowStep, Step


def seen(step: RowStep, documents: Documents, decisions: Decisions) -> list[tuple[Any, ...]]:
    """The decisions as plain rows."""
    names = [*step.reasons, None]
    numbers = [decisions.scores, *(decisions.measures[name] for name in step.measures)]
    return [
        (
            name,
            bool(decisions.dropped[row]),
            names[int(decisions.reasons[row])],
            decisions.texts.get(row),
            decisions.notes.get(row),
            *(None if np.isnan(values[row]) else float(values[row]) for values in numbers),
        )
        for row, name in enumerate(documents.ids)
    ]


def check_row_step(
    step: RowStep, texts: Sequence[str], *, urls: Sequence[str | None] | None = None, folder: Path = Path()
) -> list[tuple[Any, ...]]:
    """Check the contract of a row-wise step on some texts; returns what it decided.

    Args:
        step: to be checked.
        texts, urls: of the documents.
        folder: what the step prepared.
    """
    ids = [f"d{number}" for number in range(len(texts))]
    documents = document_batch(ids, list(texts), urls=list(urls) if urls is not None else None)
    decide = step.decider(folder)
    decisions = decide(documents)
    assert decisions.mistakes(step, len(documents)) == []
    whole = seen(step, documents, decisions)
    for rows in (np.arange(len(ids))[::-1], np.random.default_rng(0).permutation(len(ids))):
        part = documents.taken(rows)
        assert seen(step, part, decide(part)) == [whole[row] for row in rows]
    for row in range(len(ids)):
        alone = document_batch([ids[row]], [texts[row]], urls=[urls[row]] if urls is not None else None)
        assert seen(step, alone, decide(alone)) == [whole[row]], "a decision depends on the documents beside it"
    nothing = document_batch([], [])
    assert decide(nothing).mistakes(step, 0) == []
    check_settings(step)
    return whole


def check_settings(step: Step) -> None:
    """A step can be written as plain data and read back, and is registered under its kind."""
    assert load(type(step), json.loads(json.dumps(dump(step)))) == step
    if step.kind in STEPS:
        assert step_class(step.kind) is type(step)
    assert len(set(step.reasons)) == len(step.reasons)
    assert {rule.reason for rule in step.rules} <= set(step.reasons)
    assert {rule.measure for rule in step.rules} <= set(step.measures)


@dataclass(frozen=True)
class Fate:
    """What became of a document: `steps` are the rows of the ledger by step."""

    fate: str
    step: str | None
    reason: str | None
    text: str | None
    steps: Mapping[str, Mapping[str, Any]]


def run_steps(
    steps: Sequence[Step],
    rows: Sequence[Mapping[str, Any]],
    out: Path,
    *,
    files: int = 1,
    shard_bytes: int = 64_000_000,
    pool: Pool | None = None,
    intake: Intake | None = None,
) -> dict[str, Fate]:
    """Run steps over rows that are written into some files; returns what became of each document by id."""
    inputs = write_rows(rows, out.with_name(out.name + "-in"), files)
    curation = Curation(inputs=inputs, intake=intake or Intake(), steps=tuple(steps), shard_bytes=shard_bytes)
    curate(curation, out, pool or InlinePool(), lambda line: None)
    return fates_in(out)


def write_rows(rows: Sequence[Mapping[str, Any]], folder: Path, files: int = 1) -> tuple[Input, ...]:
    """Write rows as JSONL, dealt to some files."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(files):
        path = folder / f"part-{number}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows[number::files]), encoding="utf-8")
        found.append(Input(path=path, name=f"made/{path.name}", source="made"))
    return tuple(found)


def fates_in(out: Path) -> dict[str, Fate]:
    """What became of each document of a run, by id."""
    texts = {row["id"]: row["text"] for table in tables(out / "documents") for row in table.to_pylist()}
    by_step = {
        name: {row["id"]: row for table in tables(folder) for row in table.to_pylist()}
        for name, folder in step_folders(out).items()
    }
    ends = [row for table in tables(out / "ledger" / "documents") for row in table.to_pylist()]
    return {
        row["id"]: Fate(
            row["fate"],
            row["step"],
            row["reason"],
            texts.get(row["id"]),
            {name: rows[row["id"]] for name, rows in by_step.items() if row["id"] in rows},
        )
        for row in ends
    }


def bytes_of(out: Path, *parts: str) -> dict[str, bytes]:
    """Every file below some parts of an artefact, by its path."""
    paths = [path for part in parts for path in sorted((out / part).rglob("*")) if path.is_file()]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


def read_texts(out: Path) -> list[tuple[str, str]]:
    """The kept documents in their order, as (id, text)."""
    return [(row["id"], row["text"]) for table in tables(out / "documents") for row in table.to_pylist()]
