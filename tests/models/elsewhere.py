"""A device that is not the CPU and that every machine has: what stands there has a shape and no numbers.

What would fail on a GPU because two tensors stand on different devices fails there too. So does what asks the device
for a number, or takes a tensor from it to the CPU, for which a program on a GPU would wait.
"""

from __future__ import annotations

import torch

from burnish.models.language import LanguageModel
from burnish.numerics import cast_weights
from tests.models.tiny import tiny_model

ELSEWHERE = torch.device("meta")


def language_model_there(name: str = "llama", *, dtype: torch.dtype = torch.bfloat16) -> LanguageModel:
    """A tiny model in the tree layout, its weights and buffers elsewhere."""
    part = LanguageModel(tiny_model(name), layout="tree").to(ELSEWHERE)
    cast_weights(part, dtype)
    return part.requires_grad_(True)
