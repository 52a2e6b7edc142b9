"""The engine over vLLM against a stand-in that records every call; vLLM itself is not run here."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import pytest

from burnish.errors import ModelError
from burnish.protocols import Decoding, Request
from burnish.sampling import vllm as engine_file
from burnish.sampling.vllm import VllmEngine

END = 2


@dataclass(eq=False)
class FakeLLM:
    """Answers each prompt with tokens that depend on the prompt and on the request's seed."""

    settings: dict
    generated: list[tuple] = field(default_factory=list)
    calls: list[tuple] = field(default_factory=list)
    failure: Exception | None = None
    keeps_cache: bool = False
    answer: object = None

    def generate(self, prompts, params, *, use_tqdm):
        self.generated.append((prompts, params, use_tqdm))
        return [self.answer or self.completion(*pair) for pair in zip(prompts, params, strict=True)]

    def completion(self, prompt, params):
        tokens = [*prompt["prompt_token_ids"], params["seed"] % 50 + 10][: params["max_tokens"]]
        if len(tokens) < params["max_tokens"]:
            tokens.append(END)
        asked = params["logprobs"] is not None
        logprobs = [{7: logprob(-9.0), token: logprob(-0.01 * token)} for token in tokens] if asked else None
        return output(tokens, logprobs, "stop" if tokens[-1] == END else "length")

    def collective_rpc(self, method, *, kwargs):
        self.calls.append((method, kwargs))
        if self.failure:
            raise self.failure

    def reset_prefix_cache(self):
        self.calls.append(("reset_prefix_cache", {}))
        return not self.keeps_cache


def logprob(value):
    return SimpleNamespace(logprob=value, rank=1, decoded_token=None)


def output(tokens, logprobs, reason):
    return SimpleNamespace(outputs=[SimpleNamespace(token_ids=tokens, logprobs=logprobs, finish_reason=reason)])


@pytest.fixture(autouse=True)
def fake_vllm(monkeypatch):
    module = ModuleType("vllm")
    module.LLM = lambda **settings: FakeLLM(settings)
    module.SamplingParams = dict
    module.TokensPrompt = dict
    monkeypatch.setitem(sys.modules, "vllm", module)


def engine(**changes) -> VllmEngine:
    settings = {"stop_tokens": [END, 3], "policy_version": "v0", "context_tokens": 64} | changes
    return VllmEngine("runs/sft/model", **settings)


REQUESTS = [Request(id="a", prompt=(5, 6), num_samples=2), Request(id="b", prompt=(8,)), Request(id="c", prompt=(9,))]


def test_ids_go_in_and_ids_with_log_probs_come_out_in_order():
    sampler = engine()
    found = sampler.sample(REQUESTS, Decoding(max_tokens=5), seed=0)
    assert [len(group) for group in found] == [2, 1, 1]
    prompts, params, _ = sampler._llm.generated[0]
    assert prompts == [{"prompt_token_ids": ids} for ids in ([5, 6], [5, 6], [8], [9])]
    drawn = [value["seed"] % 50 + 10 for value in params]
    samples = [sample for group in found for sample in group]
    prompts = [(5, 6), (5, 6), (8,), (9,)]
    for sample, prompt, own in zip(samples, prompts, drawn, strict=True):
        assert sample.tokens == (*prompt, own, END)
        assert sample.logps == pytest.approx([-0.01 * token for token in sample.tokens])
        assert (sample.finish, sample.policy_version) == ("stop", "v0")


def test_a_completion_that_is_cut_is_finished_by_length():
    (sample,) = engine().sample(REQUESTS[1:2], Decoding(max_tokens=2), seed=0)[0]
    assert (len(sample.tokens), sample.finish) == (2, "length")


def test_a_stop_token_in_the_last_place_is_a_stop():
    """vLLM looks at the length first and says "length"."""
    sampler = engine()
    sampler._llm.answer = output([8, END], [{8: logprob(-1.0)}, {END: logprob(-2.0)}], "length")
    (sample,) = sampler.sample(REQUESTS[1:2], Decoding(max_tokens=2), seed=0)[0]
    assert (sample.tokens, sample.logps, sample.finish) == ((8, END), (-1.0, -2.0), "stop")


def test_what_is_asked_of_the_sampler():
    sampler = engine()
    decoding = Decoding(temperature=0.7, top_p=0.9, top_k=40, max_tokens=11)
    sampler.sample(REQUESTS[:1], decoding, seed=0)
    _, params, progress = sampler._llm.generated[0]
    seeds = [value.pop("seed") for value in params]
    assert (
        params[0]
        == params[1]
        == {
            "n": 1,
            "temperature": 0.7,
            "top_p": 0.9,
            "top_k": 40,
            "max_tokens": 11,
            "stop_token_ids": [2, 3],
            "ignore_eos": True,
            "logprobs": 0,
            "detokenize": False,
        }
    )
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert progress is False


def test_each_sample_has_a_seed_of_its_own_that_others_do_not_change():
    def seeds(requests, seed):
        sampler = engine()
        sampler.sample(requests, Decoding(max_tokens=3), seed=seed)
        return [value["seed"] for value in sampler._llm.generated[0][1]]

    first = seeds(REQUESTS, 0)
    assert len({*first, *seeds(REQUESTS, 1)}) == 8
    assert seeds([REQUESTS[2], Request(id="a", prompt=(5, 6), num_samples=5)], 0)[:3] == [first[3], *first[:2]]


def test_what_is_asked_of_the_model():
    settings = engine(dtype="bfloat16", memory_share=0.3, num_devices=2)._llm.settings
    assert settings == {
        "model": "runs/sft/model",
        "dtype": "bfloat16",
        "max_model_len": 64,
        "gpu_memory_utilization": 0.3,
        "tensor_parallel_size": 2,
        "enable_prefix_caching": True,
        "generation_config": "vllm",
        "logprobs_mode": "processed_logprobs",
        "seed": 0,
    }


def test_at_temperature_0_the_one_possible_token_has_log_prob_0():
    sampler = engine()
    (sample,) = sampler.sample(REQUESTS[1:2], Decoding(temperature=0, max_tokens=4), seed=0)[0]
    assert sampler._llm.generated[0][1][0]["logprobs"] is None
    assert sample.logps == (0.0,) * len(sample.tokens)


def test_nothing_is_asked_for_no_sample():
    sampler = engine()
    assert sampler.sample([], Decoding(), seed=0) == []
    assert sampler.sample([Request(id="a", prompt=(5,), num_samples=0)], Decoding(max_tokens=9), seed=0) == [[]]
    assert sampler._llm.generated == []


# Updates of the weights -----------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def test_new_weights_are_loaded_and_old_keys_and_values_forgotten(saved):
    sampler = engine()
    sampler.load_weights(saved, policy_version="v1")
    assert sampler._llm.calls == [("reload_weights", {"weights_path": str(saved)}), ("reset_prefix_cache", {})]
    found = sampler.sample(REQUESTS, Decoding(max_tokens=5), seed=0)
    assert {sample.policy_version for group in found for sample in group} == {"v1"}


@pytest.mark.parametrize("how", ["failure", "keeps_cache"])
def test_after_a_failed_update_nothing_is_sampled_until_one_succeeds(saved, how):
    sampler = engine()
    setattr(sampler._llm, how, RuntimeError("out of memory") if how == "failure" else True)
    with pytest.raises(ModelError, match=r"out of memory|kept its prefix cache"):
        sampler.load_weights(saved, policy_version="v1")
    assert sampler.policy_version == "v0"
    with pytest.raises(ModelError, match=r"the update to version v1 in .* failed, .* call load_weights again"):
        sampler.sample(REQUESTS, Decoding(max_tokens=5), seed=0)
    setattr(sampler._llm, how, None)
    sampler.load_weights(saved, policy_version="v1")
    assert sampler.sample(REQUESTS, Decoding(max_tokens=5), seed=0)[0][0].policy_version == "v1"


def test_a_folder_without_a_model_is_refused_before_anything_changes(tmp_path):
    sampler = engine()
    with pytest.raises(ModelError, match=r"holds no model: it has no config\.json"):
        sampler.load_weights(tmp_path, policy_version="v1")
    assert sampler._llm.calls == []
    assert sampler.sample(REQUESTS, Decoding(max_tokens=5), seed=0)[0][0].policy_version == "v0"


# What is refused ------------------------------------------------------------------------------------------------------


def test_without_vllm_the_engine_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ModelError, match=r"the package vllm is not installed; .* type: pip install vllm"):
        engine()


def test_the_file_says_that_it_has_not_been_run():
    assert "has not been run on a machine with vLLM" in inspect.getdoc(engine_file)


def test_requests_that_cannot_fit_are_refused_by_name():
    with pytest.raises(ModelError, match="'a' has 2 tokens and may get 63 more, but context_tokens is 64"):
        engine().sample(REQUESTS, Decoding(max_tokens=63), seed=0)
    with pytest.raises(ModelError, match="request 'e' has an empty prompt"):
        engine().sample([Request(id="e", prompt=())], Decoding(max_tokens=3), seed=0)


def test_a_temperature_that_vllm_would_change_is_refused():
    with pytest.raises(ModelError, match=r"vLLM samples at 0\.01 when asked for 0\.001; use 0 or 0\.01"):
        engine().sample(REQUESTS, Decoding(temperature=0.001, max_tokens=5), seed=0)
    assert engine().sample(REQUESTS, Decoding(temperature=0.01, max_tokens=5), seed=0)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (output([5, END], [{5: logprob(-1.0)}], "stop"), "no log-prob for some token of a sample of request 'b'"),
        (output([END], [{6: logprob(-1.0)}], "stop"), "no log-prob for some token of a sample of request 'b'"),
        (output([END], None, "stop"), "no log-prob for some token of a sample of request 'b'"),
        (output([END], [{END: logprob(float("nan"))}], "stop"), "a log-prob that is no number .* request 'b'"),
        (output([END], [{END: logprob(-1.0)}], "abort"), "request 'b': it gave 1 of at most 5 tokens, .* 'abort'"),
        (output([5], [{5: logprob(-1.0)}], "stop"), "request 'b': it gave 1 .* the last no stop token, .* 'stop'"),
        (output([5], [{5: logprob(-1.0)}], "length"), "request 'b': it gave 1 of at most 5 tokens, .* 'length'"),
        (output([], [], "stop"), "request 'b': it gave 0 of at most 5 tokens"),
    ],
)
def test_an_answer_that_is_not_what_was_asked_for_is_refused(answer, message):
    sampler = engine()
    sampler._llm.answer = answer
    with pytest.raises(ModelError, match=message):
        sampler.sample(REQUESTS[1:2], Decoding(max_tokens=5), seed=0)


def test_missing_answers_are_noticed(monkeypatch):
    sampler = engine()
    monkeypatch.setattr(sampler._llm, "generate", lambda prompts, params, use_tqdm: [])
    with pytest.raises(ModelError, match="vLLM gave 0 outputs for 4 samples"):
        sampler.sample(REQUESTS, Decoding(max_tokens=5), seed=0)
