"""A token engine over workers of Ray (https://docs.ray.io): a rollout is shared over processes, on one machine or many.

    requests ──► shares ──► worker, worker, ... ──► samples, in the order of the requests
    numbers of version v ──► Ray's store, once ──► read by each worker with its next share of v

The version is that of `policy_version` when `sample` is called. Its numbers go to the store at the first call: those
that training changes (the adapter's with LoRA), and at the very first call the frozen ones. Every share names its
version, and a worker that has another takes the numbers before it answers (worker.py).

A share whose worker ends, however that happens, goes back to the front of the queue, for whichever worker is free next.
Another worker is started in the place of the lost one, a bounded number of times. Each sample draws from a stream of
its own (engine.py), so it does not matter who draws it, nor how the work was cut: in float32 the tokens are those of
one engine in this process. In bf16 a product rounds differently in a batch of another shape, so a token that stands
near the edge of a draw may differ, as it may between two sizes of batch in one process.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from burnish.config import setting, settings
from burnish.errors import BurnishError, MissingExtra, ModelError, WorkersLost
from burnish.models.front import num_virtual
from burnish.models.language import LanguageModel
from burnish.protocols import Decoding, Request, Sample
from burnish.sampling.mould import Mould
from burnish.sampling.room import require_room
from burnish.sampling.worker import SamplingWorker, Workplace

LEAST_STORE = 80 * 2**20
"""Bytes; Ray makes no smaller store."""


@settings
class RayWorkers:
    """Processes with copies of the policy; every version of the weights is sent to them."""

    kind: Literal["ray"] = setting("ray", "by worker processes of Ray")
    workers: int = setting(2, "worker processes", ge=1)
    restarts: int = setting(3, "times that a lost worker may be replaced before the run ends", ge=0)
    cpus: int = setting(1, "processor cores and threads of each worker", ge=1)
    gpus: float = setting(0.0, "GPUs of each worker; 0 computes on the processor, a part of 1 shares one", ge=0)
    address: str = setting("local", "of a Ray cluster; local is this machine alone")


@dataclass(frozen=True, kw_only=True)
class _Weights:
    """A version, and where its numbers are in Ray's store."""

    version: str
    numbers: Any


class RayEngine:
    """Samples from copies of a model that worker processes hold.

    If Ray runs in this process already, it is used and left running. Otherwise it is started here, without dashboard
    and usage statistics, or a cluster is joined; `close` ends what this engine began.

    Args:
        part: the model, in the tree layout. Read when the version has changed, never written.
        place: how many workers, with what, and where; a cluster needs Burnish on its machines.
        stop_tokens: ids that end a completion.
        policy_version: which weights these are; stamped on every sample. Assign it anew when they have changed: until
            then the workers keep those that they have.
        cache_tokens: tokens that the cache of each worker may hold.
        max_rows: samples that a worker decodes at a time.
        say: is told of lost workers.

    Raises:
        ModelError: the model cannot run the tree layout or be sent to a process, or Ray cannot start.
        MissingExtra: Ray is not installed.
    """

    def __init__(
        self,
        part: LanguageModel,
        place: RayWorkers,
        *,
        stop_tokens: Sequence[int],
        policy_version: str,
        cache_tokens: int = 32768,
        max_rows: int = 128,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        if part.layout != "tree":
            raise ModelError(f"workers sample in the tree layout, but this model cannot: {part.reason}")
        self._ray = _module()
        self._mould = Mould(part, pickler=importlib.import_module("ray.cloudpickle").CloudPickler)
        self.policy_version = policy_version
        self.num_workers = place.workers
        self.restarts = place.restarts
        self._room = min(int(part.model.config.max_position_embeddings), cache_tokens) - num_virtual(part.model)
        self._workplace = Workplace(
            stop_tokens=tuple(stop_tokens),
            cache_tokens=cache_tokens,
            max_rows=max_rows,
            device="cuda" if place.gpus else "cpu",
            num_threads=place.cpus,
        )
        self._resources = {"num_cpus": place.cpus, "num_gpus": place.gpus}
        self._say = say
        self._weights: _Weights | None = None
        self._fixed: Any = None
        self._pickled: Any = None
        self._workers: list[Any] = []
        self._began = not self._ray.is_initialized()
        if self._began:
            self._start(place.address)

    def sample(self, requests: Sequence[Request], decoding: Decoding, *, seed: int) -> list[list[Sample]]:
        """Samples of each request, in the order of the requests.

        Raises:
            ModelError: a prompt is empty, or it and its completion do not fit the model's context or the cache; names
                the request.
            WorkersLost: the last worker ended, and no other may be started.
        """
        require_room(requests, decoding, limit=self._room, what="the context and the cache of a worker hold")
        num_samples = sum(request.num_samples for request in requests)
        if not num_samples:
            return [[] for _ in requests]
        rounds = -(-num_samples // (self.num_workers * self._workplace.max_rows))
        shares = deque(shared_out(requests, self.num_workers * rounds))
        weights = self._current()
        self._hire(len(shares))
        free, busy = list(self._workers), dict[Any, tuple[Any, list[int]]]()
        found: dict[int, list[Sample]] = {}
        while shares or busy:
            while shares and free:
                worker, share = free.pop(0), shares.popleft()
                asked = [requests[index] for index in share]
                answer = worker.sample.remote(weights.version, weights.numbers, asked, decoding, seed)
                busy[answer] = worker, share
            (answer, *_), _ = self._ray.wait(list(busy), num_returns=1)
            worker, share = busy.pop(answer)
            try:
                found.update(zip(share, self._answer(answer, weights), strict=True))
                free.append(worker)
            except _Lost as lost:
                shares.appendleft(share)
                free += self._replaced(worker, f"{lost}, with requests '{asked_of(requests, share)}'")
        return [found[index] for index in range(len(requests))]

    def close(self) -> None:
        """End the workers, and Ray if this engine began it."""
        for worker in self._workers:
            self._ray.kill(worker)
        self._workers = []
        self._weights = self._fixed = self._pickled = None
        if self._began and self._ray.is_initialized():
            self._ray.shutdown()

    def _start(self, address: str) -> None:
        """Start Ray on this machine, with a store for the weights and no more, or join a cluster."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        own: dict[str, Any] = {}
        if address == "local":
            fixed, changing = (
                sum(numbers.num_bytes for numbers in some.values())
                for some in (self._mould.fixed(), self._mould.changing())
            )
            own = {
                "num_cpus": self.num_workers * self._workplace.num_threads,
                "include_dashboard": False,
                "object_store_memory": LEAST_STORE + fixed + 2 * changing,  # a version, and the one before it
            }
        try:
            self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
        except Exception as error:  # Ray raises no narrower one when a machine is too busy for its time limits
            raise ModelError(f"Ray cannot start at address '{address}': {error}") from error
        gpus = self.num_workers * self._resources["num_gpus"]
        there = self._ray.cluster_resources().get("GPU", 0.0)
        if address == "local" and gpus > there:
            self._ray.shutdown()
            raise ModelError(f"{self.num_workers} workers ask for {gpus:g} GPUs, and {there:g} are here; lower gpus")

    def _current(self) -> _Weights:
        """The weights of the version that is asked for, in the store."""
        if self._pickled is None:
            self._pickled, self._fixed = (self._ray.put(it) for it in (self._mould.pickled, self._mould.fixed()))
        if self._weights is None or self._weights.version != self.policy_version:
            self._weights = None  # the store lets go of the version before
            self._weights = _Weights(version=self.policy_version, numbers=self._ray.put(self._mould.changing()))
        return self._weights

    def _hire(self, useful: int) -> None:
        """Start workers as far as there is work for them."""
        while len(self._workers) < min(useful, self.num_workers):
            self._workers.append(self._worker())

    def _worker(self) -> Any:
        kind = self._ray.remote(SamplingWorker).options(max_restarts=0, max_task_retries=0, **self._resources)
        return kind.remote(self._workplace, self._pickled, self._fixed)

    def _answer(self, answer: Any, weights: _Weights) -> list[list[Sample]]:
        """What a worker gave.

        Raises:
            _Lost: the worker ended before it gave anything.
            BurnishError: it raised that.
            ModelError: it answered with other weights.
        """
        exceptions = self._ray.exceptions
        try:
            groups: list[list[Sample]] = self._ray.get(answer)
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, BurnishError):
                raise error.cause from error
            raise
        except exceptions.RayError as error:
            raise _Lost(str(error).strip().splitlines()[0]) from error
        versions = {sample.policy_version for group in groups for sample in group}
        if versions - {weights.version}:
            raise ModelError(f"a worker answered with weights {sorted(versions)} where {weights.version} was asked for")
        return groups

    def _replaced(self, worker: Any, how: str) -> list[Any]:
        """The worker that takes the place of a lost one, none if others are to do its work.

        Raises:
            WorkersLost: there are no others either.
        """
        self._workers.remove(worker)
        self._ray.kill(worker)  # one that cannot be reached may still run
        if self.restarts:
            self.restarts -= 1
            self._workers.append(self._worker())
            self._say(f"a sampling worker was lost ({how}); another is started, {self.restarts} more may be")
            return self._workers[-1:]
        if not self._workers:
            raise WorkersLost(
                f"all sampling workers were lost, and no more may be started; the last one: {how}. See that a worker "
                "has the memory it needs (fewer rollout.max_rows, fewer workers), or raise restarts"
            )
        self._say(f"a sampling worker was lost ({how}); {len(self._workers)} go on without it")
        return []


class _Lost(Exception):
    """A worker ended; says how."""


def shared_out(requests: Sequence[Request], count: int) -> list[list[int]]:
    """The places of all requests in at most `count` shares, neighbours together, each with about as many samples.

    A request is not cut: the samples of a prompt share its keys and values, which one worker computes.
    """
    total = max(1, sum(request.num_samples for request in requests))
    found: list[list[int]] = [[] for _ in range(count)]
    before = 0
    for index, request in enumerate(requests):
        found[min(before * count // total, count - 1)].append(index)
        before += request.num_samples
    return [share for share in found if share]


def asked_of(requests: Sequence[Request], share: Sequence[int]) -> str:
    """The ids of the first and last request of a share, for messages."""
    ids = dict.fromkeys(requests[index].id for index in (share[0], share[-1]))
    return "' to '".join(ids)


def _module() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise MissingExtra("ray", "ray") from error
