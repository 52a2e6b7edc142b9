"""A run in several processes: rank 0 leads, and the others follow it into every stage whose work is shared.

    rank 0    lock ── record ── call ── stage.run ── record ── next stage ...  ── dismiss
    others                       └───── stage.run ── wait for the next call, however long it takes ──┘

Rank 0 alone decides what is run, so nothing else of the runners knows that there are others. All ranks read the same
words and recipes; that they mean the same artefact is checked by its key before anything is computed.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from burnish.errors import StoreError
from burnish.processes import Processes
from burnish.stages.stage import Stage, Work
from burnish.store import Identity


@dataclass(frozen=True, kw_only=True)
class _Call:
    """What rank 0 asks the others to run: a stage of their own recipe, by name."""

    name: str
    out: Path
    key: str
    resume: bool


def call(name: str, out: Path, made_of: Identity, *, resume: bool) -> None:
    """Have the other processes run a stage along; this one must run it next."""
    Processes().told(_Call(name=name, out=out.resolve(), key=_key(made_of), resume=resume))


def dismiss() -> None:
    """Let the other processes go."""
    Processes().told(None)


def follow(stages: Mapping[str, tuple[Stage, Identity]]) -> None:
    """Run what rank 0 calls for until it dismisses this process.

    Args:
        stages: by name, with what their artefacts are made of.

    Raises:
        StoreError: this process would make another artefact than rank 0.
    """
    processes = Processes()
    while (asked := processes.told(None)) is not None:
        stage, made_of = stages[asked.name]
        if (mine := _key(made_of)) != asked.key:
            what = asked.name or stage.verb
            raise StoreError(
                f"rank {processes.index} on {socket.gethostname()} would make another artefact of '{what}' than rank "
                f"0: its key is {mine[:16]}, not {asked.key[:16]}; settings, inputs, code and versions must be the "
                "same on all machines"
            )
        stage.run(
            Work(out=asked.out, say=lambda line: None, record=lambda facts: None, resume=asked.resume, leads=False)
        )
        gc.collect()


def _key(made_of: Identity) -> str:
    """The key without what a run was raised from, which rank 0 alone reads from its record."""
    return replace(made_of, grown=()).key
