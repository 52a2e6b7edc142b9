"""What is left of a corpus after each step of a curation: as rows of the page, and as a CSV file for other tools."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.data.curate.record import Curated

COLUMNS = ("step", "documents", "dropped", "edited", "bytes", "words", "tokens")


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What is left after a step; shares are of what was read, in percent of the width.

    Attributes:
        name: of the step.
        documents, bytes, words, tokens: what is left; tokens are None where the run counts none.
        dropped, edited: documents.
        documents_share, text_share, lost_share: of documents left, of text left (tokens, or bytes where none are
            counted), of documents dropped.
    """

    name: str
    documents: int
    bytes: int
    words: int
    tokens: int | None
    dropped: int
    edited: int
    documents_share: float
    text_share: float
    lost_share: float


def waterfall(run: Curated) -> tuple[Bar, ...]:
    """What is left after each step; the first bar is what was found."""
    read = run.steps[0].counts["reached"]
    counts = [(step.name, step.counts) for step in run.steps]
    rows = [(name, c["left"], num_documents(c["dropped"]), num_documents(c["edited"])) for name, c in counts]
    documents, text = max(read["documents"], 1), max(_text(read), 1)
    return tuple(
        Bar(
            name=name,
            documents=left["documents"],
            bytes=left["bytes"],
            words=left["words"],
            tokens=left["tokens"],
            dropped=dropped,
            edited=edited,
            documents_share=100 * left["documents"] / documents,
            text_share=100 * _text(left) / text,
            lost_share=100 * dropped / documents,
        )
        for name, left, dropped, edited in [("found in the files", read, 0, 0), *rows]
    )


def waterfall_csv(bars: Sequence[Bar]) -> str:
    """The bars as CSV with the columns `COLUMNS`; `tokens` is empty where none are counted."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows((b.name, b.documents, b.dropped, b.edited, b.bytes, b.words, b.tokens) for b in bars)
    return text.getvalue()


def num_documents(amounts: Mapping[str, Mapping[str, Any]]) -> int:
    """Documents in the amounts of some reasons."""
    return sum(amount["documents"] for amount in amounts.values())


def _text(amount: Mapping[str, Any]) -> int:
    return int(amount["bytes"] if amount["tokens"] is None else amount["tokens"])
