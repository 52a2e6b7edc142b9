"""The engine over a Ray that runs: real processes, killed with signal 9 while they sample."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from burnish.errors import WorkersLost
from burnish.protocols import Decoding, Request
from tests.sampling.local_ray import killing, needs_ray, quiet, running_ray
from tests.sampling.policies import close_to, here, over_ray, policy, train

pytestmark = [pytest.mark.slow, needs_ray, quiet]

LONG = Decoding(max_tokens=50)
MANY = [Request(id=f"m{i}", prompt=(3 + i, 4, 5), num_samples=4) for i in range(24)]


@pytest.fixture(scope="module", autouse=True)
def ray_runs() -> Iterator[None]:
    with running_ray():
        yield


def test_processes_sample_what_one_does_after_an_update_and_when_one_of_them_is_killed():
    part = policy(adapter=True)
    said: list[str] = []
    with closing(over_ray(part, max_rows=8, restarts=2, say=said.append)) as engine:
        before = here(part, "v0", MANY, LONG)
        assert close_to(engine.sample(MANY, LONG, seed=3), before)
        train(part)
        assert close_to(engine.sample(MANY[:2], LONG, seed=3), before[:2])
        engine.policy_version = "v1"
        after = here(part, "v1", MANY, LONG)
        assert [[s.tokens for s in group] for group in before] != [[s.tokens for s in group] for group in after]
        with killing(1) as killed:
            found = engine.sample(MANY, LONG, seed=3)
        assert close_to(found, after)
        assert len(killed) == len(said) == 1
        assert engine.restarts == 1
        assert close_to(engine.sample(MANY, LONG, seed=3), after)


def test_when_all_workers_are_killed_the_run_ends_and_says_so():
    with (
        closing(over_ray(policy(), workers=1, max_rows=8, restarts=0)) as engine,
        killing(1),
        pytest.raises(WorkersLost, match=r"all sampling workers were lost.*with requests 'm"),
    ):
        engine.sample(MANY, LONG, seed=0)
