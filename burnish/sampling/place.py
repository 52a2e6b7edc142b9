"""Where a run's answers are sampled, as a setting: in the process that trains, or by workers of Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Literal

from burnish.config import setting, settings
from burnish.models.language import LanguageModel
from burnish.sampling.engine import InProcessEngine
from burnish.sampling.ray import RayEngine, RayWorkers


@settings
class InProcess:
    """The process that trains samples too, from the weights themselves."""

    kind: Literal["in-process"] = setting("in-process", "in the process that trains")


Place = InProcess | RayWorkers
"""Where answers are sampled."""


@contextmanager
def engine_at(
    place: Place,
    part: LanguageModel,
    *,
    stop_tokens: Sequence[int],
    policy_version: str,
    cache_tokens: int,
    max_rows: int,
    say: Callable[[str], None],
) -> Iterator[InProcessEngine | RayEngine]:
    """An engine that samples from `part`; what it began is ended with the block.

    Args:
        place: where it samples.
        part: the policy.
        stop_tokens: ids that end a completion.
        policy_version: which weights these are; assign `engine.policy_version` anew when they have changed.
        cache_tokens: tokens that the cache may hold, each worker's.
        max_rows: samples decoded at a time, by each worker.
        say: is told of lost workers.

    Raises:
        ModelError, MissingExtra: the engine cannot be made there.
    """
    if isinstance(place, InProcess):
        yield InProcessEngine(
            part,
            stop_tokens=stop_tokens,
            policy_version=policy_version,
            cache_tokens=cache_tokens,
            max_rows=max_rows,
        )
        return
    engine = RayEngine(
        part,
        place,
        stop_tokens=stop_tokens,
        policy_version=policy_version,
        cache_tokens=cache_tokens,
        max_rows=max_rows,
        say=say,
    )
    with closing(engine):
        yield engine
