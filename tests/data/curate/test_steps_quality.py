"""The quality step: trusted against raw, against the corpus, and labelled texts."""

from __future__ import annotations

import json

import numpy as np
import pytest

from burnish.data.curate.documents import document_batch
from burnish.data.curate.engine import Curation, curate
from burnish.data.curate.intake import Intake
from burnish.data.curate.pool import InlinePool
from burnish.data.curate.steps.quality import Labelled, Quality, Trusted
from burnish.errors import DataError
from tests.data.curate.contract import bytes_of, check_row_step, fates_in, run_steps, write_rows

SHARED = ["the", "of", "and", "a", "to", "in", "is", "it"]
OWN = {"good": ["calm", "clear", "proof", "theory"], "bad": ["click", "buy", "cheap", "free"]}


def texts(kind: str, seed: int, count: int) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join([*draw.choice(SHARED, 8), *draw.choice(OWN[kind], 4)]) for _ in range(count)]


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def files(tmp_path):
    rows = {kind: [{"text": text} for text in texts(kind, 0, 200)] for kind in OWN}
    judged = [{**row, "fine": kind == "good"} for kind in OWN for row in rows[kind]]
    paths = {kind: written(tmp_path / f"{kind}.jsonl", rows[kind]) for kind in OWN}
    return {**paths, "judged": written(tmp_path / "judged.jsonl", judged)}


ROWS = [{"id": f"{kind}{n}", "text": text} for kind in OWN for n, text in enumerate(texts(kind, 9, 60))]


@pytest.mark.parametrize("source", ["raw", "judged"])
def test_what_is_like_the_good_examples_is_kept(tmp_path, files, source):
    examples = (
        Trusted(trusted=files["good"], raw=files["bad"])
        if source == "raw"
        else Labelled(data=files["judged"], label="fine")
    )
    step = Quality(examples=examples, bits=12)
    step.check()
    found = run_steps([step], ROWS, tmp_path / "out")
    assert {name: fate.fate for name, fate in found.items()} == {
        row["id"]: "keep" if row["id"].startswith("good") else "drop" for row in ROWS
    }
    assert found["bad0"].reason == "low-quality"
    (folder,) = (tmp_path / "out" / "prepared").iterdir()
    measured = json.loads((folder / "measured.json").read_text())
    assert measured["auc"] == 1
    assert measured["accuracy"] == 1
    assert 0 <= measured["ece"] < 0.1
    rows = check_row_step(step, [texts("good", 3, 1)[0], texts("bad", 3, 1)[0], " ", "ü"], folder=folder)
    assert [row[1] for row in rows[:3]] == [False, True, False]
    assert rows[0][6] > 0.5 > rows[1][6]
    assert rows[2][6] is None


def test_the_corpus_itself_stands_for_raw_and_shards_change_nothing(tmp_path, files):
    step = Quality(examples=Trusted(trusted=files["good"]), bits=12, max_examples=150)
    corpus = [{"id": f"b{n}", "text": text} for n, text in enumerate(texts("bad", 5, 300))]
    corpus += [{"id": f"g{n}", "text": text} for n, text in enumerate(texts("good", 0, 60))]
    said: list[str] = []
    for name, parts, size in (("one", 1, 10**6), ("many", 3, 3000)):
        curation = Curation(
            inputs=write_rows(corpus, tmp_path / f"{name}-in", parts), intake=Intake(), steps=(step,), shard_bytes=size
        )
        curate(curation, tmp_path / name, InlinePool(), said.append)
    one, many = fates_in(tmp_path / "one"), fates_in(tmp_path / "many")
    assert {n: f.steps["quality"]["score"] for n, f in one.items()} == {
        n: f.steps["quality"]["score"] for n, f in many.items()
    }
    assert bytes_of(tmp_path / "one", "prepared") == bytes_of(tmp_path / "many", "prepared") != {}
    kept = {name for name, fate in one.items() if fate.fate == "keep"}
    assert kept == {f"g{n}" for n in range(60)}, "texts of the trusted sample are no raw examples"
    (line, _) = [line for line in said if line.startswith("quality: trained on")]
    assert "calibration error" in line


def test_a_raw_text_that_is_trusted_is_no_bad_example(tmp_path, files):
    both = [{"text": text} for kind in OWN for text in texts(kind, 0, 200)]
    examples = Trusted(trusted=files["good"], raw=written(tmp_path / "both.jsonl", both))
    run_steps([Quality(examples=examples, bits=12)], ROWS, tmp_path / "out")
    (measured,) = (tmp_path / "out" / "prepared").rglob("measured.json")
    found = json.loads(measured.read_text())
    assert found["auc"] == 1
    assert found["trained_on"] + found["held_out"] < 400


def test_what_could_not_work_is_refused(tmp_path, files):
    with pytest.raises(DataError, match="no such file"):
        Quality(examples=Trusted(trusted=files["good"], raw=str(tmp_path / "none.jsonl"))).check()
    cases = {
        "no 'label' beside the text, but fine": Labelled(data=files["judged"]),
        'is "x"; expected true or false': Labelled(data=written(tmp_path / "x.jsonl", [{"text": "a", "label": "x"}])),
        "0 bad examples": Trusted(
            trusted=files["good"], raw=written(tmp_path / "few.jsonl", [{"text": " "}, {"nothing": 1}])
        ),
    }
    for number, (message, examples) in enumerate(cases.items()):
        with pytest.raises(DataError, match=message):
            run_steps([Quality(examples=examples)], ROWS, tmp_path / f"out{number}")
    with pytest.raises(DataError, match="trained by the run"):
        Quality(examples=Trusted(trusted=files["good"])).decide(document_batch(["a"], ["x"]))


def test_an_encyclopaedia_is_told_from_questions(real, tmp_path):
    """Paragraphs of real text: the classifier is good and its probabilities mean what they say."""
    for name in ("wiki", "stackexchange"):
        lines = (real / "domains" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:150]
        parts = [part for line in lines for part in json.loads(line)["text"].split("\n\n") if len(part) > 150]
        written(tmp_path / f"{name}.jsonl", [{"text": part} for part in parts[:700]])
    step = Quality(
        examples=Trusted(trusted=str(tmp_path / "wiki.jsonl"), raw=str(tmp_path / "stackexchange.jsonl")), bits=16
    )
    run_steps([step], ROWS[:2], tmp_path / "out")
    (folder,) = (tmp_path / "out" / "prepared").iterdir()
    measured = json.loads((folder / "measured.json").read_text())
    assert measured["auc"] > 0.95
    assert measured["ece"] < 0.12
