"""The engine over Ray against a stand-in that runs workers here and ends them on demand; test_ray_local.py runs Ray."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import MissingExtra, ModelError, WorkersLost
from burnish.models.language import LanguageModel
from burnish.protocols import Decoding, Request
from burnish.sampling.engine import InProcessEngine
from burnish.sampling.ray import LEAST_STORE, shared_out
from tests.models.tiny import tiny_model
from tests.sampling.fake_ray import FakeRay, Pickler, RayTaskError
from tests.sampling.policies import REQUESTS, SHORT, close_to, here, over_ray, policy, train


@pytest.fixture
def fake(monkeypatch) -> FakeRay:
    module = FakeRay()
    pickling = ModuleType("ray.cloudpickle")
    pickling.CloudPickler = Pickler
    monkeypatch.setitem(sys.modules, "ray", module)
    monkeypatch.setitem(sys.modules, "ray.cloudpickle", pickling)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    return module


# The same samples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [{"workers": 1}, {"workers": 2}, {"workers": 5}, {"workers": 2, "max_rows": 2}])
@pytest.mark.parametrize("adapter", [False, True], ids=["whole", "adapter"])
def test_samples_are_those_of_one_engine_in_the_order_of_the_requests(fake, limits, adapter):
    part = policy(adapter=adapter)
    assert close_to(over_ray(part, **limits).sample(REQUESTS, SHORT, seed=3), here(part))
    assert set(fake.served) == set(range(limits["workers"]))


def test_large_rollouts_are_handed_out_in_shares_that_fill_the_rows(fake):
    over_ray(policy(), workers=2, max_rows=2).sample(REQUESTS, SHORT, seed=3)
    assert len(fake.actors) == 2
    assert sum(request.num_samples for request in REQUESTS) == 13
    assert len(fake.served) > 2  # 13 samples on 2 workers of 2 rows


def test_no_more_workers_are_started_than_there_is_work_for(fake):
    sampler = over_ray(policy(), workers=5)
    sampler.sample(REQUESTS[:2], SHORT, seed=0)
    assert len(fake.actors) == 2
    sampler.sample(REQUESTS, SHORT, seed=0)
    assert len(fake.actors) == 5


def test_nothing_is_started_for_no_sample_or_for_one_that_cannot_fit(fake):
    sampler = over_ray(policy())
    assert sampler.sample([], SHORT, seed=0) == []
    assert sampler.sample([Request(id="a", prompt=(5,), num_samples=0)], SHORT, seed=0) == [[]]
    with pytest.raises(ModelError, match="'r0' has 3 tokens and may get 62 more, but the context and the cache of a"):
        sampler.sample(REQUESTS, Decoding(max_tokens=62), seed=0)
    assert fake.actors == []


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(1, 6))
def test_shares_hold_every_request_once_in_order_and_about_as_many_samples(counts, count):
    requests = [Request(id=str(index), prompt=(1,), num_samples=number) for index, number in enumerate(counts)]
    shares = shared_out(requests, count)
    assert [index for share in shares for index in share] == list(range(len(requests)))
    assert 1 <= len(shares) <= count
    most = max(sum(counts[index] for index in share) for share in shares)
    assert most <= -(-sum(counts) // count) + max(counts)


# Versions -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", [False, True], ids=["whole", "adapter"])
def test_new_weights_are_sent_when_the_version_changes_and_not_before(fake, adapter):
    part = policy(adapter=adapter)
    sampler = over_ray(part)
    before = here(part)
    assert close_to(sampler.sample(REQUESTS, SHORT, seed=3), before)
    train(part)
    assert close_to(sampler.sample(REQUESTS, SHORT, seed=3), before)
    sampler.policy_version = "v1"
    after = here(part, "v1")
    assert close_to(sampler.sample(REQUESTS, SHORT, seed=3), after)
    assert [[s.tokens for s in group] for group in before] != [[s.tokens for s in group] for group in after]


def test_only_what_is_trained_is_sent_again_and_once_a_version(fake):
    part = policy(adapter=True)
    sampler = over_ray(part)
    for name in ("v0", "v0", "v1"):
        sampler.policy_version = name
        sampler.sample(REQUESTS, SHORT, seed=3)
    adapter = sum(4 * weight.numel() for weight in part.parameters() if weight.requires_grad)
    frozen = sum(4 * value.numel() for value in [*part.parameters(), *part.buffers()]) - adapter
    assert [size for size in fake.stored if size] == [frozen, adapter, adapter]


def test_weights_that_were_put_back_before_the_first_call_are_those_sampled_from(fake):
    """As when a run goes on from a checkpoint, frozen weights included."""
    part = policy(adapter=True)
    sampler = over_ray(part)
    train(part)
    with torch.no_grad():
        part.model.lm_head.weight.mul_(0.5)
    sampler.policy_version = "v7"
    assert close_to(sampler.sample(REQUESTS, SHORT, seed=3), here(part, "v7"))


def test_an_answer_from_other_weights_is_refused(fake):
    fake.changed = lambda groups: [[replace(sample, policy_version="v0") for sample in group] for group in groups]
    sampler = over_ray(policy())
    sampler.sample(REQUESTS, SHORT, seed=3)
    sampler.policy_version = "v1"
    with pytest.raises(ModelError, match=r"answered with weights \['v0'\] where v1 was asked for"):
        sampler.sample(REQUESTS, SHORT, seed=3)


# Lost workers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarts", [0, 1, 3])
def test_a_worker_that_ends_in_mid_rollout_loses_nothing(fake, restarts):
    said: list[str] = []
    part = policy()
    fake.deaths = {(0, 1)}
    sampler = over_ray(part, restarts=restarts, say=said.append)
    assert close_to(sampler.sample(REQUESTS, SHORT, seed=3), here(part))
    assert len(said) == 1
    assert "The actor died unexpectedly before finishing this task., with requests 'r0' to 'r3'" in said[0]
    assert sampler.restarts == max(0, restarts - 1)
    assert len(fake.actors) == 2 + min(restarts, 1)


def test_a_worker_that_is_started_later_has_the_weights_of_the_version(fake):
    part = policy(adapter=True)
    sampler = over_ray(part)
    sampler.sample(REQUESTS, SHORT, seed=3)
    train(part)
    sampler.policy_version = "v1"
    fake.deaths = {(0, 2), (1, 2)}
    assert close_to(sampler.sample(REQUESTS, SHORT, seed=3), here(part, "v1"))
    assert set(fake.served[-2:]) <= {2, 3}  # the workers started in place of 0 and 1


def test_when_all_are_lost_the_run_ends_and_says_how(fake):
    fake.doomed = set(range(9))
    sampler = over_ray(policy(), restarts=2)
    with pytest.raises(WorkersLost, match=r"no more may be started; the last one: The actor died .*rollout\.max_rows"):
        sampler.sample(REQUESTS, SHORT, seed=3)
    assert len(fake.actors) == 4


def test_lost_workers_are_counted_over_the_life_of_the_engine(fake):
    sampler = over_ray(policy(), workers=1, restarts=1)
    fake.deaths = {(0, 1), (1, 2)}
    sampler.sample(REQUESTS, SHORT, seed=3)
    with pytest.raises(WorkersLost):
        sampler.sample(REQUESTS, SHORT, seed=3)


def test_what_a_worker_raises_comes_out_as_it_is(fake, monkeypatch):
    sampler = over_ray(policy())

    def fails(error):
        def sample(*arguments, **settings):
            raise error

        monkeypatch.setattr(InProcessEngine, "sample", sample)

    fails(ModelError("no room"))
    with pytest.raises(ModelError, match=r"^no room$"):
        sampler.sample(REQUESTS, SHORT, seed=3)
    fails(ZeroDivisionError("a bug"))
    with pytest.raises(RayTaskError, match="a bug"):
        sampler.sample(REQUESTS, SHORT, seed=3)
    assert sampler.restarts == 3


# Ray itself -----------------------------------------------------------------------------------------------------------


def test_a_ray_of_its_own_is_small_and_tells_nobody(fake, monkeypatch):
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED")
    part = policy()
    sampler = over_ray(part, workers=3, cpus=2)
    (settings,) = fake.begun
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert (settings["num_cpus"], settings["include_dashboard"]) == (6, False)
    assert settings["object_store_memory"] < LEAST_STORE + 10**6
    sampler.sample(REQUESTS, SHORT, seed=3)
    assert fake.resources[0] == {"num_cpus": 2, "num_gpus": 0.0, "max_restarts": 0, "max_task_retries": 0}
    sampler.close()
    assert not fake.running
    assert all(actor.dead for actor in fake.actors)


def test_a_ray_that_runs_already_is_used_and_left_running(fake):
    fake.running = True
    sampler = over_ray(policy())
    sampler.sample(REQUESTS, SHORT, seed=3)
    sampler.close()
    assert fake.running
    assert fake.begun == []
    assert all(actor.dead for actor in fake.actors)


def test_a_cluster_is_joined_as_it_is(fake):
    over_ray(policy(), address="ray://head:10001")
    assert "object_store_memory" not in fake.begun[0]
    fake.running = False
    with pytest.raises(ModelError, match="Ray cannot start at address 'nowhere': no Ray there"):
        over_ray(policy(), address="nowhere")


def test_gpus_that_are_not_here_are_refused_and_ray_is_not_left_behind(fake):
    with pytest.raises(ModelError, match="2 workers ask for 1 GPUs, and 0 are here"):
        over_ray(policy(), gpus=0.5)
    assert not fake.running
    fake.num_gpus = 1.0
    assert over_ray(policy(), gpus=0.5)._workplace.device == "cuda"


def test_without_ray_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"'ray'; install it with: pip install 'burnish\[ray\]'"):
        over_ray(policy())


def test_the_padded_layout_is_refused(fake):
    with pytest.raises(ModelError, match="workers sample in the tree layout"):
        over_ray(LanguageModel(tiny_model(), layout="padded"))
