"""Log-probs of chosen tokens from hidden states, with a bound on how many logits are held.

    logp_n = z_n[target_n] - logsumexp_v z_n[v],     z_n = head(hidden_n) / temperature

The scored tokens are taken in chunks; a chunk's logits live while it is computed and, where they are needed, are
computed again in the backward pass. The softmax is in float32 whatever the compute dtype. Entropy, and the divergence
from a teacher's distribution, come from the same pass when they are asked for; log-probs alone, the common case, have
passes of their own (chosen.py), which hold up to 128 MiB. Nowhere else in the library do logits exist in training.

Divergences of a student q from a teacher p over the whole vocabulary (Hinton et al. 2015; Gu et al. 2024):

    forward  KL(p || q) = sum_v p_v (log p_v - log q_v)        reverse  KL(q || p) = sum_v q_v (log q_v - log p_v)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from burnish.models.chosen import chosen_logp

CHUNK_BYTES = {"cpu": 24 * 2**20, "cuda": 256 * 2**20}
"""Memory of one chunk of float32 logits; on the CPU below the 32 MiB from which glibc asks the system for each."""

OUTPUTS = ("logp", "entropy", "forward_kl", "reverse_kl")


@dataclass(frozen=True, kw_only=True)
class Head:
    """What turns hidden states into logits.

    Attributes:
        weight: (V, D).
        bias: (V,) or None.
        scale: factor on the logits (Cohere's logit scale, the inverse of Granite's).
        soft_cap: z -> cap * tanh(z / cap) after the scale (Gemma 2), or None.
    """

    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    soft_cap: float | None = None

    def logits(self, hidden: Tensor) -> Tensor:
        """(N, D) -> (N, V) float32."""
        return self.shaped(functional.linear(hidden, self.weight, self.bias))

    def shaped(self, products: Tensor) -> Tensor:
        """What follows the product with the weights. (N, V) -> (N, V) float32"""
        logits = products.float()
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.soft_cap is not None:
            logits = self.soft_cap * torch.tanh(logits / self.soft_cap)
        return logits


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """Another model's distribution over the same tokens.

    Attributes:
        hidden: (N, D') hidden states at the scored positions, without gradient.
        head: the teacher's own.
    """

    hidden: Tensor
    head: Head


def token_outputs(
    hidden: Tensor,
    head: Head,
    target: Tensor,
    *,
    reads: frozenset[str] = frozenset({"logp"}),
    temperature: float = 1.0,
    teacher: Teacher | None = None,
    chunk: int | None = None,
) -> dict[str, Tensor]:
    """What is asked for of each scored token.

    Args:
        hidden: (N, D) hidden states that predict the targets.
        head: output weights of shape (V, D) and what follows them.
        target: (N,) token ids.
        reads: names among `OUTPUTS`.
        temperature: divides the logits, as sampling at that temperature does.
        teacher: needed for the divergences.
        chunk: tokens at a time; chosen so that a chunk of logits fits `CHUNK_BYTES` if None.

    Returns:
        A float32 tensor of shape (N,) per name, in nats.

    Raises:
        ValueError: a name is unknown, or a divergence is asked for without a teacher.
    """
    names = tuple(name for name in OUTPUTS if name in reads)
    if unknown := reads - set(OUTPUTS):
        raise ValueError(f"unknown outputs {sorted(unknown)}; known are {', '.join(OUTPUTS)}")
    if teacher is None and {"forward_kl", "reverse_kl"} & reads:
        raise ValueError("a divergence needs a teacher; add a frozen part that provides its hidden states")
    size = chunk or max(1, CHUNK_BYTES["cpu" if hidden.device.type == "cpu" else "cuda"] // (4 * head.weight.shape[0]))
    if names == ("logp",) and head.soft_cap is None:
        logp = chosen_logp(hidden, head.weight, head.bias, target, scale=head.scale / temperature, chunk=size)
        return {"logp": logp}
    pieces: list[tuple[Tensor, ...]] = []
    for start in range(0, len(target), size):
        part = slice(start, start + size)
        teacher_hidden = teacher.hidden[part] if teacher else None
        arguments = (hidden[part], target[part], head, teacher_hidden, teacher, temperature, names)
        if torch.is_grad_enabled():
            pieces.append(checkpoint(_chunk, *arguments, use_reentrant=False, preserve_rng_state=False))
        else:
            pieces.append(_chunk(*arguments))
    if not pieces:
        return {name: hidden.new_zeros(0, dtype=torch.float32) for name in names}
    return {name: torch.cat(values) for name, values in zip(names, zip(*pieces, strict=True), strict=True)}


def _chunk(
    hidden: Tensor,
    target: Tensor,
    head: Head,
    teacher_hidden: Tensor | None,
    teacher: Teacher | None,
    temperature: float,
    names: tuple[str, ...],
) -> tuple[Tensor, ...]:
    logits = head.logits(hidden)
    if temperature != 1.0:
        logits = logits / temperature
    results: dict[str, Tensor] = {}
    norm = torch.logsumexp(logits, dim=-1)
    if "logp" in names:
        results["logp"] = logits.gather(1, target[:, None]).squeeze(1) - norm
    if "entropy" in names:
        results["entropy"] = norm - (torch.softmax(logits, dim=-1) * logits).sum(-1)
    if teacher is not None and teacher_hidden is not None and {"forward_kl", "reverse_kl"} & set(names):
        other = functional.log_softmax(teacher.head.logits(teacher_hidden) / temperature, dim=-1)
        own = logits - norm[:, None]
        if "forward_kl" in names:
            results["forward_kl"] = (other.exp() * (other - own)).sum(-1)
        if "reverse_kl" in names:
            results["reverse_kl"] = (own.exp() * (own - other)).sum(-1)
    return tuple(results[name] for name in names)
