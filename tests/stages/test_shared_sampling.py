"""Sampling by several ranks: who samples what, in which order it comes back, and who grades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from burnish.example import Completion, Example, assistant
from burnish.protocols import Answer, Decoding, Grade, Request, Sample
from burnish.stages.shared_sampling import SharedEngine, WholeCopy, graded_by_first
from tests.training.toys import Circle, on_ranks

REQUESTS = [Request(id=f"{number}", prompt=(number,), num_samples=2) for number in range(5)]


class Echo:
    """Answers every request with its own prompt, and remembers what it was asked."""

    def __init__(self) -> None:
        self.policy_version = ""
        self.asked: list[str] = []

    def sample(self, requests: Sequence[Request], decoding: Decoding, *, seed: int) -> list[list[Sample]]:
        self.asked += [request.id for request in requests]
        return [
            [
                Sample(tokens=(*request.prompt, number), logps=(0.0, 0.0), finish="stop", policy_version="")
                for number in range(request.num_samples)
            ]
            for request in requests
        ]


class Telling:
    """Ranks that are threads and gather by a shared table."""

    def __init__(self, ranks: Any) -> None:
        self.index, self.count, self.circle = ranks.index, ranks.count, ranks.circle
        self.leads = ranks.index == 0

    def gathered(self, mine: Any) -> list[Any]:
        found: list[Any] = self.circle.gather(self.index, mine)
        return found

    def told(self, word: Any = None) -> Any:
        return self.gathered(word)[0]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("all_sample", [True, False])
def test_every_rank_has_the_rollout_of_one(count: int, all_sample: bool):
    samplers = count if all_sample else 1

    def work(ranks: Any) -> tuple[Any, list[str]]:
        engine = Echo() if ranks.index < samplers else None
        shared = SharedEngine(engine, samplers=samplers, ranks=Telling(ranks))
        return shared.sample(REQUESTS, Decoding(), seed=0), engine.asked if engine else []

    expected = Echo().sample(REQUESTS, Decoding(), seed=0)
    found = on_ranks(count, work)
    assert all(groups == expected for groups, _ in found)
    assert sorted(id_ for _, asked in found for id_ in asked) == [request.id for request in REQUESTS]
    assert [len(asked) for _, asked in found][:1] == [-(-len(REQUESTS) // samplers)]


def test_the_weights_are_fetched_once_for_each_version():
    fetched: list[str] = []
    engine = Echo()
    shared = SharedEngine(engine, samplers=1, ranks=alone(), refresh=lambda: fetched.append(shared.policy_version))
    for version in ("a", "a", "b", "b", "c"):
        shared.policy_version = version
        shared.sample(REQUESTS, Decoding(), seed=0)
        assert engine.policy_version == version
    assert fetched == ["a", "b", "c"]


def alone() -> Any:
    class One:
        index, count, circle = 0, 1, Circle(1)

    return Telling(One())


def test_a_copy_follows_what_trains():
    module, copy = nn.Linear(2, 2), nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    whole = WholeCopy(module, copy, torch.bfloat16)
    whole.refresh()
    assert torch.equal(copy.weight, module.weight.bfloat16().float())
    assert torch.equal(copy.bias, module.bias.bfloat16().float())
    with torch.no_grad():
        module.weight += 1
        module.bias += 1
    whole.refresh()
    assert torch.equal(copy.weight, module.weight.bfloat16().float())
    assert not torch.equal(copy.bias, module.bias.bfloat16().float()), "what is frozen is not sent again"
    WholeCopy(module, None, torch.float32).refresh()


def test_one_rank_grades_and_all_hear():
    example = Example(id="x", prompt=(), completions=())
    answers: list[Answer] = [(example, Completion(messages=(assistant("yes"),), finish="stop"))]

    def work(ranks: Any) -> tuple[Any, int]:
        made = 0

        def make() -> Any:
            nonlocal made
            made += 1
            return lambda answers: [Grade(score=float(len(answers)))]

        return graded_by_first(make, Telling(ranks))(answers), made

    found = on_ranks(3, work)
    assert [grades for grades, _ in found] == [[Grade(score=1.0)]] * 3
    assert [made for _, made in found] == [1, 0, 0]
