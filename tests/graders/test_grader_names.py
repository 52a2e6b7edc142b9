"""Graders by name, with settings: the library's, weighted sums, a stage's, and a user's own with their source."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from burnish.config import load
from burnish.errors import ConfigError, GraderError
from burnish.example import WORKED, Completion, Example, assistant
from burnish.graders.format import FormatGrader
from burnish.graders.maths import MathsGrader
from burnish.graders.penalties import LengthPenalty
from burnish.graders.reasoning import ReasoningGrader
from burnish.graders.registry import GRADERS, GraderSettings, Grading, grader_code, grader_named, graders_named
from burnish.graders.verdicts import graded_all, verdict
from burnish.graders.weighted import Weighted
from burnish.protocols import BatchGrader, Grade
from burnish.stages.grade import GradeStage
from burnish.stages.run import stage_identity
from burnish.store import source_keys

OWN = '''"""A user's file."""

from burnish.protocols import Grade


def brevity(example, completion):
    return -len(completion.text) / 10


def polite(example, completion):
    return Grade(score=1.0, reasons=("thanks",))


def passes(example, completion):
    return True


def wordy(example, completion):
    return "long"


def fails(example, completion):
    raise KeyError("gone")


def one_argument(example):
    return 1.0


class Many:
    def grade(self, example, completion):
        return self.grades([(example, completion)])[0]

    def grades(self, answers):
        return [Grade(score=float(number)) for number, _ in enumerate(answers)]


class NoGrader:
    pass


class Needs:
    def __init__(self, model):
        self.model = model
'''
SAID = Completion(messages=(assistant("hello"),))


WITHOUT_EVALS = find_spec("reasoning_gym") is None


@pytest.fixture
def own(tmp_path: Path) -> str:
    file = tmp_path / "my_grader.py"
    file.write_text(OWN, encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("name", [name for name in GRADERS if name != "reasoning" or not WITHOUT_EVALS])
def test_every_name_makes_a_grader_whose_source_is_known(name: str):
    grader = grader_named(name)
    code = grader_code(name)
    assert type(grader) in code
    assert source_keys(code)


@pytest.mark.skipif(WITHOUT_EVALS, reason="the extra 'evals' is not installed")
def test_settings_reach_their_grader():
    grading = load(Grading, {"length": {"limit": 300}})
    assert grader_named("length", grading) == LengthPenalty(limit=300)
    assert grader_named("length") == LengthPenalty()
    assert grader_named("reasoning", load(Grading, {"reasoning": {"partial": True}})) == ReasoningGrader(partial=True)
    assert graders_named(["maths", "length"], GraderSettings(length=LengthPenalty(free=1))) == {
        "maths": MathsGrader(),
        "length": LengthPenalty(free=1),
    }


def test_a_weighted_sum_by_name(own: str):
    weights = {"format": 1.0, f"{own}:brevity": 2.0}
    grader = grader_named("weighted", Grading(weights=weights, on_failure="zero"))
    assert isinstance(grader, Weighted)
    grade = verdict(grader, WORKED, SAID)
    assert grade.score == pytest.approx(0.0 + 2.0 * -0.5)
    assert grade.parts["brevity"] == -0.5
    assert grade.parts["failed"] == 0.0
    assert {Weighted, FormatGrader} <= set(grader_code("weighted", Grading(weights=weights)))


def test_parts_of_one_name_keep_their_whole_names(own: str, tmp_path: Path):
    other = tmp_path / "other.py"
    other.write_text(OWN, encoding="utf-8")
    grader = grader_named("weighted", Grading(weights={f"{own}:brevity": 1.0, f"{other}:brevity": 1.0}))
    assert isinstance(grader, Weighted)
    assert set(grader.graders) == {f"{own}:brevity", f"{other}:brevity"}


def test_a_stage_brings_graders_of_its_own():
    class Reward:
        def grade(self, example: Example, completion: Completion) -> Grade:
            return Grade(score=3.0)

    reward = Reward()
    assert grader_named("reward", also={"reward": reward}) is reward
    both = grader_named("weighted", Grading(weights={"reward": 2.0, "format": 1.0}), {"reward": reward})
    assert both.grade(WORKED, SAID).score == 6.0


@pytest.mark.parametrize(
    ("name", "grading", "mistakes"),
    [
        ("mahts", {}, ["no grader is called 'mahts'; did you mean 'maths'"]),
        ("weighted", {}, ["needs its parts: --grading.weights.NAME WEIGHT"]),
        ("maths", {"weights": {"maths": 1}}, ["grading.weights is given, and the grader is 'maths'"]),
        ("maths", {"length": {}}, ["settings of the grader 'length' are given, and it is not used"]),
        ("weighted", {"weights": {"weighted": 1}}, ["has no weighted sums as parts"]),
        (
            "weighted",
            {"weights": {"mahts": 1, "lenght": 1}, "repetition": {}},
            ["grader 'repetition' are given", "did you mean 'maths'", "did you mean 'length'"],
        ),
    ],
)
def test_all_mistakes_at_once(name: str, grading: dict, mistakes: list[str]):
    with pytest.raises(ConfigError) as error:
        grader_named(name, load(Grading, grading))
    assert len(error.value.mistakes) == len(mistakes)
    for mistake in mistakes:
        assert mistake in str(error.value)


@pytest.mark.parametrize("weights", [{}, {"maths": 0}, {"maths": float("inf")}, {"failed": 1.0}])
def test_weights_that_mean_nothing_are_refused_where_they_are_read(weights: dict[str, float]):
    with pytest.raises(ConfigError, match=r"weight|no part may be called 'failed'"):
        load(Grading, {"weights": weights})


# --- a user's own


def test_a_function_as_a_grader(own: str):
    assert verdict(grader_named(f"{own}:brevity"), WORKED, SAID) == Grade(score=-0.5)
    assert verdict(grader_named(f"{own}:polite"), WORKED, SAID) == Grade(score=1.0, reasons=("thanks",))
    assert verdict(grader_named(f"{own}:passes"), WORKED, SAID) == Grade(score=1.0)


def test_a_class_as_a_grader_of_many(own: str):
    grader = grader_named(f"{own}:Many")
    assert isinstance(grader, BatchGrader)
    assert [grade.score for grade in graded_all(grader, [(WORKED, SAID)] * 3)] == [0, 1, 2]


def test_a_module_of_a_package_can_be_named():
    assert isinstance(grader_named("burnish.graders.maths:MathsGrader"), MathsGrader)


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("brevty", r"has no class or function 'brevty'; did you mean 'brevity'\?"),
        ("one_argument", r"cannot be called as one_argument\(example, completion\): too many positional arguments"),
        ("NoGrader", r"is no grader; give the class a method grade\(self, example, completion\) -> Grade"),
        ("Needs", "cannot be made without arguments"),
        ("not a name", "names no class or function"),
    ],
)
def test_what_is_no_grader_is_refused_with_what_one_looks_like(own: str, name: str, mistake: str):
    with pytest.raises(ConfigError, match=mistake):
        grader_named(f"{own}:{name}")


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    for call in (grader_named, grader_code):
        with pytest.raises(ConfigError, match=r"no such file: .*nowhere.py"):
            call(f"{tmp_path / 'nowhere.py'}:grade")


@pytest.mark.parametrize(
    ("name", "cause"),
    [("fails", "KeyError: 'gone'"), ("wordy", "gave 'long'; expected a number or a burnish.protocols.Grade")],
)
def test_a_failure_of_an_own_grader_names_it(own: str, name: str, cause: str):
    with pytest.raises(GraderError) as error:
        verdict(grader_named(f"{own}:{name}"), WORKED, SAID)
    assert f"my_grader.py:{name} on example 'worked'" in str(error.value)
    assert cause in str(error.value)


@pytest.mark.parametrize("name", ["brevity", "Many"])
def test_the_source_of_an_own_grader_belongs_to_the_identity(own: str, tmp_path: Path, name: str):
    data = tmp_path / "data.jsonl"
    data.write_text("{}", encoding="utf-8")
    stage = GradeStage(data=str(data), grader=f"{own}:{name}")
    before = stage_identity(stage)
    assert f"my_grader.py:{name}" in before.code
    assert stage_identity(stage).key == before.key
    Path(own).write_text(OWN.replace("/ 10", "/ 20"), encoding="utf-8")
    assert stage_identity(stage).key != before.key
    inside = GradeStage(data=str(data), grader="weighted", grading=Grading(weights={f"{own}:{name}": 1.0}))
    assert f"my_grader.py:{name}" in stage_identity(inside).code
