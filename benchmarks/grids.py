"""What of the peer is tuned: for each work the settings that a run starts from, and what is tried in turn.

A grid is a list of settings that are tried one after the other; each choice is tried on top of the best so far and kept
if it is faster. So a grid of 10 choices costs 10 trials and not their product. What stands first pays for the later
ones. The global batch never changes: fewer rows at a time mean more accumulation.

Not tried, with the reason:

- weights in bf16 (of TRL's trainers, and by `use_transformers_continuous_batching`): updates of bf16 weights without
  float32 masters are another precision.
- packing: it puts other rows together than the given order does. `padding_free`, which keeps the order, is tried.
- on the CPU, Liger and the hub's kernels (they are Triton), flash attention (GPU) and torch.compile (it needs a C++
  compiler, which the machines of users often lack; on a GPU it is tried).
- TRL computes log-probs in chunks of its own and has no setting for them; `loss_type="chunked_nll"` is its default now.

On the CPU the works after SFT start from what was fastest there, one row at a time and freed memory kept: what comes
first in SFT's grid takes the peer to 20 GB and to several times the seconds in DPO's, and tells nothing new.

An environment holds variables of the peer's process. glibc's are the same that Burnish sets for itself
(`burnish/memory.py`), so that the peer keeps freed memory too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Settings = Mapping[str, Any]
Choice = tuple[str, Settings]
"""What is said of it, and the settings that it changes."""

KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

_TRAINED: Settings = {
    "per_device_train_batch_size": 8,
    "gradient_checkpointing": False,
    "attn_implementation": "sdpa",
    "environment": {},
}
_SAMPLED: Settings = {
    "cache": "dynamic",
    "rows_at_a_time": 32,
    "prompts_once": False,
    "attn_implementation": "sdpa",
    "environment": {},
}

_MEMORY: Choice = ("glibc keeps freed memory", {"environment": KEEP_MEMORY})
_PLAIN: Choice = ("glibc as it is", {"environment": {}})
_EAGER: Choice = ("eager attention", {"attn_implementation": "eager"})
_RECOMPUTED: Choice = ("gradient checkpointing", {"gradient_checkpointing": True})
_THREAD: Choice = ("one thread", {"environment": {**KEEP_MEMORY, **ONE_THREAD}})


def _rows(*counts: int) -> list[Choice]:
    return [(f"{count} rows at a time", {"per_device_train_batch_size": count}) for count in counts]


def _free(*counts: int) -> list[Choice]:
    changes = [{"padding_free": True, "per_device_train_batch_size": count} for count in counts]
    return [(f"padding-free, {count} rows at a time", change) for count, change in zip(counts, changes, strict=True)]


_REFERENCE: list[Choice] = [
    ("the reference's pass within every update", {"precompute_ref_log_probs": False}),
    ("the reference's pass with 2 pairs at a time", {"precompute_ref_batch_size": 2}),
]
_STATIC: Choice = ("static cache", {"cache_implementation": "static"})
_CALLS: list[Choice] = [
    ("static cache", {"cache": "static", "prompts_once": False}),
    ("16 answers at a time", {"rows_at_a_time": 16}),
    ("8 answers at a time", {"rows_at_a_time": 8}),
]
_ONCE: Choice = ("prompts computed once", {"prompts_once": True, "cache": "dynamic"})

_GPU: list[Choice] = [
    ("flash attention", {"attn_implementation": "flash_attention_2"}),
    ("flex attention", {"attn_implementation": "flex_attention"}),
    ("Liger's layers", {"use_liger_kernel": True}),
    ("torch.compile", {"torch_compile": True}),
]

_ONE_BY_ONE: Settings = {**_TRAINED, "per_device_train_batch_size": 1, "environment": KEEP_MEMORY}
_GPU_STARTS: Mapping[str, Settings] = {
    "sft": _TRAINED,
    "dpo": {**_TRAINED, "precompute_ref_log_probs": True},
    "reward": _TRAINED,
    "grpo": _TRAINED,
    "sample-groups": _SAMPLED,
    "sample-prompts": _SAMPLED,
}
_CPU_STARTS: Mapping[str, Settings] = {
    **_GPU_STARTS,
    "dpo": {**_ONE_BY_ONE, "precompute_ref_log_probs": True},
    "reward": _ONE_BY_ONE,
    "grpo": _ONE_BY_ONE,
}

_CPU_GRIDS: Mapping[str, Sequence[Choice]] = {
    "sft": [_MEMORY, *_rows(4, 2, 1), *_free(8, 4, 2), _RECOMPUTED, _EAGER, _THREAD],
    "dpo": [_PLAIN, *_rows(2, 4), *_REFERENCE, _RECOMPUTED, _EAGER, _THREAD],
    "reward": [_PLAIN, *_rows(2, 4), _RECOMPUTED, _EAGER, _THREAD],
    "grpo": [_PLAIN, _STATIC, *_rows(2, 4, 8), _RECOMPUTED, _EAGER, _THREAD],
    "sample-groups": [_MEMORY, _ONCE, *_CALLS, _EAGER, _THREAD],
    "sample-prompts": [_MEMORY, *_CALLS, _EAGER, _THREAD],
}
_GPU_GRIDS: Mapping[str, Sequence[Choice]] = {
    "sft": [*_GPU, *_free(8, 4), *_rows(4, 2), _RECOMPUTED],
    "dpo": [*_GPU, *_rows(4, 2), *_REFERENCE, _RECOMPUTED],
    "reward": [*_GPU[:2], _GPU[3], *_rows(4, 2), _RECOMPUTED],
    "grpo": [*_GPU, _STATIC, *_rows(4, 2), _RECOMPUTED],
    "sample-groups": [*_GPU[:1], _ONCE, *_CALLS],
    "sample-prompts": [*_GPU[:1], *_CALLS],
}


def start(work: str, device: str) -> Settings:
    """What the first trial of a work has. `load` and `resume` take what was found for `sft`."""
    return (_CPU_STARTS if device == "cpu" else _GPU_STARTS)[work]


def grid(work: str, device: str) -> Sequence[Choice]:
    """What is tried for a work."""
    return (_CPU_GRIDS if device == "cpu" else _GPU_GRIDS)[work]
