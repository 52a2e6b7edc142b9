"""`best` and `spin-pairs`: what they write, count, record and refuse."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from burnish.config import leaves, load, sources
from burnish.errors import ConfigError, DataError
from burnish.evals.best_of_n import best_of_n_kl
from burnish.example import Completion, Example, assistant, read_jsonl, user, write_jsonl
from burnish.stages.best import BestStage
from burnish.stages.registry import stage_class
from burnish.stages.spin_pairs import SpinPairsStage
from burnish.stages.stage import Stage, Work


def run(stage: Stage, out: Path) -> tuple[list[Example], dict[str, Any], list[str], dict[str, Any]]:
    said: list[str] = []
    facts: dict[str, Any] = {}
    stage.run(Work(out=out, say=said.append, record=facts.update))
    return list(read_jsonl(out / "examples.jsonl")), json.loads((out / "scores.json").read_text()), said, facts


def samples(id: str, *scores: float | None, version: str | None = "v1", prompt: str = "") -> Example:
    completions = tuple(
        Completion(messages=(assistant(f"{id} {i}"),), score=score, finish="stop", policy_version=version)
        for i, score in enumerate(scores)
    )
    return Example(id=id, prompt=(user(prompt or f"About {id}?"),), completions=completions)


def written(path: Path, *examples: Example) -> str:
    write_jsonl(path, examples)
    return str(path)


# --- best


def test_the_best_are_kept_and_the_rest_is_counted(tmp_path: Path):
    cut = samples("cut", 1.0, 1.0)
    cut = replace(cut, completions=tuple(replace(c, finish="length") for c in cut.completions))
    data = written(
        tmp_path / "g.jsonl",
        samples("a", 0.1, 0.9),
        samples("b", 0.0, 0.2),
        cut,
        Example(id="none"),
        samples("t", 1, 1),
    )
    stage = load(BestStage, {"data": data, "at_least": 0.5})
    kept, scores, said, _ = run(stage, tmp_path / "out")
    assert [(e.id, e.completions[0].score) for e in kept] == [("a", 0.9), ("t", 1.0)]
    assert {k: scores[k] for k in ("demonstrations", "kept", "below", "cut", "unanswered", "tied_best")} == {
        "demonstrations": 2, "kept": 2, "below": 1, "cut": 1, "unanswered": 1, "tied_best": 2,
    }  # fmt: skip
    assert said[0] == "2 demonstrations of 2 prompts; dropped: 1 below, 1 cut, 1 unanswered"
    assert stage.plan().facts == {"demonstrations": 2, "kept": 2, "below": 1, "cut": 1, "unanswered": 1}


def test_the_curve_gives_score_gold_and_kl_for_every_n_and_run_json_the_kl(tmp_path: Path):
    examples = [samples("a", 1.0, 2.0, 3.0, 4.0), samples("b", 4.0, 3.0, 2.0, 1.0), samples("few", 9.0)]
    gold = [samples("few", 9.0), samples("b", -5.0, 0.0, 0.0, 1.0), samples("a", 0.0, 1.0, 1.0, -5.0)]
    values = {"data": written(tmp_path / "g.jsonl", *examples), "gold": written(tmp_path / "gold.jsonl", *gold)}
    _, scores, said, facts = run(load(BestStage, values), tmp_path / "out")
    curve = scores["curve"]
    assert [point["n"] for point in curve] == [1, 2, 4]
    assert [point["kl"] for point in curve] == pytest.approx([0.0, 0.1931472, 0.6362944])
    assert [point["score"]["mean"] for point in curve] == pytest.approx([2.5, 10 / 3, 4.0])
    assert curve[-1]["score"] == {"mean": 4.0, "low": 4.0, "high": 4.0, "count": 2}  # not the prompt with one sample
    assert curve[0]["gold"]["mean"] == pytest.approx((-3 / 4 - 4 / 4) / 2)
    assert curve[-1]["gold"]["mean"] == -5.0
    assert facts == {"best_of": {"n": 4, "kl": pytest.approx(0.6362944), "prompts": 2}}
    assert said[-1] == "best of 4: score 4, gold -5, KL at most 0.636 nats"


def test_what_the_curve_expects_is_what_is_chosen(tmp_path: Path):
    rows = [(0.0, 1.0, 2.0), (2.0, 0.0, 1.0)]
    examples = [samples(f"p{i}", *row) for i, row in enumerate(rows)]
    longest = [replace(e, completions=tuple(_cut_if(c, 2.0) for c in e.completions)) for e in examples]
    for name, data, best in (("whole", examples, 2.0), ("cut", longest, 1.0)):
        place = written(tmp_path / f"{name}.jsonl", *data)
        kept, scores, _, _ = run(load(BestStage, {"data": place}), tmp_path / name)
        assert [e.completions[0].score for e in kept] == [best, best]
        assert scores["curve"][-1]["score"]["mean"] == best


def _cut_if(completion: Completion, score: float) -> Completion:
    return replace(completion, finish="length") if completion.score == score else completion


def test_samples_of_several_rounds_count_together_and_a_mixture_has_no_curve(tmp_path: Path):
    one = written(tmp_path / "1.jsonl", samples("a", 0.1, 0.5), samples("only", 0.3, 0.1, 0.2))
    two = written(tmp_path / "2.jsonl", samples("a", 0.9, 0.2, version="v2"), samples("b", 0.4, 0.6, version="v2"))
    kept, scores, _, facts = run(load(BestStage, {"data": [one, two]}), tmp_path / "out")
    assert [(e.id, e.completions[0].score) for e in kept] == [("a", 0.9), ("only", 0.3), ("b", 0.6)]
    assert facts["best_of"] == {"n": 3, "kl": pytest.approx(0.4319456), "prompts": 1}
    assert scores["curve"][0]["score"] == {"mean": pytest.approx(0.2), "count": 1}
    mixed = {"data": [written(tmp_path / "3.jsonl", samples("a", 0.1)), two], "at_least": 0.9}
    write_jsonl(Path(two), [samples("a", 0.9, version="v2")])
    _, scores, _, facts = run(load(BestStage, mixed), tmp_path / "mixed")
    assert scores["curve"] == []
    assert facts == {}


@pytest.mark.parametrize(
    "change",
    [{"keep": 2}, {"at_least": 0.5}, {"allow_cut": True}, {"seed": 3}, {"gold": True}],
    ids=lambda change: next(iter(change)),
)
def test_each_setting_of_best_changes_what_is_written(change: dict[str, Any], tmp_path: Path):
    examples = [samples(f"p{i}", 0.9, 0.2, 0.9) for i in range(6)]
    cut = samples("cut", 0.1, 0.2)
    cut = replace(cut, completions=(cut.completions[0], replace(cut.completions[1], finish="length")))
    data = written(tmp_path / "g.jsonl", *examples, samples("low", 0.1), cut)
    change = {"gold": data} if "gold" in change else change
    found = [
        run(load(BestStage, {"data": data, **one}), tmp_path / f"{n}")[:2] for n, one in enumerate(({}, {}, change))
    ]
    assert found[0] == found[1] != found[2]


def test_best_refuses_what_it_cannot_compare(tmp_path: Path):
    data = written(tmp_path / "g.jsonl", samples("a", 0.1, 0.9))
    ungraded = written(tmp_path / "u.jsonl", samples("a", None, None))
    other = written(tmp_path / "o.jsonl", samples("a", 0.3, prompt="Another?"))
    longer = written(tmp_path / "l.jsonl", samples("a", 0.3, 0.2, 0.1))
    for values, message in (
        ({"data": ungraded}, r"2 completion\(s\) without a score.*burnish grade"),
        ({"data": data, "at_least": 0.95}, "1 prompts give no demonstration: .*1 below"),
        ({"data": [data, other]}, r"o.jsonl: example 'a' has another prompt than the one of that id before it"),
        ({"data": data, "gold": longer}, "l.jsonl: example 'a' is missing or has other answers than the data"),
        ({"data": data, "gold": ungraded}, r"2 completion\(s\) without a score"),
        ({"data": str(tmp_path / "nowhere")}, "found no file"),
    ):
        with pytest.raises(DataError, match=message):
            load(BestStage, values).plan()
    with pytest.raises(ConfigError, match="data names one place twice"):
        load(BestStage, {"data": [data, data]})
    with pytest.raises(ConfigError, match="data"):
        load(BestStage, {"data": []})


def test_inputs_of_best_are_marked_one_by_one():
    stage = load(BestStage, {"data": "x", "gold": ["y", "z"]})
    assert set(sources(stage).values()) == {"x", "y", "z"}
    assert [cls.__name__ for cls in stage.code()] == ["Best"]


# --- spin-pairs


def demonstration(id: str, text: str, prompt: str = "") -> Example:
    return Example(
        id=id, prompt=(user(prompt or f"About {id}?"),), completions=(Completion(messages=(assistant(text),)),)
    )


def test_demonstrations_stand_against_own_answers_and_the_rest_is_counted(tmp_path: Path):
    cut = samples("a", None)
    cut = replace(cut, completions=(replace(cut.completions[0], finish="length"),))
    own = [cut, samples("same", None), samples("new", None), Example(id="x", prompt=(user("X"),))]
    shown = [demonstration("a", "one two three"), demonstration("same", "same 0"), demonstration("unused", "x")]
    data, demonstrations = written(tmp_path / "own.jsonl", *own), written(tmp_path / "d.jsonl", *shown)
    stage = SpinPairsStage(data=data, demonstrations=demonstrations)
    pairs, scores, said, _ = run(stage, tmp_path / "out")
    assert [(e.id, [(c.text, c.rank) for c in e.completions]) for e in pairs] == [
        ("a", [("one two three", 0), ("a 0", 1)])
    ]
    counts = {"pairs": 1, "paired": 1, "same": 1, "no_demonstration": 1, "unanswered": 1}
    assert scores == {**counts, "words": {"chosen": 3.0, "rejected": 2.0}, "cut": 1}
    assert stage.plan().facts == counts
    assert said == [
        "1 pairs of 1 prompts; skipped: 1 answered as demonstrated, 1 without a demonstration, 1 unanswered"
    ]


def test_demonstrations_of_any_format_are_read_as_sampling_reads_them(tmp_path: Path):
    rows = [{"q": f"About {i}?", "a": f"demonstrated {i}"} for i in range(3)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = written(tmp_path / "own.jsonl", *(samples(str(i), None, None) for i in range(3)))
    reading = {"columns": {"prompt": "q", "completion": "a"}}
    values = {"data": own, "demonstrations": str(path), "reading": reading}
    assert len(run(load(SpinPairsStage, values), tmp_path / "one")[0]) == 3
    assert len(run(load(SpinPairsStage, {**values, "pairs_per_prompt": 2}), tmp_path / "two")[0]) == 6
    limited = {**values, "reading": {**reading, "limit": 2}}
    assert run(load(SpinPairsStage, limited), tmp_path / "three")[1]["no_demonstration"] == 1


def test_a_game_without_pairs_says_why(tmp_path: Path):
    own = written(tmp_path / "own.jsonl", samples("a", None))
    other = written(tmp_path / "other.jsonl", demonstration("b", "x"))
    same = written(tmp_path / "same.jsonl", demonstration("a", "a 0"))
    with pytest.raises(DataError, match="expected answers to the prompts of the demonstrations: sample with them"):
        SpinPairsStage(data=own, demonstrations=other).plan()
    with pytest.raises(DataError, match=r"1 answered as demonstrated.*nothing left to learn"):
        SpinPairsStage(data=own, demonstrations=same).plan()
    assert set(sources(SpinPairsStage(data=own, demonstrations=same)).values()) == {own, same}


# --- their pages


@pytest.mark.parametrize(("page", "verb"), [("best-of-n", "best"), ("iterative", "spin-pairs")])
def test_the_options_that_a_page_names_are_those_of_the_stage(page: str, verb: str):
    text = (Path(__file__).parents[2] / "docs" / "algorithms" / f"{page}.md").read_text(encoding="utf-8")
    table = text.partition("| option")[2].partition("\n\n")[0]
    named = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", table, re.MULTILINE))
    own = {leaf.name: leaf.default for leaf in leaves(stage_class(verb)) if not leaf.source and "." not in leaf.name}
    assert {name: yaml.safe_load(default) for name, default in named.items()} == {
        name: "none" if default is None else default for name, default in own.items()
    }


def test_the_numbers_of_the_pages_are_right():
    pages = Path(__file__).parents[2] / "docs" / "algorithms"
    text = (pages / "best-of-n.md").read_text(encoding="utf-8")
    for n in (2, 4, 8):
        assert f"{best_of_n_kl(n):.3f}" in text
    passes = 1 - 0.5**8
    exact = passes * math.log(2 * passes) + (1 - passes) * math.log(2 * (1 - passes))
    assert f"= {exact:.3f}$, and not {best_of_n_kl(8):.3f}" in text
    assert f"= {math.log(1 + math.exp(-0.5)):.3f}$" in (pages / "iterative.md").read_text(encoding="utf-8")
