"""The step `toxicity`: learned from judged texts, calibrated, and honest about what it was measured on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from burnish.data.curate.classifier import sigmoid
from burnish.data.curate.documents import document_batch
from burnish.data.curate.record import Curated
from burnish.data.curate.steps.toxicity import Toxicity
from burnish.data.curate.what_if import what_if
from burnish.errors import DataError
from tests.data.curate.contract import bytes_of, check_row_step, run_steps

PLAIN = ["the", "of", "and", "a", "to", "in", "is", "it", "you", "are"]
RUDE = ["grumbler", "snorkelhead", "twit"]


def text(draw: np.random.Generator, *, rude: bool) -> str:
    return " ".join([*draw.choice(PLAIN, 10), *draw.choice(RUDE if rude else PLAIN, 2)])


@pytest.fixture
def judged(tmp_path):
    draw = np.random.default_rng(0)
    rows = [{"text": text(draw, rude=rude), "toxic": int(rude)} for rude in (True, False) for _ in range(200)]
    path = tmp_path / "judged.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


DRAW = np.random.default_rng(9)
ROWS = [{"id": f"{rude}{n}", "text": text(DRAW, rude=rude)} for rude in (True, False) for n in range(50)]


def test_what_is_like_the_toxic_examples_is_dropped(tmp_path, judged):
    step = Toxicity(data=judged, bits=12)
    step.check()
    found = run_steps([step], ROWS, tmp_path / "out")
    assert {name: fate.fate for name, fate in found.items()} == {
        row["id"]: "drop" if row["id"].startswith("True") else "keep" for row in ROWS
    }
    assert found["True0"].reason == "toxic"
    (folder,) = (tmp_path / "out" / "prepared").iterdir()
    measured = json.loads((folder / "measured.json").read_text())
    assert measured["auc"] == measured["accuracy"] == 1
    rows = check_row_step(step, [ROWS[0]["text"], ROWS[-1]["text"], " "], folder=folder)
    assert [row[2] for row in rows] == ["toxic", None, None]
    assert rows[0][6] > 0.5 > rows[1][6]


def test_what_if_is_a_second_run_and_shards_change_nothing(tmp_path, judged):
    run_steps([Toxicity(data=judged, bits=12)], ROWS, tmp_path / "one")
    run_steps([Toxicity(data=judged, bits=12)], ROWS, tmp_path / "many", files=3, shard_bytes=600)
    assert bytes_of(tmp_path / "one", "prepared") == bytes_of(tmp_path / "many", "prepared") != {}
    scores = np.array([row["measure.toxicity"] for row in Curated(tmp_path / "one").all_rows("toxicity").to_pylist()])
    limit = float(np.sort(scores)[70])
    change = what_if(Curated(tmp_path / "many"), "toxicity", limit)
    again = run_steps([Toxicity(data=judged, bits=12, max_toxicity=limit)], ROWS, tmp_path / "again")
    assert change.passed + change.come.documents == sum(fate.fate == "keep" for fate in again.values()) == 71


def test_probabilities_are_calibrated_where_classes_overlap(tmp_path):
    """Labels are drawn with a known probability, so what the classifier says can be held against the truth."""
    draw = np.random.default_rng(3)

    def rows(count: int) -> list[tuple[str, float]]:
        found = []
        for _ in range(count):
            rude = int(draw.integers(0, 5))
            words = [*draw.choice(PLAIN, 8), *["twit"] * rude, *["kind"] * (4 - rude)]
            found.append((" ".join(draw.permutation(words)), float(sigmoid(np.array(1.2 * (rude - 2))))))
        return found

    path = tmp_path / "judged.jsonl"
    examples = [{"text": text, "toxic": bool(draw.random() < share)} for text, share in rows(4000)]
    path.write_text("".join(json.dumps(row) + "\n" for row in examples))
    tested = rows(400)
    run_steps(
        [Toxicity(data=str(path), bits=12, max_toxicity=1)],
        [{"id": str(n), "text": text} for n, (text, _) in enumerate(tested)],
        tmp_path / "out",
    )
    table = Curated(tmp_path / "out").all_rows("toxicity").to_pylist()
    said = {row["id"]: row["measure.toxicity"] for row in table}
    errors = [said[str(n)] - share for n, (_, share) in enumerate(tested)]
    assert abs(float(np.mean(errors))) < 0.05
    assert float(np.mean(np.abs(errors))) < 0.1


def test_what_could_not_work_is_refused(tmp_path, judged):
    with pytest.raises(DataError, match="no such file"):
        Toxicity(data=str(tmp_path / "none.jsonl")).check()
    with pytest.raises(DataError, match="no 'rude' beside the text, but toxic"):
        run_steps([Toxicity(data=judged, label="rude")], ROWS, tmp_path / "a")
    few = tmp_path / "few.jsonl"
    few.write_text(json.dumps({"text": "one", "toxic": False}) + "\n")
    with pytest.raises(DataError, match="there are 0 toxic examples to learn from"):
        run_steps([Toxicity(data=str(few))], ROWS, tmp_path / "b")
    with pytest.raises(DataError, match="trained by the run"):
        Toxicity(data=judged).decide(document_batch(["a"], ["x"]))
