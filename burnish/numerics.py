"""Numbers that are policy: compute dtypes, tolerances, and randomness derived from keys.

Randomness never comes from a global generator. `seed_from("run", 0, "shuffle", 3)` is a function of its keys alone,
so batch k of a run is a function of the seed and k, and a resumed run repeats the run that was never stopped.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import torch
from torch import nn

Precision = Literal["auto", "bf16", "fp32"]

TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 6e-2}
"""Largest difference of a log-probability (nats) between two layouts of the same text, by compute dtype."""

SAMPLER_GAP = {torch.float32: 1e-5, torch.bfloat16: 6e-2}
"""Mean distance of the sampler's log-prob of a token from the trainer's own (nats), at most, by compute dtype.

It is what separates the two sides of one and the same policy: the ratio of a completion, per token, lies within
exp(-gap) and exp(gap). In bf16 single tokens, rare ones, lie further apart. The trainer's own ratio at learning rate 0
is exactly 1 in both dtypes, because old and new log-probs come from the same micro-batches on the same path.
"""


def seed_from(*keys: str | int | float) -> int:
    """A 63-bit seed that depends on every key and on their order, the same on every machine."""
    digest = hashlib.blake2b(repr(keys).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator_from(*keys: str | int | float) -> torch.Generator:
    """A CPU generator seeded by `seed_from(*keys)`."""
    generator = torch.Generator()
    generator.manual_seed(seed_from(*keys))
    return generator


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype of matrix products: bf16 on "auto" where the device multiplies it natively, else float32."""
    if precision == "fp32" or (precision == "auto" and not has_fast_bf16(device)):
        return torch.float32
    return torch.bfloat16


def cast_weights(module: nn.Module, dtype: torch.dtype) -> None:
    """Turn every parameter of `module` to `dtype`, in place, and leave its buffers and weights in 4 bits alone.

    `module.to(dtype)` would round the rotary frequencies too: in bf16 they are off by up to 0.4%, which turns the fast
    pairs of token 1,000 by radians, and a model that was trained so is read back with exact ones.
    """
    for parameter in module.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)


def has_fast_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bf16 matrices natively."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capability = torch.cpu.get_capabilities()
        return bool(capability.get("avx512_bf16") or capability.get("amx_bf16") or capability.get("bf16"))
    return False


def default_device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
