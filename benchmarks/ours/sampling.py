"""Our side of sampling: the engine in this process, with its defaults. No token ends an answer, so all are as long."""

from __future__ import annotations

import time
from typing import Any

import torch

from benchmarks.case import Request
from benchmarks.flops import wait
from benchmarks.works import WORKS
from burnish.models.language import LanguageModel, language_model
from burnish.models.load import load_model
from burnish.numerics import cast_weights
from burnish.protocols import Decoding, Sample
from burnish.protocols import Request as Asked
from burnish.sampling.engine import InProcessEngine


def result(request: Request) -> dict[str, Any]:
    """Answers per second, or the greedy token ids in float32."""
    work = WORKS[request.work]
    part = language_model(load_model(request.model)).to(request.device)
    cast_weights(part, torch.bfloat16 if request.bf16 else torch.float32)
    engine = InProcessEngine(part, stop_tokens=(), policy_version="start")
    case = request.case
    if request.mode == "agree":
        rows = [Asked(id=str(place), prompt=row.prompt) for place, row in enumerate(case.compared)]
        groups = engine.sample(rows, Decoding(temperature=0.0, max_tokens=work.length), seed=0)
        return {"tokens": [list(sample.tokens) for group in groups for sample in group]}
    rows = [Asked(id=str(place), prompt=row.prompt, num_samples=work.batch) for place, row in enumerate(case.rows)]
    _warm_up(engine, rows[0])
    seconds, groups = _timed(engine, rows, work.length, part)
    sampled = [sample for group in groups for sample in group]
    return {
        "rows": len(sampled),
        "seconds": seconds,
        "tokens": sum(len(sample.tokens) for sample in sampled),
        "layout": part.layout,
    }


def _warm_up(engine: InProcessEngine, row: Asked) -> None:
    engine.sample([row], Decoding(max_tokens=2), seed=0)


def _timed(
    engine: InProcessEngine, rows: list[Asked], length: int, part: LanguageModel
) -> tuple[float, list[list[Sample]]]:
    clock = time.perf_counter()
    groups = engine.sample(rows, Decoding(max_tokens=length), seed=0)
    wait(next(part.parameters()).device)
    return time.perf_counter() - clock, groups
