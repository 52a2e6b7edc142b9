"""Rollouts in several processes: each rank samples its share of the prompts, one of them grades, all know all of it.

    requests ──► every rank its share ──► gathered, in the order of the requests ──► graded by rank 0 ──► told to all

A sample's draws are keyed by its request and number, so a rollout does not depend on who sampled what, up to the
rounding of matrix products whose batches have other shapes.

Weights that are divided among the ranks are not sampled from as they lie: every token would gather every layer, and
ranks would wait for each other's longest answer. Each rank that samples keeps a whole copy in the compute dtype, which
is filled anew when the version has changed: 2 bytes a parameter in bf16 beside the rank's share, for the whole run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from burnish.models.language import LanguageModel
from burnish.protocols import Answer, Decoding, Grade, Request, Sample
from burnish.training.parallel import Ranks, rows_of, wholes
from burnish.training.rollouts import GradeAnswers, Sampler


class WholeCopy:
    """A copy of a module whose weights are divided among ranks.

    Args:
        module: is being trained.
        copy: of the same parameters, whole; None on a rank that only helps to gather.
        dtype: of what the copy computes with.
    """

    def __init__(self, module: nn.Module, copy: nn.Module | None, dtype: torch.dtype) -> None:
        self.module = module
        self.copy = copy
        self.dtype = dtype
        self._filled = False

    @torch.no_grad()
    def refresh(self) -> None:
        """Give the copy the weights as they are now. All ranks must call it."""
        targets = {} if self.copy is None else dict(self.copy.named_parameters())
        for name, value in wholes(self._changed(), self.dtype):
            if name in targets:
                targets[name].copy_(value)
        self._filled = True

    def _changed(self) -> Mapping[str, Tensor]:
        """What may differ from the copy: at first everything, then what trains."""
        named = self.module.named_parameters()
        return {name: parameter for name, parameter in named if parameter.requires_grad or not self._filled}


class SharedEngine:
    """A token engine of all ranks.

    Args:
        engine: of this rank; None on a rank that does not sample.
        samplers: how many ranks sample, the first ones.
        ranks: who shares the work; all of them call `sample`.
        refresh: gives the engine's model the weights as they are now; called when `policy_version` has changed.
    """

    def __init__(
        self, engine: Sampler | None, *, samplers: int, ranks: Ranks, refresh: Callable[[], None] = lambda: None
    ) -> None:
        self.engine = engine
        self.samplers = samplers
        self.ranks = ranks
        self.refresh = refresh
        self.policy_version = ""
        self._held: str | None = None

    def sample(self, requests: Sequence[Request], decoding: Decoding, *, seed: int) -> list[list[Sample]]:
        """Samples of each request, in the order of the requests, the same on every rank."""
        if self._held != self.policy_version:
            self.refresh()
            self._held = self.policy_version
        mine: Sequence[Sequence[Sample]] = ()
        if self.engine is not None:
            self.engine.policy_version = self.policy_version
            mine = self.engine.sample(requests[self.ranks.index :: self.samplers], decoding, seed=seed)
        found = self.ranks.gathered(mine)
        return [list(found[place % self.samplers][place // self.samplers]) for place in range(len(requests))]


def is_divided(module: nn.Module) -> bool:
    """Whether ranks hold parts of its weights."""
    return any(rows_of(parameter) is not None for parameter in module.parameters())


def whole_policy(
    policy: LanguageModel, again: Callable[[], LanguageModel], *, dtype: torch.dtype, samples: bool
) -> tuple[LanguageModel | None, Callable[[], None]]:
    """What this rank samples from, and what gives it the weights as they are now; None if it does not sample.

    Args:
        policy: is being trained.
        again: makes the same model once more, whole; called where ranks hold parts of the weights.
        dtype: of what is computed with.
        samples: whether this rank samples.
    """
    if not is_divided(policy):
        return policy if samples else None, lambda: None
    copy = again() if samples else None
    return copy, WholeCopy(policy, copy, dtype).refresh


def graded_by_first(make: Callable[[], GradeAnswers], ranks: Ranks) -> GradeAnswers:
    """Grades that rank 0 gives and all ranks hear: graders may be asked over a network, or differ from call to call.

    Args:
        make: the graders, with the models that they need; called on rank 0 alone.
        ranks: who shares the work; all of them call the result.
    """
    own = make() if ranks.leads else None

    def grades(answers: Sequence[Answer]) -> Sequence[Grade]:
        found: Sequence[Grade] = ranks.told(None if own is None else own(answers))
        return found

    return grades
