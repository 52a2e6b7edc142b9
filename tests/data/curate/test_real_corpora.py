"""The published rules on the corpora that they were made for, and on others."""

from __future__ import annotations

from typing import Any

from burnish.data.curate.engine import Curation, curate
from burnish.data.curate.gathering import inputs_of
from burnish.data.curate.intake import Intake
from burnish.data.curate.pool import InlinePool
from burnish.data.curate.registry import steps_from


def counts(path, out, *kinds: str) -> dict[str, dict[str, Any]]:
    steps = steps_from([{"kind": kind} for kind in kinds])
    curation = Curation(inputs=inputs_of({"real": str(path)}), intake=Intake(), steps=steps)
    summary = curate(curation, out, InlinePool(), lambda line: None)
    return {step["name"]: step for step in summary["steps"]}


def test_c4_passes_its_own_rules_unedited(real, tmp_path):
    found = counts(real / "domains" / "c4.jsonl", tmp_path / "out", "c4", "gopher-repetition", "exact-dedup")
    reached = found["c4"]["reached"]["documents"]
    assert reached == found["read"]["reached"]["documents"] > 900
    assert found["c4"]["edited"] == {}
    assert set(found["c4"]["dropped"]) <= {"few-sentences"}, "sentences are counted in another way there"
    assert found["c4"]["left"]["documents"] >= 0.99 * reached
    assert found["gopher-repetition"]["left"]["documents"] >= 0.95 * reached
    assert found["exact-dedup"]["dropped"] == {}


def test_code_and_papers_are_no_web_text(real, tmp_path):
    for name in ("github", "arxiv"):
        found = counts(real / "domains" / f"{name}.jsonl", tmp_path / name, "c4")["c4"]
        braces = found["dropped"]["braces"]["documents"]
        assert braces >= 0.7 * found["reached"]["documents"]


def test_questions_and_answers_lose_lines_and_stay(real, tmp_path):
    found = counts(real / "domains" / "stackexchange.jsonl", tmp_path / "out", "c4", "gopher-quality")
    assert found["c4"]["edited"]["cleaned"]["documents"] > 0.5 * found["c4"]["reached"]["documents"]
    assert found["gopher-quality"]["left"]["documents"] > 0.9 * found["read"]["reached"]["documents"]
