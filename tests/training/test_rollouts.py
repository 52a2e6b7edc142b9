"""The rollout source with a scripted engine: what it asks, what it gives, and that it goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from burnish.batch import Tree
from burnish.errors import ConfigError, TrainingError
from burnish.example import Completion, Example, assistant
from burnish.protocols import Answer, Decoding, Grade
from burnish.sampling.endpoint import Endpoint
from burnish.sampling.remote import RemoteEngine
from burnish.sampling.scripted import ScriptedEngine
from burnish.training.groups import Group
from burnish.training.rollouts import Prompt, Rollout, Rollouts, Worth
from burnish.training.tree_json import tree_dict, tree_from

WORDS = [[5, 2], [6, 6, 2], [7, 8, 9, 2]]


class Plain:
    """A valuation that trains on the tokens as they are, and may end the run."""

    def __init__(self, most: int = 100) -> None:
        self.rollouts = 0
        self.most = most

    def valued(self, batches: Sequence[Sequence[Group]]) -> tuple[list[list[Tree]], dict[str, float]]:
        self.rollouts += 1
        return [[group.tree for group in batch] for batch in batches], {"mine": float(self.rollouts)}

    def spent(self) -> str:
        return "enough" if self.rollouts >= self.most else ""

    def state(self) -> dict[str, Any]:
        return {"rollouts": self.rollouts}

    def restore(self, state: Any) -> None:
        self.rollouts = state["rollouts"]


def by_length(answers: Sequence[Answer]) -> list[Grade]:
    return [Grade(score=float(len(c.token_ids or ()))) for _, c in answers]


def made(
    *,
    judge: Any = by_length,
    valuation: Any = None,
    batch_size: int = 2,
    batches: int = 1,
    passes: int = 1,
    **rollout: Any,
) -> Rollouts:
    engine = ScriptedEngine({(1, 10 + place): WORDS for place in range(6)}, logp=-0.5)
    return Rollouts(
        [Prompt(example=Example(id=f"p{place}"), tokens=(1, 10 + place)) for place in range(6)],
        engine,
        answer=lambda sample: Completion(messages=(assistant("x"),), token_ids=sample.tokens),
        judge=judge,
        valuation=valuation or Plain(),
        rollout=Rollout(**{"num_samples": 2, "decoding": Decoding(max_tokens=4), **rollout}),
        worth=Worth(batch_size=batch_size, batches=batches, passes=passes),
        seed=0,
    )


def asked(source: Rollouts) -> list[list[str]]:
    assert isinstance(source.engine, ScriptedEngine)
    return [[request.id for request in call] for call in source.engine.calls]


def test_tokens_are_trained_on_as_sampled_with_what_the_engine_said():
    batch = made().next({})
    assert batch is not None
    for tree in batch:
        assert [tuple(branch.tokens) for branch in tree.branches] == [(5, 2), (6, 6, 2)]
        assert [branch.weights for branch in tree.branches] == [(1.0, 1.0), (1.0, 1.0, 1.0)]
        assert [branch.token_columns["sampler_logp"] for branch in tree.branches] == [(-0.5,) * 2, (-0.5,) * 3]


def test_every_prompt_is_asked_once_before_any_is_asked_again():
    source = made()
    for _ in range(6):
        source.next({})
    names = [name.partition(":")[2] for call in asked(source) for name in call]
    assert sorted(names[:6]) == sorted(names[6:]) == [f"p{place}" for place in range(6)]
    assert names[:6] != names[6:]


def test_the_same_prompt_draws_anew_when_it_is_asked_again():
    source = made()
    for _ in range(6):
        source.next({})
    ids = [name for call in asked(source) for name in call]
    assert len(set(ids)) == len(ids)


def test_a_rollout_is_worth_its_batches_times_its_passes():
    source = made(batches=3, passes=2)
    assert (source.worth.num_prompts, source.worth.num_updates) == (6, 6)
    seen = [tuple(tree.id for tree in source.next({}) or ()) for _ in range(6)]
    assert len(asked(source)) == 1
    assert sorted(seen[:3]) == sorted(seen[3:])
    source.next({})
    assert len(asked(source)) == 2


def test_samples_carry_the_number_of_updates_behind_them():
    source = made(batches=2, passes=2)
    versions = []
    for _ in range(5):
        source.next({})
        versions.append(source.engine.policy_version)
    assert versions == ["update-0"] * 4 + ["update-4"]


@pytest.mark.parametrize("after", range(1, 8))
def test_it_goes_on_where_it_was(after: int):
    whole, broken = made(batches=2, passes=2), made(batches=2, passes=2)
    expected = [whole.next({}) for _ in range(10)]
    for _ in range(after):
        broken.next({})
    again = made(batches=2, passes=2)
    again.restore(json.loads(json.dumps(broken.state())))
    assert [again.next({}) for _ in range(10 - after)] == expected[after:]
    assert again.facts == whole.facts
    assert again.engine.policy_version == whole.engine.policy_version == "update-8"


def test_trees_come_back_to_the_bit():
    tree = (made().next({}) or ())[0]
    assert tree_from(json.loads(json.dumps(tree_dict(tree)))) == tree


def test_equal_groups_are_left_out_and_others_asked_in_their_place():
    def odd(answers: Sequence[Answer]) -> list[Grade]:
        """Tells the answers to p1, p3 and p5 apart."""
        return [Grade(score=float(len(c.token_ids or ())) if int(e.id[1]) % 2 else 0.0) for e, c in answers]

    source = made(judge=odd, batch_size=3, drop_equal=True, most_draws=9)
    batch = source.next({}) or ()
    assert [tree.id.partition(":")[2] in {"p1", "p3", "p5"} for tree in batch] == [True] * 3
    assert 0 < source.facts["groups_equal"] < 1
    assert source.facts["groups_trained"] == 3


def test_a_rollout_without_any_difference_stops_with_what_to_change():
    source = made(judge=lambda answers: [Grade(score=1.0) for _ in answers], drop_equal=True, most_draws=3)
    with pytest.raises(TrainingError, match="num_samples"):
        source.next({})
    assert len(asked(source)) == 3


@pytest.mark.parametrize(
    ("judge", "words"),
    [
        (lambda answers: [Grade(score=1.0)], "1 grades for 4 answers"),
        (lambda answers: [Grade(score=float("nan")) for _ in answers], "as nan"),
        (lambda answers: [Grade(score=float("inf")) for _ in answers], "as inf"),
    ],
)
def test_nothing_trains_on_a_wrong_number(judge: Any, words: str):
    with pytest.raises(TrainingError, match=words):
        made(judge=judge).next({})


def test_a_method_may_end_the_run_and_says_why():
    source = made(valuation=Plain(most=2))
    assert [source.next({}) is None for _ in range(2)] == [False, True]
    assert source.ended == "enough"


def test_figures_are_of_the_whole_rollout():
    source = made(batches=3)
    source.next({})
    assert source.facts["reward"] == source.facts["answer_length"] == 2.5
    assert source.facts["reward_spread"] == source.facts["reward_spread_in_group"] == 0.5
    assert source.facts["answers"] == 12
    assert source.facts["answers_cut"] == 0
    assert source.facts["mine"] == 1


def test_cut_answers_are_counted():
    source = made(decoding=Decoding(max_tokens=2))
    source.next({})
    assert source.facts["answers_cut"] == 0.5


class Picky(Plain):
    """A valuation that makes nothing of the first rollouts."""

    def __init__(self, silent: int) -> None:
        super().__init__()
        self.silent = silent

    def valued(self, batches: Sequence[Sequence[Group]]) -> tuple[list[list[Tree]], dict[str, float]]:
        trees, figures = super().valued(batches)
        return ([] if self.rollouts <= self.silent else trees), figures


def test_a_method_that_makes_nothing_of_a_rollout_gets_a_few_others():
    source = made(valuation=Picky(2), most_draws=3)
    assert source.next({})
    assert len(asked(source)) == 3
    with pytest.raises(TrainingError, match="3 rollouts up to number 2: all answers to each of 2 prompts got the same"):
        made(valuation=Picky(3), most_draws=3).next({})


def test_a_text_engine_is_refused_by_name():
    source = made()
    source.engine = RemoteEngine(Endpoint(url="http://localhost:9/v1", model="m"))  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="RL needs a token engine, and the endpoint http://localhost:9/v1 is a text"):
        source.next({})


def test_failures_are_counted_over_all_answers_and_other_parts_over_those_that_have_them():
    def half(answers: Sequence[Answer]) -> list[Grade]:
        parts: list[dict[str, float]] = [{"failed": 1.0}, {"points": 4.0}, {"points": 2.0}, {}]
        return [Grade(score=float(place), parts=part) for place, part in zip(range(4), parts, strict=True)]

    source = made(judge=half)
    source.next({})
    assert (source.facts["reward_failed"], source.facts["reward_points"]) == (0.25, 3.0)
    plain = made()
    plain.next({})
    assert not any(name.startswith("reward_failed") for name in plain.facts)
