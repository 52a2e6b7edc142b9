"""The study of forgetting in its quick form: every arm, nothing trained twice, the table; its page and its record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studies import domains as studied
from studies.forgetting import measure
from tests.stages.tiny_chat import GEMS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def domains(tmp_path: Path) -> Path:
    folder = tmp_path / "domains"
    folder.mkdir()
    for name, form in (
        ("c4", "{0} is a gem. It shines, and {0} is old."),
        ("github", "def {0}(x): return x + len('{0}')"),
    ):
        rows = [{"text": form.format(gem) * (1 + place % 3)} for place, gem in enumerate(GEMS * 2)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_every_arm_is_trained_once_and_a_strong_penalty_forgets_less(domains, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["measure", "--quick", "--domains", str(domains), "--out", str(tmp_path / "out")])
    measure.main()
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    found = capsys.readouterr().out
    assert found.endswith(measure.table(record))
    assert [row["arm"] for row in record["rows"]] == ["none, 4 updates", "none, 2 updates", "1e+06, 4 updates"]
    plain, _, held = (row["runs"][0] for row in record["rows"])
    start = record["start"]
    assert plain["github"] < start["github"]
    assert abs(held["c4"] - start["c4"]) < abs(plain["c4"] - start["c4"])

    def refuse(*args: object, **more: object) -> None:
        raise AssertionError("what is finished was run again")

    monkeypatch.setattr(studied, "run_stage", refuse)
    monkeypatch.setattr(studied, "causal", refuse)
    measure.main()
    assert json.loads((tmp_path / "out" / "record.json").read_text()) == record


def test_the_table_says_what_was_forgotten_and_learned():
    record = {
        "size": {"first": "a", "second": "b"},
        "start": {"a": 2.0, "b": 3.0},
        "rows": [{"arm": "none, 8 updates", "runs": [{"a": 2.5, "b": 2.0}, {"a": 2.7, "b": 2.2}]}],
    }
    assert measure.table(record).splitlines()[3] == "| none, 8 updates | 2.600 | +0.600 | 2.100 | +0.900 |"


def test_the_page_has_the_table_of_the_record_or_says_that_there_is_none():
    page = (ROOT / "docs" / "algorithms" / "ewc.md").read_text(encoding="utf-8")
    kept = ROOT / "docs" / "records" / "forgetting.json"
    if kept.exists():
        assert measure.table(json.loads(kept.read_text(encoding="utf-8"))) in page
    else:
        assert "It has not been measured yet." in page
