"""The costs of a run as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from burnish.models.parameters import Parameters
    from burnish.stages.costs import Costs


def lines_of(costs: Costs) -> list[str]:
    """For people."""
    lines = []
    for name, one in costs.parameters.items():
        lines.append(
            f"parameters of the {name}: {_count(one.total)} (embeddings {_count(one.embeddings)}, attention "
            f"{_count(one.attention)}, feed-forward {_count(one.feed_forward)}, norms {_count(one.norms)}{_head(one)})"
        )
        if one.experts:
            lines.append(f"  of these {_count(one.experts)} in experts, and {_count(one.active)} active per token")
    lines.append(f"trained: {_count(costs.trainable)}")
    for phase in costs.phases:
        parts = ", ".join(f"{name} {size / 1e9:.2f}" for name, size in phase.parts.items())
        lines.append(f"memory to {phase.name}: {phase.num_bytes / 1e9:.2f} GB ({parts})")
    fits = "fits" if costs.peak.num_bytes <= costs.memory else "does not fit"
    lines.append(f"peak: {costs.peak.num_bytes / 1e9:.2f} GB, to {costs.peak.name}; {fits} {costs.memory / 1e9:.2f} GB")
    lines += [f"  {text}" for text in costs.advice]
    lines.append(f"operations: {costs.flops:.3g} per update, {costs.run_flops:.3g} in {costs.steps} updates")
    if costs.seconds is not None:
        low, high = costs.seconds
        lines.append(
            f"time: {_clock(low * costs.steps)} to {_clock(high * costs.steps)}, {low:.2g} to {high:.2g} s per update; "
            "measured now for a few seconds, by products alone and by a slice of the model; what runs beside counts"
        )
    return lines


def _head(one: Parameters) -> str:
    """The head, unless it is nothing but the embeddings once more."""
    own = f", head {_count(one.head)}" if one.head or not one.tied else ""
    what = "its matrix is" if own else "the head is"
    return f"{own}; {what} the embeddings, counted once" if one.tied else own


def _count(number: int) -> str:
    return f"{number:,}"


def _clock(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
