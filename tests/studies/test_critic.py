"""The study of PPO's critic: seconds without the start, medians, ratios, and no measurement made twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studies.critic import measure

START = {"grpo": 10.0, "ppo": 20.0}
UPDATE = {"grpo": 2.0, "ppo": 3.0}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs that take their method's start and its updates, one more second with all weights; what was run."""
    calls: list[str] = []

    def run(verb: str, out: Path, options: dict[str, object]):
        if verb != "prompts":
            calls.append(verb)
        steps = int(str(options.get("steps", 0)))
        update = UPDATE.get(verb, 0.0) + ("adapter.rank" not in options)
        gigabytes = {"grpo": 1, "ppo": 2}.get(verb, 0)
        return {"seconds": START.get(verb, 0.0) + steps * update, "peak_memory_bytes": gigabytes * 10**9}

    def main(repeats: int) -> dict[str, object]:
        out = tmp_path / "study"
        out.mkdir(exist_ok=True)
        monkeypatch.setattr("sys.argv", ["measure", "--repeats", str(repeats), "--out", str(out)])
        measure.main()
        return json.loads((out / "record.json").read_text(encoding="utf-8"))

    monkeypatch.setattr(measure, "_burnish", run)
    return main, calls


def test_seconds_of_an_update_are_free_of_the_start_and_ratios_are_to_grpo(asked, capsys):
    main, _ = asked
    rows = {(row["trained"], row["method"]): row for row in main(2)["rows"]}
    assert rows["adapter", "grpo"]["seconds"] == pytest.approx(2.0)
    assert rows["adapter", "ppo, two models"]["seconds"] == pytest.approx(3.0)
    assert rows["adapter", "ppo, two models"]["seconds_ratio"] == pytest.approx(1.5)
    assert rows["all weights", "ppo, one trunk"]["seconds_ratio"] == pytest.approx(4 / 3)
    assert rows["all weights", "ppo, one trunk"]["bytes_ratio"] == pytest.approx(2.0)
    assert all(len(row["runs"]) == 2 for row in rows.values())
    assert "| adapter | ppo, two models | 3.0 | 2.0 GB | 1.50 times the time, 2.00 times the memory |" in (
        capsys.readouterr().out
    )


def test_what_was_measured_is_not_measured_again(asked):
    main, calls = asked
    main(1)
    once = len(calls)
    assert once == len(measure.TRAINED) * len(measure.METHODS) * 2
    main(1)
    assert len(calls) == once
    main(2)
    assert len(calls) == 2 * once


def test_the_page_has_the_numbers_of_the_record():
    root = Path(__file__).parents[2]
    record = json.loads((root / "docs" / "records" / "critic.json").read_text(encoding="utf-8"))
    page = (root / "docs" / "algorithms" / "ppo.md").read_text(encoding="utf-8")
    assert {row["method"] for row in record["rows"]} == set(measure.METHODS)
    for row in record["rows"]:
        times = f" {row['seconds_ratio']:.2f} " if row["method"] != "grpo" else " "
        more = f" {row['bytes_ratio']:.2f} " if row["method"] != "grpo" else " "
        assert f"| {row['seconds']:.1f} |{times}| {row['bytes'] / 1e9:.1f} GB |{more}|" in page
