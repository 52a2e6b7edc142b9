"""Model FLOPs of a training step, and the machine's own measured rate of matrix products.

    step         3 * forward        backward has two products for each one of forward
    reference    1 * forward        DPO's, without gradient

The forward pass is that of `burnish/models/flops.py`, over the keys that a token sees: the work that has to be done,
whoever does it. A prompt counts once, however many answers hang on it, as the tree layout computes it. What is computed
twice (the chunks of log-probs in backward, for one) does not count. Norms, activations, softmax and the optimiser are
no products and do not count either, so 100% cannot be reached.

The rate is that of square bf16 products of 2048, the best of several, measured in the process that was timed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from transformers import PretrainedConfig

from burnish.batch import Tree
from burnish.models.flops import forward_flops, needed_extent
from burnish.models.parameters import parameters_of

SIZE = 2048
REPEATS = 12


def step_flops(config: PretrainedConfig, trees: Sequence[Tree], *, head: bool, reference: bool) -> int:
    """Forward and backward over `trees`, and the reference's forward pass where there is one."""
    return (4 if reference else 3) * forward_flops(parameters_of(config), needed_extent(trees), head=head)


def product_rate(device: torch.device) -> float:
    """FLOPs per second of bf16 matrix products on this machine, by the threads of this process."""
    left, right = (torch.randn(SIZE, SIZE, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(REPEATS):
        wait(device)
        started = time.perf_counter()
        torch.mm(left, right)
        wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * SIZE**3 / best


def wait(device: torch.device) -> None:
    """Until everything that was started on a GPU is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
