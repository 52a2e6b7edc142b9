"""A stand-in for Ray that runs workers in this process: they answer in an odd order, and end when they are told to."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

from burnish.sampling.mould import Numbers


class RayError(Exception):
    """As Ray's."""


class RayActorError(RayError):
    """As Ray's."""


class RayTaskError(RayError):
    """As Ray's: what a worker raised."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"the worker raised {cause}")
        self.cause = cause


@dataclass(eq=False)
class Ref:
    """Something in the store, or an answer."""

    value: Any


@dataclass(eq=False)
class Actor:
    """A worker: `number` is how many were started before it."""

    ray: FakeRay
    number: int
    body: Any
    calls: int = 0
    dead: bool = False

    @property
    def sample(self) -> SimpleNamespace:
        return SimpleNamespace(remote=self._call)

    def _call(self, *arguments: Any) -> Ref:
        self.calls += 1
        if self.dead or (self.number, self.calls) in self.ray.deaths or self.number in self.ray.doomed:
            self.dead = True
            return Ref(RayActorError("The actor died unexpectedly before finishing this task.\n\tpid: 1"))
        self.ray.served.append(self.number)
        try:
            answer = self.body.sample(*(self.ray.value(one) for one in arguments))
            return Ref(self.ray.changed(answer))
        except Exception as error:
            return Ref(RayTaskError(error))


@dataclass(eq=False)
class FakeRay(ModuleType):
    """The parts of Ray that the engine uses.

    Attributes:
        deaths: (worker, call) at which a worker ends.
        doomed: workers that end at every call.
        changed: what becomes of an answer on its way.
        running: whether Ray runs.
        num_gpus: of the machine.
        stored: bytes of numbers of each thing put into the store.
        served: the worker of every share that was answered.
        actors: all workers that were started.
        begun: the settings of each start.
    """

    deaths: set[tuple[int, int]] = field(default_factory=set)
    doomed: set[int] = field(default_factory=set)
    changed: Callable[[Any], Any] = lambda answer: answer
    running: bool = False
    num_gpus: float = 0.0
    stored: list[int] = field(default_factory=list)
    served: list[int] = field(default_factory=list)
    actors: list[Actor] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    begun: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__("ray")
        self.exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def is_initialized(self) -> bool:
        return self.running

    def init(self, **settings: Any) -> None:
        if settings["address"] == "nowhere":
            raise ConnectionError("no Ray there")
        self.running = True
        self.begun.append(settings)

    def shutdown(self) -> None:
        self.running = False

    def cluster_resources(self) -> dict[str, float]:
        return {"GPU": self.num_gpus} if self.num_gpus else {}

    def put(self, value: Any) -> Ref:
        numbers = value.values() if isinstance(value, dict) else ()
        self.stored.append(sum(one.num_bytes for one in numbers if isinstance(one, Numbers)))
        return Ref(pickle.loads(pickle.dumps(value)))

    def remote(self, cls: type) -> SimpleNamespace:
        def options(**resources: Any) -> SimpleNamespace:
            def started(*arguments: Any) -> Actor:
                self.resources.append(resources)
                self.actors.append(Actor(self, len(self.actors), cls(*(self.value(one) for one in arguments))))
                return self.actors[-1]

            return SimpleNamespace(remote=started)

        return SimpleNamespace(options=options)

    def value(self, thing: Any) -> Any:
        return thing.value if isinstance(thing, Ref) else thing

    def wait(self, refs: list[Ref], *, num_returns: int) -> tuple[list[Ref], list[Ref]]:
        return refs[-num_returns:], refs[:-num_returns]  # the last first

    def get(self, ref: Ref) -> Any:
        if isinstance(ref.value, Exception):
            raise ref.value
        return ref.value

    def kill(self, actor: Actor) -> None:
        actor.dead = True


class Pickler(pickle.Pickler):
    """In place of Ray's pickler."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
