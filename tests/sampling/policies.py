"""A tiny policy that is trained, and what two engines that sample from it should agree on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from burnish.models.language import LanguageModel
from burnish.models.lora import Lora, add_lora
from burnish.protocols import Decoding, Request, Sample
from burnish.sampling.engine import InProcessEngine
from burnish.sampling.ray import RayEngine, RayWorkers
from tests.models.tiny import tiny_model

SHORT = Decoding(max_tokens=6)
REQUESTS = [Request(id=f"r{i}", prompt=(3 + i, 4, 5), num_samples=1 + i % 3) for i in range(7)]


def policy(*, adapter: bool = False) -> LanguageModel:
    """Its weights require gradients, or those of its adapter alone."""
    model = tiny_model().requires_grad_(True)
    if adapter:
        add_lora(model, Lora(rank=2), seed=0)
    return LanguageModel(model)


def over_ray(
    part: LanguageModel, *, max_rows: int = 128, say: Callable[[str], None] = print, **workers: Any
) -> RayEngine:
    """An engine with two workers unless told otherwise."""
    place = RayWorkers(**workers)
    return RayEngine(part, place, stop_tokens=[2], policy_version="v0", max_rows=max_rows, say=say)


def here(
    part: LanguageModel,
    version: str = "v0",
    requests: Sequence[Request] = REQUESTS,
    decoding: Decoding = SHORT,
) -> list[list[Sample]]:
    """What one engine in this process samples, with seed 3."""
    return InProcessEngine(part, stop_tokens=[2], policy_version=version).sample(requests, decoding, seed=3)


def train(part: LanguageModel) -> None:
    """Move what is trained."""
    with torch.no_grad():
        for weight in part.parameters():
            if weight.requires_grad:
                weight += 0.2 * torch.linspace(-1, 1, weight.numel()).view(weight.shape)


def close_to(found: list[list[Sample]], expected: list[list[Sample]]) -> bool:
    """The same but for the rounding of log-probs."""
    pairs = [pair for groups in zip(found, expected, strict=True) for pair in zip(*groups, strict=True)]
    near = all(max(abs(a - b) for a, b in zip(x.logps, y.logps, strict=True)) < 1e-5 for x, y in pairs)
    return near and all(replace(x, logps=()) == replace(y, logps=()) for x, y in pairs)
