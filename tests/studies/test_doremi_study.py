"""The study of DoReMi in its quick form: every arm, nothing trained twice, the tables; its page and its record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studies import domains as studied
from studies.doremi import measure
from tests.stages.tiny_chat import GEMS

ROOT = Path(__file__).parents[2]
RECORD = {
    "weights": {"natural": {"a": 0.75, "b": 0.25}, "even": {"a": 0.5, "b": 0.5}, "c 0": {"a": 1.0, "b": 0.0}},
    "proxies": {"c 0": {"steps_above_0.9": 7}},
    "rows": [
        {"arm": "natural", "runs": [{"a": 2.0, "b": 3.0}, {"a": 2.2, "b": 3.2}]},
        {"arm": "even", "runs": [{"a": 2.1, "b": 2.7}, {"a": 2.3, "b": 2.9}]},
        {"arm": "c 0", "runs": [{"a": 1.9, "b": 3.0}, {"a": 2.2, "b": 3.4}]},
    ],
}


@pytest.fixture
def domains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BURNISH_WORKERS", "1")
    folder = tmp_path / "domains"
    folder.mkdir()
    for name, form in (("c4", "{0} is a gem. It shines, and {0} is old."), ("github", "def {0}(x): return {0}('{0}')")):
        rows = [{"text": form.format(gem) * (1 + place % 3)} for place, gem in enumerate(GEMS * 2)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_every_arm_is_trained_once_on_as_many_tokens(domains, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["measure", "--quick", "--domains", str(domains), "--out", str(out)])
    measure.main()
    record = json.loads((out / "record.json").read_text())
    assert capsys.readouterr().out.endswith(measure.table(record))
    assert [row["arm"] for row in record["rows"]] == ["natural", "even", "c 0.1"]
    assert list(record["weights"]) == ["natural", "even", "c 0", "c 0.1"]
    assert all(sum(weights.values()) == pytest.approx(1) for weights in record["weights"].values())
    assert min(record["weights"]["c 0.1"].values()) >= 0.05
    assert [point["step"] for point in record["proxies"]["c 0"]["trajectory"]] == [1, 2, 3, 4, 5, 6]
    for name in ("natural-1", "even-1", "c-0.1-1"):
        assert len((out / name / "metrics.jsonl").read_text().splitlines()) == measure.QUICK.steps
    seen = measure.QUICK.steps * measure.QUICK.batch_size * (measure.QUICK.max_tokens - 1)
    sizes = {name: json.loads((out / f"{name}-tokens" / "tokens.json").read_text()) for name in ("c4", "github")}
    held = {name: sum(shard["num_tokens"] for shard in one["shards"]) for name, one in sizes.items()}
    for passes in record["passes"].values():
        assert sum(passes[name] * held[name] for name in held) == pytest.approx(seen)

    def refuse(*args: object, **more: object) -> None:
        raise AssertionError("what is finished was run again")

    monkeypatch.setattr(studied, "run_stage", refuse)
    monkeypatch.setattr(studied, "causal", refuse)
    measure.main()
    assert json.loads((out / "record.json").read_text()) == record


def test_the_tables_say_what_was_found_and_what_was_not():
    lines = measure.table(RECORD).splitlines()
    assert lines[4] == "| c 0 | 1.000 | 0.000 | 1.0 | 7 |"
    assert lines[8] == "| natural | 2.100 | 3.100 | 2.600 | 3.100 |  |"
    assert lines[9].startswith("| even | 2.200 | 2.800 | 2.500 | 2.800 | -0.1000 (-0.1000 to -0.1000), better")
    assert "+0.0250 (-0.0500 to +0.1000), not told apart by these seeds" in lines[10]


def test_a_gain_counts_where_every_seed_has_it():
    assert measure.gains(RECORD, "even") == pytest.approx([0.1, 0.1])
    assert measure.verdict(RECORD, "even") == "better with every seed"
    assert measure.verdict(RECORD, "c 0") == "not told apart by these seeds"


def test_the_page_has_the_tables_of_the_record_or_says_that_there_are_none():
    page = (ROOT / "docs" / "algorithms" / "doremi.md").read_text(encoding="utf-8")
    kept = ROOT / "docs" / "records" / "doremi.json"
    if kept.exists():
        assert measure.table(json.loads(kept.read_text(encoding="utf-8"))) in page
    else:
        assert "It has not been measured yet." in page
