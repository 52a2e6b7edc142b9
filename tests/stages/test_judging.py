"""A judge by its settings, in `grade` and `evaluate`, against a scripted endpoint: figures, kills, what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from burnish.cli import main
from burnish.config import load, load_yaml, merged
from burnish.errors import ConfigError, EndpointError, GraderError
from burnish.example import Completion, Example, assistant, read_jsonl, user, write_jsonl
from burnish.stages.evaluate import EvaluateStage
from burnish.stages.grade import GradeStage
from burnish.stages.judging import Judge, journal_of
from burnish.stages.recipe import read_recipe
from burnish.stages.run import run_stage
from tests.graders.scripted_judge import between_marks
from tests.sampling.scripted_server import Server, Step, answer, serving, status
from tests.stages.tiny_chat import write_model, write_prompts

KEY = "sk-very-secret-0123456789"
GEMS = {"gem-0": "opal", "gem-1": "a ruby", "gem-2": "the jade", "gem-3": "onyx"}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def answered(tmp_path: Path) -> str:
    return str(write_answers(tmp_path / "answered.jsonl", GEMS))


def write_answers(path: Path, answers: dict[str, str]) -> Path:
    examples = [
        Example(id=name, prompt=(user(f"Name gem {name}."),), completions=(Completion(messages=(assistant(text),)),))
        for name, text in answers.items()
    ]
    write_jsonl(path, examples)
    return path


def points(**by_word: int) -> Step:
    """Points by a word of the answer; 1 without any."""

    def step(handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        text = between_marks(asked["messages"][1]["content"])[1]
        given = next((value for word, value in by_word.items() if word in text), 1)
        answer(f"About {text}.\nScore: [[{given}]]")(handler, asked)

    return step


def judged(server: Server, **more: Any) -> dict[str, Any]:
    quick = {"first_wait_seconds": 0.01, "concurrency": 1, "key_variable": "JUDGE_KEY"}
    return {"grader": "judge", "judge": {"url": server.url, "model": "judge-1", **quick, **more}}


def run(cls: type, values: dict[str, Any], out: Path) -> Path:
    run_stage(load(cls, values), out, say=lambda line: None)
    return out


def scores_in(out: Path) -> dict[str, Any]:
    return json.loads((out / "scores.json").read_text())


def test_grade_gives_points_with_reasons_and_keeps_no_key(answered: str, tmp_path: Path):
    with serving([points(opal=9, ruby=4)]) as server:
        out = run(GradeStage, {"data": answered, **judged(server, rubric="Gems only.")}, tmp_path / "out")
    completions = [example.completions[0] for example in read_jsonl(out / "examples.jsonl")]
    assert [one.score for one in completions] == [9.0, 4.0, 1.0, 1.0]
    assert completions[0].reasons == ("About opal.",)
    scores = scores_in(out)
    assert scores["grader"] == "judge"
    assert scores["overall"]["mean_score"] == pytest.approx(3.75)
    assert scores["parts"]["points"]["mean"] == pytest.approx(3.75)
    assert server.requests[-1][1]["Authorization"] == f"Bearer {KEY}"
    assert "Rubric: Gems only." in server.bodies[0]["messages"][1]["content"]
    record = json.loads((out / "run.json").read_text())
    assert len(record["judge"]["wording"]) == 12
    assert record["settings"]["judge"]["key_variable"] == "JUDGE_KEY"
    assert not any(KEY in path.read_text() for path in out.iterdir())
    assert not journal_of(out).exists()


def test_a_pass_mark_gives_pass_rates(answered: str, tmp_path: Path):
    with serving([points(opal=9, ruby=7, jade=6)]) as server:
        out = run(GradeStage, {"data": answered, **judged(server, pass_mark=7)}, tmp_path / "out")
    assert scores_in(out)["overall"]["pass_rate"] == 0.5
    assert scores_in(out)["parts"]["points"]["mean"] == pytest.approx(23 / 4)


def test_a_run_that_was_cut_short_asks_only_what_it_has_not_asked(answered: str, tmp_path: Path):
    quota = status(403, "quota")
    with serving([points(opal=9), points(opal=9), quota, quota, points(opal=9)]) as server:
        values = {"data": answered, **judged(server)}
        with pytest.raises(GraderError, match=r"an answer to example 'gem-2': the endpoint .* status 403"):
            run(GradeStage, values, tmp_path / "out")
        assert len(journal_of(tmp_path / "out").read_text().splitlines()) == 2
        before = len(server.bodies)
        out = run(GradeStage, values, tmp_path / "out")
    assert len(server.bodies) - before == 2
    assert [one.completions[0].score for one in read_jsonl(out / "examples.jsonl")] == [9.0, 1.0, 1.0, 1.0]


def shorter_wins(handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
    _, first, second = between_marks(asked["messages"][1]["content"])
    choice = "C" if len(first) == len(second) else "A" if len(first) < len(second) else "B"
    answer(f"Verdict: [[{choice}]]")(handler, asked)


def test_with_a_baseline_answers_are_compared_in_both_orders(answered: str, tmp_path: Path):
    others = {"gem-0": "an opal", "gem-1": "ruby", "gem-2": "the jade", "gem-3": "jett"}
    baseline = str(write_answers(tmp_path / "baseline.jsonl", others))
    with serving([shorter_wins]) as server:
        out = run(GradeStage, {"data": answered, **judged(server, baseline=baseline)}, tmp_path / "out")
        assert len(server.bodies) == 6  # the same text is not asked about
    assert [one.completions[0].score for one in read_jsonl(out / "examples.jsonl")] == [1.0, 0.0, 0.5, 0.5]
    assert scores_in(out)["overall"]["mean_score"] == 0.5
    assert set(json.loads((out / "run.json").read_text())["inputs"]) == {"data", "judge.baseline"}


def test_a_prompt_without_a_baseline_is_named(answered: str, tmp_path: Path):
    baseline = str(write_answers(tmp_path / "baseline.jsonl", {"gem-0": "opal"}))
    wrong = pytest.raises(GraderError, match=r"baseline .*baseline.jsonl has no answer to example 'gem-1'")
    with serving([shorter_wins]) as server, wrong:
        run(GradeStage, {"data": answered, **judged(server, baseline=baseline)}, tmp_path / "out")


def test_a_judge_may_be_a_part_of_a_weighted_sum(answered: str, tmp_path: Path):
    with serving([points(opal=9)]) as server:
        grading = {"weights": {"judge": 0.1, "repetition": 1.0}}
        values = merged({"data": answered, **judged(server)}, {"grader": "weighted", "grading": grading})
        out = run(GradeStage, values, tmp_path / "out")
    first = next(iter(read_jsonl(out / "examples.jsonl"))).completions[0]
    assert first.score == pytest.approx(0.9)
    assert scores_in(out)["parts"]["judge.points"]["mean"] == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"judge": None}, "the grader 'judge' needs an endpoint; type --judge.url URL --judge.model NAME"),
        ({"grader": "length"}, "settings of a judge are given, and the grader is 'length'; type --grader judge"),
        ({"judge": {"key_variable": "NO_KEY"}}, "key_variable is NO_KEY, and no such variable is set"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_any_work(
    change: dict[str, Any], said: str, answered: str, tmp_path: Path
):
    with serving([points()]) as server:
        stage = load(GradeStage, merged({"data": answered, **judged(server)}, change))
        for attempt in (stage.plan, lambda: run_stage(stage, tmp_path / "out", say=lambda line: None)):
            with pytest.raises(ConfigError, match=said):
                attempt()
    assert server.bodies == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"baseline": "runs/x", "pass_mark": 7}, "pass_mark is for points, and with a baseline there are none"),
        ({"wording": {"question": "$rubric", "reminder": "x"}}, "a pointwise question needs exactly"),
        ({"pass_mark": 11}, "pass_mark' is 11; it must be"),
        ({"url": "localhost"}, "url is no http or https URL with a host; expected the base URL"),
    ],
)
def test_a_judge_that_cannot_be_is_refused_when_settings_are_read(settings: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        load(Judge, {"url": "http://localhost/v1", "model": "m", **settings})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("world")
    return {
        "model": str(write_model(folder / "model")),
        "data": str(write_prompts(folder / "prompts.jsonl")),
        "sampling": {"precision": "fp32", "decoding": {"max_tokens": 5}},
    }


def test_evaluate_takes_a_judge(world: dict[str, Any], tmp_path: Path):
    with serving([points(**{"": 8})]) as server:
        out = run(EvaluateStage, {**world, **judged(server, pass_mark=8)}, tmp_path / "out")
    assert scores_in(out)["overall"]["pass_rate"] == 1.0
    assert scores_in(out)["overall"]["count"] == 6
    assert len(server.bodies) == 7  # the empty answer that is judged first
    assert not journal_of(out).exists()


def test_evaluate_samples_nothing_for_an_endpoint_that_is_not_there(world: dict[str, Any], tmp_path: Path):
    with serving([points()]) as server:
        values = {**world, **judged(server)}
    with pytest.raises(EndpointError, match="no reply in 2 tries; the last one: ConnectError"):
        run(EvaluateStage, values, tmp_path / "out")
    assert not (tmp_path / "out" / "samples.part.jsonl").exists()


def test_the_command_line_names_a_judge(answered: str, tmp_path: Path):
    with serving([points(opal=9)]) as server:
        words = ["grade", "--data", answered, "--out", str(tmp_path / "out"), "--grader", "judge"]
        code = main([*words, "--judge.url", server.url, "--judge.model", "judge-1", "--judge.pass_mark", "9"])
    assert code == 0
    assert scores_in(tmp_path / "out")["overall"]["pass_rate"] == 0.25


def uncommented(lines: Sequence[str]) -> str:
    """The recipe with its lines of a judge in use."""
    return "\n".join(line.replace("# grader:", "grader:").replace("# judge:", "judge:") for line in lines)


def test_the_recipe_that_compares_takes_a_judge_for_all_measurements_by_two_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BURNISH_STORE", str(tmp_path / "store"))
    path = Path(__file__).parents[2] / "recipes" / "compare-preferences.yaml"
    changed = tmp_path / "judged.yaml"
    changed.write_text(uncommented(path.read_text(encoding="utf-8").splitlines()), encoding="utf-8")
    assert sum("judge" in str(stage.get("grader")) for stage in load_yaml(path)["stages"].values()) == 0
    start = {"stages": {"start": {"model": str(write_model(tmp_path / "model"))}}}
    measured = [step.stage for step in read_recipe(changed, [start]).steps if isinstance(step.stage, EvaluateStage)]
    assert len(measured) == 15
    for stage in measured:
        assert stage.grader == "judge"
        assert stage.judge is not None
        assert stage.judge.pass_mark is not None, "the report draws pass rates"
