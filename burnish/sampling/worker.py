"""One of several processes that sample for a run: it holds a copy of the model, and is told with every share of the
work which version of the weights to answer with, and where their numbers are.

So no worker can answer with weights of another version: a worker that is behind, or was just started, takes the numbers
first. What it knows nothing of: who the other workers are, and what runs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from burnish.errors import ModelError
from burnish.models.language import LanguageModel
from burnish.protocols import Decoding, Request, Sample
from burnish.sampling.engine import InProcessEngine
from burnish.sampling.mould import Numbers, Poured, poured


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What a worker runs with.

    Attributes:
        stop_tokens: ids that end a completion.
        cache_tokens, max_rows: of its engine.
        device: "cpu" or "cuda".
        num_threads: for computing on the CPU.
    """

    stop_tokens: tuple[int, ...]
    cache_tokens: int
    max_rows: int
    device: str
    num_threads: int


class SamplingWorker:
    """Samples shares of a rollout.

    Args:
        workplace: what it runs with.
        pickled: of the model's mould.
        fixed: the numbers that no version changes.
    """

    def __init__(self, workplace: Workplace, pickled: bytes, fixed: Mapping[int, Numbers]) -> None:
        self._workplace = workplace
        self._pickled = pickled
        self._fixed = fixed
        self._poured: Poured | None = None
        self._version: str | None = None

    def sample(
        self,
        version: str,
        changing: Mapping[int, Numbers],
        requests: Sequence[Request],
        decoding: Decoding,
        seed: int,
    ) -> list[list[Sample]]:
        """Samples of each request, in the order of the requests, from the weights of `version`.

        Args:
            version: stamped on the samples.
            changing: its numbers; read only if this worker does not have them yet.
            requests: the share.
            decoding: how the next token is drawn.
            seed: of the draws.
        """
        model = self._at(version, changing)
        if not isinstance(model, LanguageModel):
            raise ModelError(f"a worker was given {type(model).__name__} to sample from; it needs a LanguageModel")
        engine = InProcessEngine(
            model,
            stop_tokens=self._workplace.stop_tokens,
            policy_version=version,
            cache_tokens=self._workplace.cache_tokens,
            max_rows=self._workplace.max_rows,
        )
        return engine.sample(requests, decoding, seed=seed)

    def _at(self, version: str, changing: Mapping[int, Numbers]) -> torch.nn.Module:
        """The model with the weights of `version`."""
        if self._poured is None:
            torch.set_num_threads(self._workplace.num_threads)
            numbers = {**self._fixed, **changing}
            self._poured = poured(self._pickled, numbers, torch.device(self._workplace.device))
            self._fixed = {}  # held by the model now
        elif version != self._version:
            self._version = None  # a worker that fails half way holds no version
            self._poured.refill(changing)
        self._version = version
        return self._poured.module
