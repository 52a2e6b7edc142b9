"""What can agree must: before anything is timed, both sides compute the same thing in float32, and it is compared.

    sft, dpo, reward, grpo   the loss and the whole gradient of one small batch
    dpo                      and the reference's log-prob of every answer, without which the first loss says nothing:
                             where the policy is the reference it is log 2 whatever the model computes
    reward                   and the score of every answer, by the same head
    grpo                     and the advantages of the given answers
    sample-*                 the greedy token ids of every prompt, exactly

The first losses of the bf16 runs that are timed are compared as well, more loosely, for SFT and DPO. Where anything
differs there is no ratio, but an error that says what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from benchmarks.case import gradient_file
from benchmarks.works import Work
from burnish.errors import BurnishError

LOSS = 1e-4
"""Largest relative difference of two losses in float32."""

NUMBERS = 1e-4
"""Largest difference of log-probs or scores in float32, relative to the largest of them."""

GRADIENT = 1e-3
"""Largest distance of two gradients in float32, relative to the length of one."""

BF16_LOSS = 2e-2
"""Largest relative difference of the first losses in bf16: the two sides round in different places."""

SAME_FIRST_LOSS = ("sft", "dpo")
"""Works whose timed runs begin with the same loss on both sides."""


class Disagreement(BurnishError):
    """The two sides do not compute the same thing, so their speeds must not be compared."""


def agreement(work: Work, ours: Mapping[str, Any], peer: Mapping[str, Any]) -> dict[str, float]:
    """How far the two sides are apart in float32.

    Raises:
        Disagreement: further than the tolerances.
    """
    if work.kind == "sample":
        return {"different_tokens": _same_tokens(work, ours["tokens"], peer["tokens"])}
    found = {"loss": _loss(work, ours["loss"], peer["loss"], LOSS, "in float32")}
    if ours["numbers"] or peer["numbers"]:
        found["numbers"] = _numbers(work, ours["numbers"], peer["numbers"])
    found["gradient"] = _gradients(work, gradient_file(ours["out"]), gradient_file(peer["out"]))
    return found


def check_first_loss(work: Work, ours: Mapping[str, Any], peer: Mapping[str, Any]) -> None:
    """Compare the first losses of two timed runs, where they are of the same rows.

    Raises:
        Disagreement: they differ by more than bf16 explains.
    """
    if work.name in SAME_FIRST_LOSS:
        _loss(work, ours["loss"], peer["loss"], BF16_LOSS, "of the first timed update")
    if ours["rows"] != peer["rows"]:
        raise Disagreement(f"{work.name}: ours worked on {ours['rows']} rows, the peer on {peer['rows']}; no ratio")


def _loss(work: Work, ours: float, peer: float, tolerance: float, which: str) -> float:
    # A policy gradient's loss may be 0, so it is compared with 1 where it is smaller than that.
    apart = abs(ours - peer) / max(abs(peer), 1.0 if work.name == "grpo" else 1e-12)
    if not apart <= tolerance:
        raise Disagreement(
            f"{work.name}: the loss {which} is {ours:.7g} here and {peer:.7g} at the peer, {apart:.1e} apart, and "
            f"{tolerance:.0e} is allowed; no ratio"
        )
    return apart


def _numbers(work: Work, ours: Sequence[float], peer: Sequence[float]) -> float:
    if len(ours) != len(peer):
        raise Disagreement(f"{work.name}: ours gave {len(ours)} log-probs or scores, the peer {len(peer)}; no ratio")
    largest = max(map(abs, peer))
    apart = max(abs(one - other) for one, other in zip(ours, peer, strict=True)) / largest
    if not apart <= NUMBERS:
        pairs = ", ".join(f"{one:.6g} and {other:.6g}" for one, other in zip(ours[:4], peer[:4], strict=True))
        raise Disagreement(
            f"{work.name}: log-probs, scores or advantages differ by {apart:.1e} of the largest, and {NUMBERS:.0e} is "
            f"allowed; the first are {pairs}; no ratio"
        )
    return apart


def _gradients(work: Work, ours: Path, peer: Path) -> float:
    with safe_open(ours, framework="numpy") as one, safe_open(peer, framework="numpy") as other:
        if missing := sorted(set(one.keys()) ^ set(other.keys())):
            raise Disagreement(f"{work.name}: only one side has a gradient of {', '.join(missing[:4])}; no ratio")
        squares = [_squares(one.get_tensor(name), other.get_tensor(name)) for name in sorted(one.keys())]
    apart = float(np.sqrt(sum(own for own, _ in squares)) / np.sqrt(sum(length for _, length in squares)))
    if not apart <= GRADIENT:
        raise Disagreement(
            f"{work.name}: the gradients are {apart:.1e} of their length apart, and {GRADIENT:.0e} is allowed; no ratio"
        )
    return apart


def _squares(ours: Any, peer: Any) -> tuple[float, float]:
    """The squared distance of two tensors, and the squared length of the second."""
    one, other = ours.astype(np.float64), peer.astype(np.float64)
    return float(np.square(one - other).sum()), float(np.square(other).sum())


def _same_tokens(work: Work, ours: Sequence[Sequence[int]], peer: Sequence[Sequence[int]]) -> float:
    if len(ours) != len(peer):
        raise Disagreement(f"{work.name}: ours gave {len(ours)} answers, the peer {len(peer)}; no ratio")
    for place, (one, other) in enumerate(zip(ours, peer, strict=True)):
        if list(one) != list(other):
            first = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), "the end")
            raise Disagreement(
                f"{work.name}: the greedy answers to prompt {place} differ from token {first} on; no ratio"
            )
    return 0.0
