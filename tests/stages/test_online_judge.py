"""A judge behind an endpoint as the reward of online training, and as the grader of its looks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import ConfigError, EndpointError, GraderError
from burnish.example import Completion, read_jsonl
from burnish.graders import registry
from burnish.graders.wording import shown_messages
from burnish.stages.judging import journal_of
from burnish.stages.stage import Stage
from tests.graders.scripted_judge import between_marks
from tests.sampling.scripted_server import Server, Step, answer, body, drop, hang, serving, status
from tests.stages.online_runs import Vowels, made, write_world
from tests.stages.runs import digest, lines, run, run_killed

KEY = "sk-very-secret-0123456789"
QUOTA = status(403, "quota")
LOOKS = "looks_judge"


@pytest.fixture(scope="module", autouse=True)
def surroundings() -> Iterator[None]:
    vowels = {"vowels": registry.Entry(make=lambda _: Vowels(), code=(Vowels,))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "GRADERS", {**registry.GRADERS, **vowels})
        patch.setenv("JUDGE_KEY", KEY)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("judged"))


def points_of(text: str) -> int:
    """What the scripted judge thinks of a text."""
    return 1 + sum(text.encode()) % 10


def points(handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
    text = between_marks(asked["messages"][1]["content"])[1]
    answer(f"I looked at it.\nScore: [[{points_of(text)}]]")(handler, asked)


def judged(server: Server, **more: Any) -> dict[str, Any]:
    """A reward by the judge at that server."""
    quick = {"first_wait_seconds": 0.01, "concurrency": 1, "tries": 3, "timeout_seconds": 5.0}
    return {"grader": "judge", "judge": {"url": server.url, "model": "judge-1", **quick, **more}}


def stage(world: Path, server: Server, **changes: Any) -> Stage:
    reward = {**judged(server), **changes.pop("reward", {})}
    return made("grpo", world, reward=reward, save_answers_every=1, **changes)


def completions_in(out: Path) -> list[tuple[str, Completion]]:
    """The answers of all rollouts with the ids of their prompts."""
    examples = [one for path in sorted((out / "rollouts").iterdir()) for one in read_jsonl(path)]
    return [(example.id, completion) for example in examples for completion in example.completions]


@pytest.fixture(scope="module")
def undisturbed(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A run whose endpoint never fails, and how often it asked."""
    with serving([points]) as server:
        out = run(stage(world, server), tmp_path_factory.mktemp("undisturbed") / "run")
    return out, len(server.bodies)


def test_the_judges_points_are_the_reward_of_every_answer(undisturbed: tuple[Path, int]):
    out, asked = undisturbed
    found = completions_in(out)
    assert len(found) == 3 * 2 * 3
    assert [one.score for _, one in found] == [float(points_of(shown_messages(one.messages))) for _, one in found]
    assert {one.reasons for _, one in found} == {("I looked at it.",)}
    assert asked == len({(name, shown_messages(one.messages)) for name, one in found})
    assert all(row["reward"] == row["reward_points"] > 1 for row in lines(out))
    record = json.loads((out / "run.json").read_text())
    assert len(record["judge"]["wording"]) == 12
    assert not journal_of(out).exists()


FAULTS: dict[str, Sequence[Step]] = {
    "status": [status(500), status(429), points, status(503)],
    "connection": [drop, points, points, points, drop, drop],
    "no reply": [body("<html>a gateway's page</html>"), points, body({"error": {"message": "upstream"}})],
    "time": [points, points, hang(1.0)],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_passing_fault_loses_no_rollout(world: Path, tmp_path: Path, undisturbed: tuple[Path, int], fault: str):
    wait = {"judge": {**judged(Server())["judge"], "timeout_seconds": 0.5}} if fault == "time" else {}
    with serving([*FAULTS[fault], points]) as server:
        wait = {"judge": {**wait["judge"], "url": server.url}} if wait else {}
        out = run(stage(world, server, reward=wait), tmp_path / "run")
    assert len(server.bodies) == undisturbed[1] + sum(one is not points for one in FAULTS[fault])
    assert digest(out) == digest(undisturbed[0])


def test_a_killed_run_asks_nothing_twice_even_where_it_starts_over(
    world: Path, tmp_path: Path, undisturbed: tuple[Path, int]
):
    with serving([points]) as server:
        fresh = {"train": {"checkpoint_every": 0}}
        run_killed(stage(world, server, **fresh), tmp_path / "run", after=2)
        assert len(journal_of(tmp_path / "run").read_text().splitlines()) == len(server.bodies) > 0
        out = run(stage(world, server, **fresh), tmp_path / "run")
    assert len(server.bodies) == undisturbed[1]
    assert digest(out) == digest(undisturbed[0])


def test_a_fault_that_lasts_stops_by_name_and_the_run_goes_on_when_it_is_mended(
    world: Path, tmp_path: Path, undisturbed: tuple[Path, int]
):
    with serving([*[points] * 8, QUOTA, QUOTA, points]) as server:
        lasting = r"an answer to example '.*': the endpoint .*/v1, asked for the model 'judge-1': status 403"
        with pytest.raises(GraderError, match=lasting):
            run(stage(world, server), tmp_path / "run")
        assert len(lines(tmp_path / "run")) == 1  # nothing was trained on the second rollout
        out = run(stage(world, server), tmp_path / "run")
    assert len(server.bodies) == undisturbed[1] + 2
    assert digest(out) == digest(undisturbed[0])


def test_by_choice_an_answer_that_cannot_be_judged_scores_zero_and_is_counted(world: Path, tmp_path: Path):
    with serving([*[points] * 2, QUOTA, QUOTA, points]) as server:
        out = run(stage(world, server, steps=1, reward={"grading": {"on_failure": "zero"}}), tmp_path / "run")
    failed = [one for _, one in completions_in(out) if one.score == 0.0]
    assert len(failed) == 1
    assert "status 403" in failed[0].reasons[0]
    assert lines(out)[0]["reward_failed"] == pytest.approx(1 / 6)
    assert lines(out)[0]["reward"] == pytest.approx(sum(one.score or 0.0 for _, one in completions_in(out)) / 6)


def test_a_reply_without_a_verdict_is_never_a_number(world: Path, tmp_path: Path):
    silent = pytest.raises(GraderError, match=r"no verdict on an answer to example '.*' in 2 replies")
    with serving([points, answer("A fine answer, Score: 7")]) as server, silent:
        run(stage(world, server, reward={"judge": {**judged(server)["judge"], "asks": 2}}), tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").read_text()


def test_the_looks_may_have_a_judge_that_training_never_hears(world: Path, tmp_path: Path):
    with serving([points]) as server:
        looks = {"looks": {"reward": judged(server)}, "held_out": 4, "train": {"evaluate_every": 1}}
        out = run(made("grpo", world, steps=2, **looks), tmp_path / "run")
    assert all(1 <= row["held_out_score"] <= 10 and row["reward"] < 1 for row in lines(out))
    assert 0 < len(server.bodies) <= 12  # looks at the start and after each update
    assert "looks_judge" in json.loads((out / "run.json").read_text())
    assert not journal_of(out, LOOKS).exists()


def test_two_judges_keep_their_own_replies(world: Path, tmp_path: Path):
    def always(handler: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        answer("Score: [[10]]")(handler, asked)

    with serving([points]) as server, serving([always]) as gold:
        changes = {"held_out": 4, "looks": {"reward": judged(gold)}, "train": {"evaluate_every": 1}}
        run_killed(stage(world, server, **changes), tmp_path / "run", after=1)
        kept = [len(journal_of(tmp_path / "run", *name).read_text().splitlines()) for name in ((), (LOOKS,))]
        assert kept == [len(server.bodies), len(gold.bodies)]
        out = run(stage(world, server, **changes), tmp_path / "run")
    assert all(row["held_out_score"] == 10.0 != row["reward"] for row in lines(out))
    assert not any(path.name.endswith(".part.jsonl") for path in out.iterdir())


def test_a_judge_may_be_a_part_of_a_weighted_reward_and_no_key_is_kept(world: Path, tmp_path: Path):
    with serving([points]) as server:
        weighted = {"grader": "weighted", "grading": {"weights": {"judge": 0.1, "vowels": -2.0}}}
        weighted |= {"judge": {**judged(server)["judge"], "key_variable": "JUDGE_KEY"}}
        out = run(stage(world, server, steps=1, reward=weighted), tmp_path / "run")
    assert server.requests[-1][1]["Authorization"] == f"Bearer {KEY}"
    row = lines(out)[0]
    assert row["reward"] == pytest.approx(0.1 * row["reward_judge"] - 2 * row["reward_vowels"])
    assert row["reward_judge.points"] == row["reward_judge"] > 1
    assert not any(KEY in path.read_text(errors="replace") for path in out.rglob("*") if path.is_file())


def test_a_dry_run_has_an_empty_answer_judged(world: Path):
    with serving([points]) as server:
        stage(world, server, held_out=4, looks={"reward": judged(server)}).plan()
    assert [between_marks(one["messages"][1]["content"])[1] for one in server.bodies] == ["", ""]


def test_nothing_is_sampled_for_an_endpoint_that_is_not_there(world: Path, tmp_path: Path):
    with serving([points]) as server:
        reward, looks = stage(world, server), {"held_out": 4, "looks": {"reward": judged(server)}}
    gone = [reward, made("grpo", world, **looks)]
    for number, one in enumerate(gone):
        for attempt in (one.plan, lambda one=one, number=number: run(one, tmp_path / str(number))):
            with pytest.raises(EndpointError, match="no reply in 2 tries; the last one: ConnectError"):
                attempt()
        assert not (tmp_path / str(number) / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        ({"grader": "judge"}, r"the grader 'judge' needs an endpoint; set reward\.judge\.url and reward\.judge\.model"),
        ({"grader": "weighted", "grading": {"weights": {"judge": 1.0}}}, "the grader 'judge' needs an endpoint"),
        ({"judge": {"url": "http://localhost/v1", "model": "m"}}, "a judge are given, and the grader is 'vowels'; set"),
        ({"grader": "judge", "judge": {"url": "localhost", "model": "m"}}, "url is no http or https URL with a host"),
    ],
)
@pytest.mark.parametrize("place", ["reward", "looks"])
def test_settings_that_do_not_fit_are_refused_when_they_are_read(world: Path, reward: Any, words: str, place: str):
    given = reward if place == "reward" else {"reward": {"grader": "vowels", **reward}}
    with pytest.raises(ConfigError, match=words):
        made("grpo", world, held_out=4, **{place: given})
