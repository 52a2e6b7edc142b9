"""The page of figures says what the records say, and nothing where there is none; both environments have one torch."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import parts, table
from benchmarks.records import record_file, tuning_file, write_record

ROOT = Path(__file__).parents[2]

ORIGIN = {
    "date": "2026-11-30",
    "machine": "Processor 1",
    "cores": 2,
    "memory_bytes": 24 * 2**30,
    "accelerator": "",
    "python": "3.11",
}
VERSIONS = {"torch": "2.13.0", "transformers": "5.23.0"}


def side(**values):
    return {"peak_bytes": 2e9, "threads": 2, "versions": VERSIONS, **values}


def record(ours, peer, *, apart):
    line = {"work": "any", "ratio": 3.456, "memory_ratio": 0.25, "ours": ours, "peer": peer}
    return {"line": line, "agreement": apart, "origin": ORIGIN}


@pytest.fixture
def folder(tmp_path):
    """Records of four works and the tuning of one."""
    trained = record(
        side(rows_per_second=3.456, share_of_product_rate=0.434),
        side(rows_per_second=1.0, peak_bytes=8e9, versions={**VERSIONS, "trl": "1.16.0"}),
        apart={"loss": 1.2e-6, "gradient": 3.4e-5},
    )
    sampled = record(side(rows_per_second=9.0), side(rows_per_second=3.0), apart={"different_tokens": 0.0})
    resumed = record(side(seconds=6.0, same_bytes=True), side(seconds=20.0, same_bytes=False), apart={})
    ours, peer = (side(seconds=s, import_seconds=3.0, training_seconds=9.0) for s in (6.0, 20.0))
    loaded = record(ours, peer, apart={})
    for work, made in {"sft": trained, "sample-groups": sampled, "resume": resumed, "load": loaded}.items():
        write_record(record_file(work, "cpu", tmp_path), made)
    start, best = ({"rows": count, "environment": {"SPOON": "silver"}} for count in (8, 4))
    trials = [
        {"choice": "as it starts", "settings": start, "rows_per_second": 0.5, "peak_bytes": 1},
        {"choice": "2", "settings": {}, "error": "it was stopped"},
        {"choice": "4", "settings": best, "rows_per_second": 1.25, "peak_bytes": 1},
    ]
    write_record(tuning_file("sft", "cpu", tmp_path), {"work": "sft", "trials": trials, "best": best})
    return tmp_path


def test_the_page_is_what_the_records_say():
    page = table.PAGE.read_text(encoding="utf-8")
    assert page == table.updated(page), "type python -m benchmarks.table"


def test_the_table_shows_a_record_and_its_targets(folder):
    lines = table.lines(folder)
    cells = "SFT | 3.46 rows/s | 1 rows/s | 3.46 (at least 3.5) | 2.00 GB | 8.00 GB | 0.25 (at most 0.4) | 43%"
    assert f"| {cells} |" in lines
    resumed = "Resume: command to first update | 6.0 s, same bytes | 20.0 s, other bytes | 3.46 |"
    assert any(line.startswith(f"| {resumed}") for line in lines)
    assert any("| 6.0 s (imports 3.0 s, all updates 9.0 s) |" in line for line in lines)
    assert "- 2026-11-30: Processor 1, 2 cores, 24 GiB; trl 1.16.0, torch 2.13.0, transformers 5.23.0." in lines
    assert "| SFT | 3 | 0.5 | 1.25 | `rows=4`, `SPOON=silver` |" in lines
    assert "| SFT | 1e-06 | - | 3e-05 |" in lines
    assert "The same greedy tokens on both sides: Sampling, 4 prompts x 8 answers x 64 tokens." in lines


def test_what_was_not_measured_is_owed(folder, tmp_path):
    lines = table.lines(folder)
    (owed,) = [line for line in lines if line.startswith("Owed: ")]
    assert "GRPO" in owed
    assert "SFT" not in owed
    place = lines.index("### On a GPU")
    assert lines[place + 2].startswith("These figures are owed")
    nothing = table.lines(tmp_path / "empty")
    assert sum(line.startswith("These figures are owed") for line in nothing) == 2


def test_a_changed_record_changes_the_page(folder):
    page = f"before\n{table.BEGIN}\n{table.END}\nafter\n"
    first = table.updated(page, folder)
    assert (first.startswith("before\n"), first.endswith("\nafter\n")) == (True, True)
    assert table.updated(first, folder) == first
    path = record_file("sft", "cpu", folder)
    path.write_text(path.read_text(encoding="utf-8").replace("3.456", "4.5"), encoding="utf-8")
    assert table.updated(first, folder) != first


def test_committed_records_have_the_keys_of_the_line():
    """Those beside TRL; the data engine's and the studio's have tests of their own."""
    paths = sorted((ROOT / "benchmarks" / "records").glob("*.json"))
    others = ("curation", "studio", "parts")
    for path in (path for path in paths if not any(name in path.stem for name in others)):
        found = json.loads(path.read_text(encoding="utf-8"))
        if path.stem.startswith("tuning-"):
            assert found["best"] in [trial["settings"] for trial in found["trials"] if "error" not in trial]
        else:
            assert set(found["line"]) == {"work", "ratio", "memory_ratio", "ours", "peer"}
            assert len(found["line"]["ours"]["runs"]) == len(found["line"]["peer"]["runs"]) >= 3


def test_the_record_of_parts_has_every_part_of_every_work():
    found = table.read(ROOT / "benchmarks" / "records" / "parts.json")
    if found is None:
        pytest.skip("the parts of an update are not recorded yet")
    assert set(found["works"]) == set(parts.WORKS_OF_IT)
    for work in found["works"].values():
        assert set(work["seconds"]) == {*parts.WITHIN.values(), "layers", "rest"}


def pins(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    exact = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in exact}


def test_the_peers_environment_has_our_versions_and_trl():
    ours, peer = pins("constraints.txt"), pins("benchmarks/peer-constraints.txt")
    assert {"torch", "transformers", "tokenizers", "accelerate", "datasets"} <= set(ours) & set(peer)
    assert {name: peer[name] for name in peer if name in ours and peer[name] != ours[name]} == {}
    assert peer["trl"].startswith("1.16.")
