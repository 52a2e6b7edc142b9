"""Targets of every kind of model: their log-probs are the objective's, draws follow them, and so do estimates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from burnish.config import load
from burnish.objectives.objective import Objective
from burnish.stages.classify import ClassifyStage
from burnish.stages.registry import stage_class
from burnish.stages.seq2seq import Seq2seqStage
from burnish.training.fisher import diagonal_fisher
from burnish.training.targets import target_logps, with_drawn_targets
from tests.stages.specialist_world import write_world

CASES = {
    "classify": ("bert", "texts"),
    "tag": ("llama", "words"),
    "answer-spans": ("bert", "questions"),
    "seq2seq": ("t5", "pairs"),
}


class Known(NamedTuple):
    """A part, its objective, and items of its kind."""

    part: Any
    goal: Objective
    items: Sequence[Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


def known(world: Path, verb: str) -> Known:
    family, rows = CASES[verb]
    more = {"stride": 8} if verb == "answer-spans" else {}
    settings = {"model": str(world / family), "data": str(world / f"{rows}.jsonl"), "max_tokens": 32, **more}
    made: ClassifyStage | Seq2seqStage = load(stage_class(verb), settings)
    labels = made._labels(lambda line: None)
    model, _ = made.load(labels)
    model.requires_grad_(True)
    with torch.no_grad():  # a fresh head is so small that all classes are alike
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
        if verb == "answer-spans":  # so many places that each is rare otherwise
            model.qa_outputs.weight *= 6
    return Known(part=made.part(model), goal=made.goal(), items=labels.train[:3])


def batch_of(items: Sequence[Any]) -> Any:
    return type(items[0]).collate(items)


@pytest.mark.parametrize("verb", CASES)
def test_their_log_probs_are_what_the_objective_sums(verb: str, world: Path):
    part, goal, items = known(world, verb)
    batch = batch_of(items)
    with torch.no_grad():
        found = target_logps(part, batch)
        nll = goal.loss(part(batch, frozenset(goal.reads)), batch, {}).terms["nll"]
    halves = 2 if verb == "answer-spans" else 1  # that loss is the mean of two log-probs
    assert float(found.sum()) == pytest.approx(-halves * float(nll), rel=1e-5)
    assert len(found) == halves * goal.weights(batch)["nll"]


def targets_of(batch: Any, verb: str) -> Tensor:
    return torch.cat([batch.first_B, batch.last_B]) if verb == "answer-spans" else batch.target_N


@pytest.mark.parametrize("verb", CASES)
def test_draws_follow_the_model_and_are_a_function_of_the_seed(verb: str, world: Path):
    part, _, items = known(world, verb)
    batch, draws = batch_of(items[:2]), 400
    many = torch.stack([targets_of(with_drawn_targets(part, batch, seed=seed), verb) for seed in range(draws)])
    assert torch.equal(targets_of(with_drawn_targets(part, batch, seed=7), verb), many[7])
    commonest = many.mode(0).values
    set_to = {"target_N": commonest}
    if verb == "answer-spans":
        set_to = {"first_B": commonest[:2], "last_B": commonest[2:]}
        lengths = torch.tensor([len(item.tokens) for item in items[:2]] * 2)
        assert bool((many < lengths).all()), "padding was drawn"
    fixed = type(batch)(**{**vars(batch), **set_to})
    with torch.no_grad():
        expected = target_logps(part, fixed).exp()
    shares = (many == commonest).double().mean(0)
    assert float((shares - expected).abs().max()) < 5 * 0.5 / draws**0.5
    assert float(shares.mean()) < 0.98, "nothing is left to chance"


@pytest.mark.parametrize("verb", CASES)
def test_the_estimate_by_the_data_is_the_square_of_the_gradient_of_each_example(verb: str, world: Path):
    part, _, items = known(world, verb)
    found = diagonal_fisher(part, items, source="data", seed=0, device=torch.device("cpu"))
    named = dict(part.model.named_parameters())
    expected = {name: torch.zeros_like(value) for name, value in named.items()}
    targets = 0
    for item in items:
        logp = target_logps(part, batch_of([item]))
        targets += len(logp)
        gradients = torch.autograd.grad(logp.sum(), list(named.values()), allow_unused=True)
        for name, gradient in zip(named, gradients, strict=True):
            expected[name] += 0 if gradient is None else gradient**2
    assert found.num_targets == targets
    for name, value in found.values.items():
        torch.testing.assert_close(value, expected[name].detach() / targets, rtol=1e-4, atol=1e-9)


def test_the_sampled_estimate_of_a_linear_softmax_head_is_the_known_one(world: Path):
    """F of row c of W is p_c (1 - p_c) h^2, and of its bias p_c (1 - p_c)."""
    part, _, items = known(world, "classify")
    rounds = 300
    values = [
        diagonal_fisher(part, items[:1], source="sampled", seed=seed, device=torch.device("cpu")).values[
            "classifier.bias"
        ]
        for seed in range(rounds)
    ]
    with torch.no_grad():
        p = part(batch_of(items[:1]), frozenset({"class_logps"}))["class_logps"][0].exp()
    found = torch.stack(values).mean(0)
    torch.testing.assert_close(found, p * (1 - p), rtol=0.0, atol=5 * 0.5 / rounds**0.5)
    assert float((p * (1 - p)).max()) > 0.05
