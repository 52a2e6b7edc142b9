"""Model FLOPs of a training step by formula, and the machine's own measured rate of matrix products.

Per layer a Llama multiplies every token by its projections, and every query by the keys that it sees:

    projections    2 * T * (D * H * d  +  2 * D * Hkv * d  +  H * d * D  +  3 * D * F)      FLOPs, one pass
    attention      4 * H * d * S                S = sum over the tokens of the keys that each one sees
    head           2 * N * D * V                N scored tokens; a reward model has none
    step           3 * forward                  backward has two products for each one of forward
    reference      1 * forward                  DPO's, without gradient

T, D, V, H, d and F are tokens, hidden size, vocabulary, query heads, head size and feed-forward size. A prompt counts
once, however many answers hang on it, as the tree layout computes it: this is the work that has to be done, whoever
does it. What is computed twice (the chunks of log-probs in backward, for one) does not count. Norms, activations,
softmax and the optimiser are no products and do not count either, so 100% cannot be reached.

The rate is that of square bf16 products of 2048, the best of several, measured in the process that was timed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from transformers import PretrainedConfig

from burnish.batch import Tree

SIZE = 2048
REPEATS = 12


def forward_flops(config: PretrainedConfig, trees: Sequence[Tree], *, head: bool) -> float:
    """One forward pass over `trees`, every prompt once.

    Args:
        config: of a Llama, or of a model with the same layers.
        trees: what is computed.
        head: whether the scored tokens are multiplied by the output weights.
    """
    hidden, heads, shared = config.hidden_size, config.num_attention_heads, config.num_key_value_heads
    size = config.head_dim or hidden // heads
    weights = 2 * hidden * heads * size + 2 * hidden * shared * size + 3 * hidden * config.intermediate_size
    tokens = sum(tree.num_tokens for tree in trees)
    seen = sum(seen_keys(tree) for tree in trees)
    layers = config.num_hidden_layers * (2 * tokens * weights + 4 * heads * size * seen)
    scored = sum(branch.num_scored for tree in trees for branch in tree.branches)
    return float(layers + (2 * scored * hidden * config.vocab_size if head else 0))


def seen_keys(tree: Tree) -> int:
    """Keys that all tokens of a tree see together: their own past, themselves included."""
    base = len(tree.prompt)
    lengths = [len(branch.tokens) for branch in tree.branches]
    return base * (base + 1) // 2 + sum(length * base + length * (length + 1) // 2 for length in lengths)


def training_flops(config: PretrainedConfig, trees: Sequence[Tree], *, head: bool, reference: bool) -> float:
    """Forward and backward over `trees`, and the reference's forward pass where there is one."""
    return (4 if reference else 3) * forward_flops(config, trees, head=head)


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
