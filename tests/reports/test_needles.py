"""The section on needles: grids with the same cells, models compared needle by needle, other needles not compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest

from burnish.errors import StoreError
from burnish.evals.needle import Search, needle_scores
from burnish.reports.lineage import lineage
from burnish.reports.needles import STRONGEST, needle_panel, read_needles
from burnish.reports.page import render
from burnish.stages.report import ReportStage
from burnish.stages.stage import Work
from burnish.stats import paired_difference, pass_rate

LENGTHS, DEPTHS, REPEATS = (128, 1024), (0.0, 0.5, 1.0), 12


def write(
    folder: Path, finds: Callable[[int, float, int], bool], *, lengths: tuple[int, ...] = LENGTHS, seed: int = 0
) -> Path:
    """What a model that `finds` the needle of a length, depth and number leaves behind."""
    found = [
        Search(length=length, depth=depth, logps=(-1.0, -2.0 if finds(length, depth, number) else -0.5, -3.0, -4.0))
        for length in lengths
        for depth in DEPTHS
        for number in range(REPEATS)
    ]
    folder.mkdir()
    rows = [{"length": one.length, "depth": one.depth, "logps": one.logps, "found": one.found} for one in found]
    (folder / "searches.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "scores.json").write_text(json.dumps(needle_scores(found)))
    settings = {"seed": seed, "answers": 4}
    record = {"verb": "evaluate-needle", "settings": settings, "versions": {}, "inputs": {}, "state": "finished"}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("needles")
    return {
        "before": write(root / "a", lambda length, depth, number: length == 128 or number % 4 == 0),
        "after": write(root / "b", lambda length, depth, number: depth > 0 or number % 2 == 0),
        "short": write(root / "c", lambda length, depth, number: True, lengths=(128,)),
        "others": write(root / "d", lambda length, depth, number: number % 4 == 0, seed=1),
    }


def panel_of(folders: dict[str, Path], *names: str):
    return needle_panel([read_needles(name, folders[name]) for name in names])


def test_every_grid_has_the_same_cells_and_colour_begins_at_chance(folders: dict[str, Path]):
    panel = panel_of(folders, "before", "after", "short")
    assert panel.lengths == LENGTHS
    assert [[depth for depth, _ in grid.rows] for grid in panel.grids] == [["0", "0.5", "1"]] * 3
    before, after, short = (dict(grid.rows) for grid in panel.grids)
    assert [cell.heat for cell in before["0.5"]] == [STRONGEST, 0]  # a quarter is what guessing finds
    assert [cell.rate.estimate for cell in after["0"]] == [0.5, 0.5]
    assert after["0"][0].heat == round(STRONGEST * (0.5 - 0.25) / 0.75)
    assert short["1"][1] is None
    assert after["1"][1].tip.startswith("1,024 tokens, depth 1: 100% (")
    assert after["1"][1].tip.endswith("of 12; the right answer leads by 1 nats")


def test_models_are_compared_needle_by_needle_with_texts_as_clusters(folders: dict[str, Path]):
    panel = panel_of(folders, "before", "after", "short", "others")
    assert list(panel.gaps) == ["after-before"]
    places = [(length, depth, number) for length in LENGTHS for depth in DEPTHS for number in range(REPEATS)]
    old = [length == 128 or number % 4 == 0 for length, _, number in places]
    new = [depth > 0 or number % 2 == 0 for _, depth, number in places]
    texts = [(length, number) for length, _, number in places]
    expected = paired_difference(old, new, clusters=texts)
    assert panel.gaps["after-before"] == pytest.approx(
        {"estimate": expected.estimate, "low": expected.low, "high": expected.high, "count": expected.count}
    )
    assert panel.rows[0].rate == pass_rate(old, clusters=texts)
    assert panel.rows[0].margin == pytest.approx(sum(1 if one else -0.5 for one in old) / len(old))


def test_what_is_said_of_them(folders: dict[str, Path]):
    findings = panel_of(folders, "before", "after", "others").findings
    assert findings[0] == (
        "before finds 62% of its needles, where guessing finds 25%; it is found to do better than guessing in texts of "
        "128 tokens."
    )
    assert "texts of 128, 1,024 tokens" in findings[1]
    assert "in texts of no length" in findings[2]
    assert findings[3].startswith("after against before: +20.8 points (")
    assert findings[4] == "others looked for other needles, so it is not compared with before."
    assert (
        "No difference between again and before"
        in needle_panel([read_needles(name, folders["before"]) for name in ("before", "again")]).findings[2]
    )


def test_the_page_shows_the_grids_and_the_stage_writes_the_gaps(
    folders: dict[str, Path], tmp_path: Path, parse: Callable[[str], Element]
):
    panel = panel_of(folders, "before", "short")
    page = render(lineage([folders["before"]]), [], needles=panel, title="Needles", samples_per_kind=1)
    tree = parse(page)
    tables = [table for table in tree.iter("table") if table.get("class") == "heat"]
    assert [len(list(table.iter("td"))) for table in tables] == [6, 6]
    cells = list(tables[0].iter("td"))
    assert (cells[0].text, cells[0].get("style")) == ("100%", f"--heat: {STRONGEST}%")
    text = " ".join("".join(tree.itertext()).split())
    assert "2 models looked for needles in haystacks: before and short." in text
    assert "No model was measured" not in text
    stage = ReportStage(runs={name: str(folders[name]) for name in ("before", "after")})
    assert stage.plan().facts["measured"] == ["before", "after"]
    stage.run(Work(out=tmp_path, say=lambda line: None, record=lambda facts: None))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["needle_gaps"]["after-before"]["estimate"] == pytest.approx(0.2083, abs=1e-3)
    assert metrics["after"]["overall"]["count"] == 72


@pytest.mark.parametrize("damage", ["", "{}\n", '{"length": 1, "depth": 0, "found": true, "logps": []}\n'])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str):
    folder = write(tmp_path / "a", lambda *place: True)
    (folder / "searches.jsonl").write_text(damage)
    with pytest.raises(StoreError, match=r"searches\.jsonl (lacks a figure|holds no search).* Run its stage again"):
        read_needles("a", folder)
