"""The page about a curation: numbers that add up, limits where they belong, and hostile texts that stay text."""

from __future__ import annotations

import csv
import html.parser
import io
import itertools
import json

import numpy as np
import pytest

from burnish.data.curate.engine import Curation, curate
from burnish.data.curate.gathering import inputs_of
from burnish.data.curate.intake import Intake
from burnish.data.curate.pool import InlinePool
from burnish.data.curate.record import Curated
from burnish.data.curate.registry import steps_from
from burnish.data.curate.step import Rule
from burnish.reports import curation
from burnish.reports.curation import curation_page
from burnish.reports.histogram import WIDTH, histogram
from burnish.reports.waterfall import COLUMNS, waterfall, waterfall_csv

HOSTILE = "<script>alert(1)</script> \x1b[31m & \"quoted\" 'too' </style>"
STEPS = [{"kind": "gopher-quality", "min_words": 5, "min_stop_words": 0}, {"kind": "exact-dedup"}, {"kind": "c4"}]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Curated:
    folder = tmp_path_factory.mktemp("curation")
    texts = [f"{HOSTILE} {'word ' * n}" for n in range(12)] + ["Fine text of some words. " * 4] * 3 + ["", "nul\0"]
    rows = [{"id": f"<b>{n}</b>", "text": text, "source": "<i>"} for n, text in enumerate(texts)]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    inputs = inputs_of({"web": str(folder / "a.jsonl")})
    curate(Curation(inputs=inputs, intake=Intake(), steps=steps_from(STEPS)), folder / "out", InlinePool(), print)
    return Curated(folder / "out")


class Page(html.parser.HTMLParser):
    """Which elements open and close, and what stands in between."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attributes if name == "id"]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_hostile_texts_stay_text(run):
    text = curation_page(run, samples=20)
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert "<script>alert(1)</script>" in page.text
    assert "\x1b" not in text
    assert "<b>3</b>" in page.text
    assert len(set(page.ids)) == len(page.ids)


def test_the_waterfall_goes_from_what_was_read_to_what_is_kept(run):
    bars = waterfall(run)
    assert [bar.name for bar in bars] == ["found in the files", "read", "gopher-quality", "exact-dedup", "c4"]
    assert [bar.documents for bar in bars] == [17, 15, 15, 13, 1]
    for before, after in itertools.pairwise(bars):
        assert after.documents == before.documents - after.dropped
        assert after.bytes <= before.bytes
    assert bars[0].documents_share == bars[0].text_share == 100
    assert bars[1].lost_share == pytest.approx(100 * 2 / 17)


def test_the_waterfall_as_csv(run):
    rows = list(csv.DictReader(io.StringIO(waterfall_csv(waterfall(run)))))
    assert tuple(rows[0]) == COLUMNS
    steps = json.loads((run.folder / "summary.json").read_text())["steps"]
    assert [int(row["words"]) for row in rows[1:]] == [step["left"]["words"] for step in steps]
    assert [int(row["documents"]) for row in rows] == [17, 15, 15, 13, 1]
    assert {row["tokens"] for row in rows} == {""}  # none were counted, which is not 0


def test_the_page_says_what_the_ledger_says(run):
    page = Page(curation_page(run, samples=3, title="A trial")).text
    assert "A trial" in page
    assert "17 documents went through 3 steps; 1 are kept." in page
    assert "1 of not-json" in page
    assert "few-words: words at least 5" in page
    assert "Rae et al. 2021" in page
    assert "words between white space" in page
    for reason in ("copy", "nul-bytes", "few-sentences"):
        assert reason in page


def test_samples_can_be_left_out(run):
    page = Page(curation_page(run, samples=0)).text
    assert "nearest that are kept" not in page
    assert "alert(1)" not in page


def test_only_the_first_shards_are_drawn_where_there_are_many(run, monkeypatch):
    assert "are of all documents" in curation_page(run, samples=1)
    monkeypatch.setattr(curation, "SEEN", 1)
    monkeypatch.setattr(Curated, "num_shards", 4)
    assert "are of 1 of 4 shards, a random sample" in curation_page(run, samples=1)


RULE = Rule(reason="r", measure="m", at_most=0.5)


def test_bars_hold_all_values_and_none_is_on_both_sides_of_the_limit():
    values = np.concatenate([np.linspace(0, 1, 101), [np.nan, 50.0]])
    drawn = histogram(values, RULE)
    assert drawn is not None
    counts = [int(column.text.split(": ")[1].split()[0]) for column in drawn.columns]
    assert sum(counts) == 102
    for column in drawn.columns:
        left, right = column.x, column.x + column.width
        assert (left >= drawn.limit_x - 0.1) if column.beyond else (right <= drawn.limit_x + 0.1)
    assert "half of the documents are at or below 0.505" in drawn.description


@pytest.mark.parametrize("values", [[0.2] * 5, [0.5], [1e9, -1e9], [0.0, 1e-13]])
def test_histograms_of_odd_values_can_be_drawn(values):
    drawn = histogram(np.array(values), RULE)
    assert drawn is not None
    assert all(column.width > 0 and column.height > 0 for column in drawn.columns)
    assert 0 <= drawn.limit_x <= WIDTH


def test_nothing_to_draw():
    assert histogram(np.array([np.nan]), RULE) is None
    assert histogram(np.array([]), RULE) is None
