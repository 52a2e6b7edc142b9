"""Sampling with prompts, prefixes and bottlenecks: log-probs are the model's, and virtual tokens take room."""

from __future__ import annotations

import pytest
import torch

from burnish.batch import Branch, Tree, pack
from burnish.errors import ModelError
from burnish.models.adapters import adapter_off
from burnish.models.language import LanguageModel
from burnish.protocols import Decoding, Request
from burnish.sampling.engine import InProcessEngine
from burnish.sampling.mould import Mould, poured
from tests.models.attached_models import LOGP, with_adapter

REQUESTS = [
    Request(id="a", prompt=(5, 9, 13), num_samples=3),
    Request(id="b", prompt=(40, 3), num_samples=2),
    Request(id="c", prompt=(7, 7, 61, 8, 30), num_samples=1),
]


def engine(part: LanguageModel, **changes: object) -> InProcessEngine:
    return InProcessEngine(part, stop_tokens=(2,), policy_version="v", **{"max_rows": 3, **changes})


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
@pytest.mark.parametrize("kind", ["prompt", "prefix", "prefix-network", "bottleneck"])
@torch.no_grad()
def test_log_probs_are_those_of_the_model_with_its_adapter(kind: str, name: str):
    part = LanguageModel(with_adapter(kind, name))
    found = engine(part).sample(REQUESTS, Decoding(max_tokens=7), seed=1)
    for request, samples in zip(REQUESTS, found, strict=True):
        branches = tuple(Branch(tokens=one.tokens, weights=[1.0] * len(one.tokens)) for one in samples)
        logp = part(pack([Tree(id=request.id, prompt=request.prompt, branches=branches)]), LOGP)["logp"]
        sampled = torch.tensor([value for one in samples for value in one.logps])
        assert (logp - sampled).abs().max() <= 1e-4


def test_off_they_are_those_of_the_start():
    part = LanguageModel(with_adapter("prompt"))
    decoding = Decoding(max_tokens=6)
    on = engine(part).sample(REQUESTS, decoding, seed=1)
    with adapter_off(part.model):
        off = engine(part).sample(REQUESTS, decoding, seed=1)
    with torch.no_grad():
        plain = LanguageModel(with_adapter("prompt"))
        del plain.model.front
    assert off == engine(plain).sample(REQUESTS, decoding, seed=1)
    assert on != off


def test_virtual_tokens_take_room():
    part = LanguageModel(with_adapter("prefix"))
    request = [Request(id="long", prompt=tuple(range(3, 43)))]
    assert engine(part).sample(request, Decoding(max_tokens=21), seed=0)
    with pytest.raises(ModelError, match="long"):
        engine(part).sample(request, Decoding(max_tokens=22), seed=0)  # 3 + 40 + 22 of 64


@pytest.mark.parametrize("kind", ["prompt", "prefix", "bottleneck"])
@torch.no_grad()
def test_another_process_has_the_same_model(kind: str):
    part = LanguageModel(with_adapter(kind))
    mould = Mould(part)
    copy = poured(mould.pickled, {**mould.fixed(), **mould.changing()}, torch.device("cpu")).module
    assert isinstance(copy, LanguageModel)
    decoding = Decoding(max_tokens=5)
    assert engine(copy).sample(REQUESTS, decoding, seed=3) == engine(part).sample(REQUESTS, decoding, seed=3)
