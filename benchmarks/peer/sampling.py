"""transformers' side of sampling: `generate` with the tuned settings.

    cache               dynamic or static
    rows_at_a_time      answers that one call decodes
    prompts_once        the prompts are computed once, and their cache is repeated for the answers to each; else
                        `num_return_sequences` computes a prompt as often as it has answers
    attn_implementation

No token ends an answer, as on our side. The model is in bf16, and the draw has neither top-k nor top-p.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache, GenerationConfig, PreTrainedModel

from benchmarks.case import Request, Row
from benchmarks.works import WORKS

PADDING = 0


@torch.no_grad()
def result(request: Request) -> dict[str, Any]:
    """Answers per second, or the greedy token ids in float32."""
    work, case, settings = WORKS[request.work], request.case, request.settings
    model = AutoModelForCausalLM.from_pretrained(
        request.model,
        dtype=torch.bfloat16 if request.bf16 else torch.float32,
        attn_implementation=settings["attn_implementation"],
    ).to(request.device)
    model.eval()
    model.generation_config = GenerationConfig(pad_token_id=PADDING)
    if request.mode == "agree":
        found = answers(model, case.compared, 1, settings, greedy(work.length))
        return {"tokens": found.tolist(), "versions": {}}
    answers(model, case.rows[:1], 1, settings, drawn(2))
    clock = time.perf_counter()
    found = answers(model, case.rows, work.batch, settings, drawn(work.length))
    found = found.cpu()
    seconds = time.perf_counter() - clock
    return {"rows": len(found), "seconds": seconds, "tokens": found.numel(), "versions": {}}


def drawn(length: int) -> dict[str, Any]:
    """Every token by chance, from the whole distribution."""
    return {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_new_tokens": length}


def greedy(length: int) -> dict[str, Any]:
    """Every token the most likely one."""
    return {"do_sample": False, "max_new_tokens": length}


def answers(
    model: PreTrainedModel, rows: Sequence[Row], samples: int, settings: dict[str, Any], told: dict[str, Any]
) -> Tensor:
    """The answers to `rows`, `samples` to each, in calls of `rows_at_a_time`. (rows * samples, length)"""
    prompts = max(1, settings["rows_at_a_time"] // samples)
    parts = [rows[start : start + prompts] for start in range(0, len(rows), prompts)]
    return torch.cat([part_answers(model, part, samples, settings, told) for part in parts])


def part_answers(
    model: PreTrainedModel, rows: Sequence[Row], samples: int, settings: dict[str, Any], told: dict[str, Any]
) -> Tensor:
    """The answers of one call."""
    tokens, mask = left_padded(rows)
    tokens, mask = tokens.to(model.device), mask.to(model.device)
    more: dict[str, Any] = {}
    if settings["cache"] == "static":
        more["cache_implementation"] = "static"
    if settings["prompts_once"]:
        more["past_key_values"] = repeated_cache(model, tokens, mask, samples)
        tokens, mask = (each.repeat_interleave(samples, dim=0) for each in (tokens, mask))
    else:
        more["num_return_sequences"] = samples
    found: Tensor = model.generate(input_ids=tokens, attention_mask=mask, **told, **more)
    return found[:, tokens.shape[1] :]


def repeated_cache(model: PreTrainedModel, tokens: Tensor, mask: Tensor, samples: int) -> DynamicCache:
    """The cache of all but the last token of each prompt, computed once and repeated for its answers."""
    cache = DynamicCache(config=model.config)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    model.get_decoder()(
        input_ids=tokens[:, :-1],
        attention_mask=mask[:, :-1],
        position_ids=positions[:, :-1],
        past_key_values=cache,
        use_cache=True,
    )
    cache.batch_repeat_interleave(samples)
    return cache


def left_padded(rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """Prompts side by side, their ends together, and where they have tokens."""
    width = max(len(row.prompt) for row in rows)
    tokens = torch.full((len(rows), width), PADDING)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for place, row in enumerate(rows):
        tokens[place, width - len(row.prompt) :] = torch.tensor(row.prompt)
        mask[place, width - len(row.prompt) :] = 1
    return tokens, mask
