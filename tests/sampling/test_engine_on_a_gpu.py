"""The engine on a GPU: on a device of shapes alone, which every machine has, and on a GPU if there is one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from burnish.batch import Branch, Tree, pack
from burnish.models.language import LanguageModel
from burnish.numerics import TOLERANCE
from burnish.protocols import Decoding, Request, Sample
from burnish.sampling import engine
from burnish.sampling.engine import InProcessEngine
from tests.models.elsewhere import ELSEWHERE, language_model_there
from tests.models.tiny import tiny_model

GPU = torch.device("cuda")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
REQUESTS = [Request(id=f"r{n}", prompt=tuple(range(3, 6 + n)), num_samples=1 + n % 3) for n in range(5)]
FAMILIES = ["llama", "qwen2-sliding", "gemma2", "gpt2"]


class Told(list[float]):
    """Numbers as a tensor would tell them."""

    def tolist(self) -> list[float]:
        """The numbers."""
        return list(self)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("decoding", [Decoding(max_tokens=7), Decoding(max_tokens=7, top_p=0.9)], ids=["all", "top-p"])
def test_a_step_asks_the_gpu_for_nothing_but_the_tokens_it_drew(name: str, decoding: Decoding, monkeypatch):
    """Prefill, every layer of every step, the draw itself, rows that leave: what asked for more would fail."""
    draws: list[int] = []
    draw = engine.choose

    def choose(logits: Tensor, uniform: Tensor, decoding: Decoding) -> tuple[Told, Told]:
        assert logits.device == uniform.device == ELSEWHERE
        drawn, logps = draw(logits, uniform, decoding)
        assert drawn.device == logps.device == ELSEWHERE
        draws.append(len(logits))
        return Told(2 if (row + len(draws)) % 4 == 0 else 5 for row in range(len(logits))), Told([-1.0] * len(logits))

    monkeypatch.setattr(engine, "choose", choose)
    part = language_model_there(name)
    sampler = InProcessEngine(part, stop_tokens=[2], policy_version="v1", max_rows=4)
    found = sampler.sample(REQUESTS, decoding, seed=0)
    assert [len(group) for group in found] == [request.num_samples for request in REQUESTS]
    assert len({len(sample.tokens) for group in found for sample in group}) > 2, "rows must have left at other times"
    assert len(draws) > decoding.max_tokens


def test_what_leaves_that_device_or_asks_it_for_a_number_fails():
    there = torch.zeros(3, device=ELSEWHERE)
    for asks in (lambda: there.cpu(), lambda: there.sum().item(), lambda: there.tolist()):
        with pytest.raises((NotImplementedError, RuntimeError)):
            asks()
    with pytest.raises(RuntimeError, match="not on the expected device"):
        there + torch.zeros(3)


# On a real one --------------------------------------------------------------------------------------------------------


def sampled(part: LanguageModel, decoding: Decoding) -> list[list[Sample]]:
    """Of every request, with seed 0."""
    return InProcessEngine(part, stop_tokens=[2], policy_version="v1", max_rows=4).sample(REQUESTS, decoding, seed=0)


def trainer_gap(part: LanguageModel, found: Sequence[Sequence[Sample]], device: torch.device) -> Tensor:
    """How far the trainer's log-prob of each sampled token is from the sampler's."""
    trees = [
        Tree(
            id=request.id,
            prompt=request.prompt,
            branches=tuple(Branch(tokens=s.tokens, weights=[1.0] * len(s.tokens)) for s in group),
        )
        for request, group in zip(REQUESTS, found, strict=True)
    ]
    with torch.no_grad():
        logp = part(pack(trees).to(device), frozenset({"logp"}))["logp"].cpu()
    return (logp - torch.tensor([value for group in found for sample in group for value in sample.logps])).abs()


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("name", FAMILIES)
def test_on_a_gpu_greedy_tokens_are_those_of_the_cpu(name: str):
    greedy = Decoding(temperature=0, max_tokens=12)
    here = sampled(LanguageModel(tiny_model(name)), greedy)
    assert sampled(LanguageModel(tiny_model(name)).to(GPU), greedy) == here


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("name", FAMILIES)
def test_on_a_gpu_sampled_log_probs_are_those_of_the_trainer(name: str):
    part = LanguageModel(tiny_model(name)).to(GPU)
    for decoding in (Decoding(max_tokens=10), Decoding(max_tokens=10, top_k=90)):
        gap = trainer_gap(part, sampled(part, decoding), GPU)
        assert float(gap.max()) < (10 * TOLERANCE[torch.float32] if not decoding.top_k else 0.5)
