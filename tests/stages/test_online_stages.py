"""Online training on a tiny chat model: every verb, a kill in the middle, looks, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.config import load
from burnish.errors import ConfigError, DataError, GraderError, TrainingError
from burnish.example import Completion, Example, read_jsonl
from burnish.graders import registry
from burnish.models.load import load_tokenizer
from burnish.protocols import Grade
from burnish.stages.registry import stage_class
from burnish.text.template import ChatText
from tests.stages.online_runs import ADAPTER, Vowels, made, write_world
from tests.stages.runs import digest, lines, run, run_killed, weights

VERBS = ("reinforce", "rloo", "grpo", "ppo", "online-dpo")


class Broken:
    """Fails on every answer with a letter in it."""

    def grade(self, example: Example, completion: Completion) -> Grade:
        if completion.text:
            raise RuntimeError("no such gem")
        return Grade(score=1.0)


class Flat:
    """Finds everything equally good."""

    def grade(self, example: Example, completion: Completion) -> Grade:
        return Grade(score=0.5)


@pytest.fixture(autouse=True)
def graders(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {
        "vowels": registry.Entry(make=lambda _: Vowels(), code=(Vowels,)),
        "broken": registry.Entry(make=lambda _: Broken(), code=(Broken,)),
        "flat": registry.Entry(make=lambda _: Flat(), code=(Flat,)),
    }
    monkeypatch.setattr(registry, "GRADERS", {**registry.GRADERS, **more})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("online"))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_trains(world: Path, tmp_path: Path, verb: str):
    out = run(made(verb, world), tmp_path / "run")
    same = run(made(verb, world, train={"optimizer": {"learning_rate": 0.0}}), tmp_path / "same")
    moved = max(float((weights(out)[name] - value).abs().max()) for name, value in weights(same).items())
    rows = lines(out)
    assert moved > 1e-3
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(0 < row["reward"] < 1 and 0 < row["answer_length"] <= 8 for row in rows)
    assert rows[0]["reward_letters"] > 0


@pytest.mark.parametrize(("verb", "after"), [(verb, 2) for verb in VERBS] + [("ppo", 1)])
def test_a_killed_run_ends_with_the_same_bytes(world: Path, tmp_path: Path, verb: str, after: int):
    """PPO within its first rollout of four updates; the answers of all rollouts, and who gave them, are the same."""
    stage = made(verb, world, adapter=ADAPTER, steps=5 if verb == "ppo" else 3, save_answers_every=1)
    whole = run(stage, tmp_path / "whole")
    run_killed(stage, tmp_path / "broken", after=after)
    run(stage, tmp_path / "broken")
    assert digest(tmp_path / "broken") == digest(whole)
    versions = [
        {completion.policy_version for example in read_jsonl(path) for completion in example.completions}
        for path in sorted((whole / "rollouts").iterdir())
    ]
    assert versions == [{"update-0"}, {"update-4"}] if verb == "ppo" else [{f"update-{n}"} for n in range(3)]


def test_a_ppo_run_killed_between_the_passes_of_a_rollout_hears_no_new_answers(world: Path, tmp_path: Path):
    """Updates 1 to 4 train on rollout 0; the rest of them after a kill come from the checkpoint."""
    run_killed(made("ppo", world, steps=5), tmp_path / "run", after=2)
    (tmp_path / "run" / "rollouts" / "000000.jsonl").unlink()
    run(made("ppo", world, steps=5), tmp_path / "run")
    assert not (tmp_path / "run" / "rollouts" / "000000.jsonl").exists()
    assert [row["rollout"] for row in lines(tmp_path / "run")] == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("adapter", [None, ADAPTER], ids=["whole", "adapter"])
@pytest.mark.parametrize("verb", ["grpo", "ppo"])
def test_at_rate_0_the_ratio_is_exactly_1_and_the_kl_0(world: Path, tmp_path: Path, verb: str, adapter: Any):
    """At another temperature than 1, which the trainer's log-probs have to know of as well."""
    rollout = {"batches": 2, "passes": 2, "decoding": {"temperature": 0.7}}
    changes = {"rollout": rollout, "train": {"optimizer": {"learning_rate": 0.0}}}
    out = run(made(verb, world, adapter=adapter, steps=8, **changes), tmp_path / "run")
    for row in lines(out):
        assert row["ratio_mean"] == 1.0
        assert row["ratio_max"] == 1.0
        assert row["kl"] == 0.0
        assert row["sampler_gap_max"] < 1e-4


def test_the_kl_is_measured_from_the_start_and_grows(world: Path, tmp_path: Path):
    rows = lines(run(made("grpo", world, steps=6), tmp_path / "run"))
    assert rows[0]["kl"] == 0.0
    assert rows[-1]["kl"] > 0.01


def test_answers_depend_on_the_seed_alone_and_not_on_the_budget(world: Path, tmp_path: Path):
    runs = {
        name: run(made("grpo", world, steps=1, **changes), tmp_path / name)
        for name, changes in {
            "plain": {},
            "one by one": {"train": {"token_budget": 64, "micro_batch_size": 1}},
            "few rows": {"rollout": {"max_rows": 2}},
            "seed": {"seed": 1},
        }.items()
    }
    texts = {
        name: [[c.token_ids for c in one.completions] for one in read_jsonl(out / "rollouts" / "000000.jsonl")]
        for name, out in runs.items()
    }
    assert texts["plain"] == texts["one by one"] == texts["few rows"] != texts["seed"]
    for name in ("one by one", "few rows"):
        for key, value in weights(runs["plain"]).items():
            assert float((weights(runs[name])[key] - value).abs().max()) < 1e-4


def test_what_is_trained_on_is_what_was_sampled_and_its_own_text_was_judged(world: Path, tmp_path: Path):
    out = run(made("grpo", world, steps=1), tmp_path / "run")
    text = ChatText(load_tokenizer(str(world / "model")))
    for example in read_jsonl(out / "rollouts" / "000000.jsonl"):
        for completion in example.completions:
            assert completion.token_ids is not None
            assert completion.text == text.answer(completion.token_ids).content
            assert completion.score == Vowels().grade(example, completion).score
            assert completion.policy_version == "update-0"


@pytest.mark.parametrize("verb", ["reinforce", "grpo", "ppo"])
def test_the_reward_rises(world: Path, tmp_path: Path, verb: str):
    changes = {
        "steps": 16,
        "rollout": {"num_samples": 8} | ({"batches": 1, "passes": 1} if verb == "ppo" else {}),
        "train": {"batch_size": 6, "checkpoint_every": 0, "optimizer": {"learning_rate": 3e-2}},
        "kl": {"weight": 0.0},
    }
    rows = lines(run(made(verb, world, **changes), tmp_path / "run"))
    first, last = (sum(row["reward"] for row in part) / 3 for part in (rows[:3], rows[-3:]))
    assert last > first + 0.2


def test_looks_are_drawn_alike_and_the_best_weights_are_kept(world: Path, tmp_path: Path):
    changes = {"held_out": 4, "steps": 6, "train": {"evaluate_every": 2}}
    best = run(made("grpo", world, looks={"keep": "best"}, **changes), tmp_path / "best")
    last = run(made("grpo", world, **changes), tmp_path / "last")
    looks = [row["held_out_score"] for row in lines(best) if "held_out_score" in row]
    assert looks == [row["held_out_score"] for row in lines(last) if "held_out_score" in row]
    assert len(looks) == 3
    kept = json.loads((best / "run.json").read_text())["kept"]
    assert kept == {"update": 2 * (looks.index(max(looks)) + 1), "held_out_score": max(looks)}
    at_best = run(made("grpo", world, **{**changes, "steps": kept["update"]}), tmp_path / "short")
    for name, value in weights(at_best).items():
        assert float((weights(best)[name] - value).abs().max()) == 0.0
    assert not (best / "checkpoints").exists()


def test_a_killed_run_keeps_the_same_best_weights(world: Path, tmp_path: Path):
    changes = {"held_out": 4, "steps": 6, "looks": {"keep": "best"}, "train": {"evaluate_every": 1}}
    whole = run(made("grpo", world, **changes), tmp_path / "whole")
    run_killed(made("grpo", world, **changes), tmp_path / "broken", after=4)
    run(made("grpo", world, **changes), tmp_path / "broken")
    assert digest(tmp_path / "broken") == digest(whole)


def test_a_run_ends_when_looks_stop_rising(world: Path, tmp_path: Path):
    flat = {"reward": {"grader": "flat"}, "patience": 2}
    out = run(made("grpo", world, held_out=4, steps=9, looks=flat, train={"evaluate_every": 1}), tmp_path / "run")
    assert len(lines(out)) == 3  # the first look is the best, and two more are not better


def test_the_looks_grader_is_not_the_reward(world: Path, tmp_path: Path):
    looks = {"reward": {"grader": "flat"}}
    out = run(made("grpo", world, held_out=4, steps=2, looks=looks, train={"evaluate_every": 1}), tmp_path / "run")
    assert all(row["held_out_score"] == 0.5 != row["reward"] for row in lines(out))


def test_the_kl_budget_ends_the_run_and_says_so(world: Path, tmp_path: Path):
    said: list[str] = []
    stage = made("grpo", world, steps=40, kl={"budget": 2.0}, train={"optimizer": {"learning_rate": 2e-3}})
    out = run(stage, tmp_path / "run", said)
    rows = lines(out)
    assert len(rows) < 40
    assert rows[-1]["kl"] > 0
    assert all(row["kl"] <= 2.0 for row in rows)  # nothing was trained on a rollout above it
    assert any("above the budget" in line for line in said)
    assert "budget" in json.loads((out / "run.json").read_text())["stopped_early"]


def test_a_price_on_the_kl_keeps_the_policy_closer(world: Path, tmp_path: Path):
    train = {"batch_size": 6, "checkpoint_every": 0, "optimizer": {"learning_rate": 1e-3}}
    kl = {}
    for weight in (0.0, 30.0):
        stage = made("rloo", world, steps=14, train=train, kl={"weight": weight})
        kl[weight] = sum(row["kl"] for row in lines(run(stage, tmp_path / str(weight)))[-5:]) / 5
    assert kl[30.0] < kl[0.0] / 2


def test_the_adaptive_weight_follows_the_kl(world: Path, tmp_path: Path):
    kl = {"kind": "adaptive", "weight": 0.1, "target": 1e-3, "horizon": 60}
    rows = lines(run(made("rloo", world, steps=6, kl=kl), tmp_path / "run"))
    assert rows[1]["kl_weight"] < rows[0]["kl_weight"] == 0.1  # the KL of the first rollout is 0
    assert rows[-1]["kl_weight"] > rows[-2]["kl_weight"]


def test_groups_without_variance_are_left_out_and_others_asked(world: Path, tmp_path: Path):
    out = run(made("grpo", world, steps=2, rollout={"drop_equal": True}), tmp_path / "run")
    assert all(row["groups_trained"] == 2 for row in lines(out))
    flat = made("grpo", world, reward={"grader": "flat"}, rollout={"drop_equal": True})
    with pytest.raises(TrainingError, match="the same score"):
        run(flat, tmp_path / "flat")


def test_a_grader_that_fails_stops_the_run_or_counts(world: Path, tmp_path: Path):
    with pytest.raises(GraderError, match="no such gem"):
        run(made("grpo", world, reward={"grader": "broken"}), tmp_path / "stop")
    weights = {"broken": 1.0, "vowels": 2.0}
    zero = {"grader": "weighted", "grading": {"weights": weights, "on_failure": "zero"}}
    rows = lines(run(made("grpo", world, reward=zero), tmp_path / "zero"))
    assert all(row["reward_failed"] > 0 for row in rows)
    assert all(row["reward"] == pytest.approx(row["reward_broken"] + 2 * row["reward_vowels"]) for row in rows)


@pytest.fixture(scope="module")
def scorer(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {"model": str(world / "model"), "data": str(world / "pairs.jsonl"), "steps": 3, "heads": 2}
    train = {"batch_size": 4, "precision": "fp32", "optimizer": {"learning_rate": 1e-2}}
    return run(load(stage_class("reward"), settings | {"train": train}), tmp_path_factory.mktemp("reward") / "run")


def test_a_reward_model_and_an_ensemble_reward(world: Path, tmp_path: Path, scorer: Path):
    one = {"grader": "model", "models": [str(scorer / "model" / "head-0")]}
    both = {"grader": "model", "models": [str(scorer)], "combination": {"kind": "minimum"}}
    alone = lines(run(made("grpo", world, reward=one, steps=1), tmp_path / "one"))[0]
    stern = lines(run(made("grpo", world, reward=both, steps=1), tmp_path / "both"))[0]
    assert stern["reward_head-0"] == pytest.approx(alone["reward"], abs=1e-5)
    assert stern["reward"] <= min(stern["reward_head-0"], stern["reward_head-1"])


def test_a_critic_may_start_from_a_reward_model_or_share_the_trunk(world: Path, tmp_path: Path, scorer: Path):
    still = {"train": {"optimizer": {"learning_rate": 0.0}}, "steps": 1}
    plain = lines(run(made("ppo", world, **still), tmp_path / "plain"))[0]
    head = str(scorer / "model" / "head-0")
    learned = lines(run(made("ppo", world, critic={"model": head}, **still), tmp_path / "learned"))[0]
    shared = lines(run(made("ppo", world, critic={"shared": True}), tmp_path / "shared"))
    assert plain["value"] == 0.0 != learned["value"]
    assert shared[0]["value"] == 0.0
    assert "learning_rate_critic" not in shared[0]
    assert "learning_rate_critic" in plain


@pytest.mark.parametrize(
    ("verb", "changes", "words"),
    [
        ("grpo", {"reward": {"grader": "vowel"}}, "did you mean 'vowels'"),
        ("grpo", {"reward": {"grader": "model"}}, "reward.models"),
        ("grpo", {"reward": {"models": ["somewhere"]}}, "set reward.grader to model"),
        ("grpo", {"reward": {"grading": {"weights": {"vowels": 1.0}}}}, "only 'weighted' reads it"),
        ("grpo", {"rollout": {"num_samples": 1}}, "num_samples"),
        ("grpo", {"rollout": {"decoding": {"temperature": 0.0}}}, "temperature"),
        ("grpo", {"looks": {"keep": "best"}}, "held_out"),
        ("grpo", {"reference": None, "kl": {"budget": 1.0}}, "reference"),
        ("grpo", {"text": {"longer": "windows"}}, "text.longer"),
        ("reinforce", {"rollout": {"passes": 2}}, "passes"),
        ("online-dpo", {"rollout": {"num_samples": 1}}, "two answers"),
        ("ppo", {"critic": {"shared": True, "model": "other"}}, "shared"),
        ("grpo", {"kl": {"kind": "adaptive", "horizon": 5}}, "horizon"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(world: Path, verb: str, changes: Any, words: str):
    with pytest.raises(ConfigError, match=words):
        made(verb, world, **changes).plan()


def test_prompts_that_are_too_long_are_left_out_and_counted(world: Path, tmp_path: Path):
    said: list[str] = []
    lengths = sorted(
        len(ChatText(load_tokenizer(str(world / "model"))).prompt(example))
        for example in read_prompts(world / "prompts.jsonl")
    )
    room = {"max_tokens": lengths[-1] - 1 + 8}
    out = run(made("grpo", world, text=room, steps=1), tmp_path / "run", said)
    count = sum(length == lengths[-1] for length in lengths)
    found = json.loads((out / "run.json").read_text())["data"]
    assert len(found["truncation"]["too_long"]) == count
    assert found["prompts"] == 12 - count
    assert any("too long" in line for line in said)
    cut = run(made("grpo", world, text={**room, "longer": "cut_prompt"}, steps=1), tmp_path / "cut")
    assert json.loads((cut / "run.json").read_text())["data"]["prompts"] == 12
    with pytest.raises(DataError, match=r"text\.max_tokens"):
        run(made("grpo", world, text={"max_tokens": 10}), tmp_path / "none")


def read_prompts(path: Path) -> list[Example]:
    from burnish.data.read import DataSettings, read

    return list(read(DataSettings(path=str(path))).examples)


def test_fewer_prompts_than_a_rollout_asks_are_refused(world: Path, tmp_path: Path):
    with pytest.raises(DataError, match="a rollout asks 26 prompts"):
        run(made("grpo", world, train={"batch_size": 26}), tmp_path / "run")
