"""Which answers the page shows: chosen by a rule that cannot favour a model.

For each kind, the prompts are put in the order of a hash of their id, and the first few are shown with the first answer
of every model. Nothing about the answers enters the choice. Only prompts that every model answered are in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.reports.evaluations import HELD_OUT_KINDS, TEST, Answer, Evaluation


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """One prompt with the answer of each model, in the order of the models."""

    prompt: str
    kind: str
    held_out: bool
    answers: tuple[Answer, ...]


def side_by_side(evaluations: Sequence[Evaluation], *, per_kind: int) -> tuple[SideBySide, ...]:
    """`per_kind` prompts of every kind, the kinds in training first, then those held out."""
    first = [{a.prompt_id: a for a in reversed(e.answers)} for e in evaluations]
    shared = set(first[0]).intersection(*first[1:]) if first else set()
    chosen: list[SideBySide] = []
    for split in (TEST, HELD_OUT_KINDS):
        for kind in evaluations[0].kinds(split) if evaluations else ():
            ids = sorted((i for i in shared if (first[0][i].split, first[0][i].kind) == (split, kind)), key=hashed)
            chosen.extend(_row([answers[i] for answers in first]) for i in ids[:per_kind])
    return tuple(chosen)


def rule(per_kind: int) -> str:
    """The rule of choice, for the reader."""
    return (
        f"Not picked by hand: for each kind, the {'prompt' if per_kind == 1 else f'{per_kind} prompts'} whose id has "
        "the smallest SHA-256 hash, with the first answer of every model."
    )


def hashed(prompt_id: str) -> str:
    """SHA-256 of a prompt's id, in hexadecimal."""
    return hashlib.sha256(prompt_id.encode()).hexdigest()


def _row(answers: Sequence[Answer]) -> SideBySide:
    head = answers[0]
    return SideBySide(prompt=head.prompt, kind=head.kind, held_out=head.split == HELD_OUT_KINDS, answers=tuple(answers))
