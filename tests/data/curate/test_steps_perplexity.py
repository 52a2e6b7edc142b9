"""The perplexity step: limits, training in a run, a model of one's own."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from burnish.data.curate.documents import document_batch
from burnish.data.curate.engine import Curation, curate
from burnish.data.curate.intake import Intake
from burnish.data.curate.kneser_ney import NGrams
from burnish.data.curate.pool import InlinePool
from burnish.data.curate.steps.perplexity import NGramModel, OwnModel, Perplexity
from burnish.errors import ConfigError, DataError
from tests.data.curate.contract import bytes_of, check_row_step, fates_in, run_steps, write_rows

SENTENCE = "the cat sat on a mat and the dog ran to the old house by the sea while it rained all day"


def sentences(count: int) -> list[str]:
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(SENTENCE.split(), 12)) + "." for _ in range(count)]


@pytest.fixture
def trusted(tmp_path):
    path = tmp_path / "trusted.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences(200)))
    return path


OWN = """
import math
from pathlib import Path

import numpy as np

class Model:
    def __init__(self, weights):
        self.base = float(Path(weights).read_text())
    def log_likelihoods(self, texts):
        return np.array([-math.log(self.base) * text.count("x") for text in texts])

def load(weights):
    return Model(weights)
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "weights").write_text("16")
    return OwnModel(code=f"{tmp_path}/own.py:load", weights=str(tmp_path / "weights"))


def test_limits_on_a_model_of_ones_own(own):
    step = Perplexity(model=own, max_perplexity=5, min_perplexity=2)
    rows = check_row_step(step, ["xxxx", "xxaa", "xaaa", "aaaa", "ä", ""])
    assert [row[2] for row in rows] == ["surprising", None, None, "predictable", "predictable", None]
    assert [row[6] for row in rows] == pytest.approx([16, 4, 2, 1, 1, None])
    assert step.rules[1].fails(np.array([2.0])).tolist() == [False]
    assert len(step.code()) == 1
    step.check()


def test_a_run_trains_on_the_trusted_sample_and_says_what_it_held_out(tmp_path, trusted):
    step = Perplexity(model=NGramModel(trusted=str(trusted), order=5), max_perplexity=6)
    rows = [{"id": f"good{n}", "text": text} for n, text in enumerate(sentences(230)[200:])]
    rows += [{"id": f"bad{n}", "text": text[::-1]} for n, text in enumerate(sentences(230)[200:])]
    said: list[str] = []
    outs = {}
    for name, files, size in (("one", 1, 10**6), ("many", 3, 1000)):
        curation = Curation(
            inputs=write_rows(rows, tmp_path / f"{name}-in", files), intake=Intake(), steps=(step,), shard_bytes=size
        )
        curate(curation, tmp_path / name, InlinePool(), said.append)
        outs[name] = fates_in(tmp_path / name)
    assert {name: fate.fate for name, fate in outs["one"].items()} == {
        row["id"]: "keep" if row["id"].startswith("good") else "drop" for row in rows
    }
    assert {n: f.steps["perplexity"]["score"] for n, f in outs["one"].items()} == {
        n: f.steps["perplexity"]["score"] for n, f in outs["many"].items()
    }
    assert bytes_of(tmp_path / "one", "prepared") == bytes_of(tmp_path / "many", "prepared") != {}
    held = [line for line in said if "held out" in line]
    assert len(held) == 2
    assert held[0] == held[1]
    (folder,) = (tmp_path / "one" / "prepared").iterdir()
    found = check_row_step(step, [sentences(1)[0], "zzz qqq", ""], folder=folder)
    assert [row[2] for row in found] == [None, "surprising", None]


def test_perplexity_is_per_byte(tmp_path, trusted):
    step = Perplexity(model=NGramModel(trusted=str(trusted), order=3), max_perplexity=100)
    run_steps([step], [{"id": "a", "text": "the cat"}], tmp_path / "out")
    (folder,) = (tmp_path / "out" / "prepared").iterdir()
    model = NGrams.load(folder / "model.npz")
    (row,) = check_row_step(step, ["the cät"], folder=folder)
    assert row[6] == pytest.approx(math.exp(-model.log_likelihoods(["the cät"])[0] / 8))


def test_no_more_than_the_limit_is_learned_from(tmp_path, trusted):
    sizes = {}
    for name, limit in (("less", 500), ("all", 10**7)):
        step = Perplexity(model=NGramModel(trusted=str(trusted), max_bytes=limit), max_perplexity=9)
        run_steps([step], [{"id": "a", "text": "the cat"}], tmp_path / name)
        (folder,) = (tmp_path / name / "prepared").iterdir()
        sizes[name] = (folder / "model.npz").stat().st_size
    assert sizes["less"] < 0.7 * sizes["all"]


def test_what_could_not_work_is_refused(tmp_path, own):
    with pytest.raises(DataError, match="no such file"):
        Perplexity(model=NGramModel(trusted=str(tmp_path / "none.jsonl")), max_perplexity=9).check()
    with pytest.raises(ConfigError, match="lod"):
        Perplexity(model=OwnModel(code=own.code[:-4] + "lod"), max_perplexity=9).check()
    blank = tmp_path / "blank.jsonl"
    blank.write_text('{"text": " "}\n')
    step = Perplexity(model=NGramModel(trusted=str(blank)), max_perplexity=9)
    with pytest.raises(DataError, match="no text to train on"):
        run_steps([step], [{"id": "a", "text": "the cat"}], tmp_path / "out")
    with pytest.raises(DataError, match="trained by the run"):
        step.decide(document_batch(["a"], ["x"]))


def test_prose_is_told_from_code(real, tmp_path):
    """Trained on encyclopaedia text, code surprises and web text does not."""
    step = Perplexity(model=NGramModel(trusted=str(real / "text" / "wiki.txt"), max_bytes=400_000), max_perplexity=9)
    texts = {}
    for name in ("c4", "github"):
        lines = (real / "domains" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:30]
        texts |= {f"{name}{n}": json.loads(line)["text"][:2000] for n, line in enumerate(lines)}
    found = run_steps([step], [{"id": name, "text": text} for name, text in texts.items()], tmp_path / "out")
    scores = {
        domain: np.median([fate.steps["perplexity"]["score"] for n, fate in found.items() if n.startswith(domain)])
        for domain in ("c4", "github")
    }
    assert scores["c4"] + 1 < scores["github"]
