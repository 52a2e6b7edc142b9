"""A token engine over vLLM (https://docs.vllm.ai): token ids in, token ids with their log-probs out.

    requests ──► one vLLM request per sample, with its own seed ──► LLM.generate ──► samples
    folder of saved weights ──► reload_weights in every worker ──► the next policy version

**This file has not been run on a machine with vLLM.** It was written from vLLM's documentation (around 0.22) and
is tested against a stand-in that records the calls. Before relying on it, compare its log-probs with the trainer's on
the same tokens, as docs/sampling.md says.

What is asked of vLLM, and why:

- `logprobs_mode="processed_logprobs"`: log-probs under the exact sampling distribution, after temperature, top-k and
  top-p. Its default are those of the model at temperature 1. At temperature 0 they are not asked for: the one possible
  token has log-prob 0.
- One request per sample, seeded by seed, request and sample number, so that a sample does not depend on how many others
  were asked for. vLLM's prefix cache lets the samples of a prompt share its keys and values; it is emptied whenever the
  weights change. Samples are not promised to be the same bytes in another batch or on another machine.
- `ignore_eos` with `stop_token_ids`: the stop tokens are those given here and no others, and they belong to the sample.
- `generation_config="vllm"`: sampling settings in the model's folder change nothing.

Logit rules cannot be passed to its worker processes, so this engine has none.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from burnish.errors import ModelError
from burnish.numerics import seed_from
from burnish.protocols import Decoding, Request, Sample
from burnish.sampling.room import require_room

COLDEST = 0.01
"""The lowest temperature above 0 that vLLM keeps as it is."""


class VllmEngine:
    """Samples from a copy of the policy that vLLM holds.

    Args:
        model: folder or hub name of a plain transformers model; adapters are merged first.
        stop_tokens: ids that end a completion.
        policy_version: which weights these are; stamped on every sample.
        context_tokens: longest prompt with its completion.
        dtype: of the weights and the computation.
        memory_share: of each device's memory that vLLM takes, from 0 to 1. It leaves the rest to the trainer.
        num_devices: over which the model is split.

    Raises:
        ModelError: vLLM is not installed.
    """

    def __init__(
        self,
        model: str,
        *,
        stop_tokens: Sequence[int],
        policy_version: str,
        context_tokens: int,
        dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto",
        memory_share: float = 0.4,
        num_devices: int = 1,
    ) -> None:
        self._vllm = _module()
        self.stop_tokens = frozenset(stop_tokens)
        self.policy_version = policy_version
        self.context_tokens = context_tokens
        self._failed_update: str | None = None
        self._llm: Any = self._vllm.LLM(
            model=model,
            dtype=dtype,
            max_model_len=context_tokens,
            gpu_memory_utilization=memory_share,
            tensor_parallel_size=num_devices,
            enable_prefix_caching=True,
            generation_config="vllm",
            logprobs_mode="processed_logprobs",
            seed=0,
        )

    def sample(self, requests: Sequence[Request], decoding: Decoding, *, seed: int) -> list[list[Sample]]:
        """Samples of each request, in the order of the requests.

        Raises:
            ModelError: a prompt is empty or too long, the temperature is one that vLLM would change, the last update
                of the weights failed, or vLLM gave something else than was asked for; names the request.
        """
        if self._failed_update is not None:
            raise ModelError(
                f"the update to {self._failed_update} failed, so vLLM may hold weights of two versions; "
                "call load_weights again, or make a new engine"
            )
        require_room(requests, decoding, limit=self.context_tokens, what="context_tokens is")
        if 0 < decoding.temperature < COLDEST:
            raise ModelError(f"vLLM samples at {COLDEST} when asked for {decoding.temperature:g}; use 0 or {COLDEST}")
        asked = [request for request in requests for _ in range(request.num_samples)]
        if not asked:
            return [[] for _ in requests]
        outputs = self._llm.generate(
            [self._vllm.TokensPrompt(prompt_token_ids=list(request.prompt)) for request in asked],
            [
                self._parameters(decoding, seed_from(seed, "sample", request.id, number))
                for request in requests
                for number in range(request.num_samples)
            ],
            use_tqdm=False,
        )
        if len(outputs) != len(asked):
            raise ModelError(f"vLLM gave {len(outputs)} outputs for {len(asked)} samples")
        samples = iter([self._sample(*pair, decoding) for pair in zip(asked, outputs, strict=True)])
        return [[next(samples) for _ in range(request.num_samples)] for request in requests]

    def load_weights(self, folder: Path, *, policy_version: str) -> None:
        """Take over the weights of a model that was saved in `folder`, and stamp the samples from then on.

        Args:
            folder: written by `burnish.models.save.save_model` or transformers; the same architecture, no adapter.
            policy_version: of these weights.

        Raises:
            ModelError: the folder holds no model, or vLLM could not load it; the engine refuses to sample then, until
                an update succeeds.
        """
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} holds no model: it has no config.json; save one there first")
        self._failed_update = f"version {policy_version} in {folder}"
        try:
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
            emptied = self._llm.reset_prefix_cache()  # it holds keys and values of the old weights
        except Exception as error:
            raise ModelError(f"vLLM could not load the weights in {folder}: {error}") from error
        if emptied is False:
            raise ModelError(f"vLLM kept its prefix cache, which belongs to the weights before those in {folder}")
        self._failed_update = None
        self.policy_version = policy_version

    def _parameters(self, decoding: Decoding, seed: int) -> Any:
        return self._vllm.SamplingParams(
            n=1,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            top_k=decoding.top_k,
            max_tokens=decoding.max_tokens,
            stop_token_ids=sorted(self.stop_tokens),
            ignore_eos=True,
            seed=seed % 2**31,
            logprobs=0 if decoding.temperature > 0 else None,  # of the sampled token, and of no others
            detokenize=False,
        )

    def _sample(self, request: Request, output: Any, decoding: Decoding) -> Sample:
        (completion,) = output.outputs
        tokens = tuple(int(token) for token in completion.token_ids)
        stopped = bool(self.stop_tokens & set(tokens[-1:]))
        cut = len(tokens) == decoding.max_tokens
        if not (completion.finish_reason == "stop" and stopped) and not (completion.finish_reason == "length" and cut):
            raise ModelError(
                f"vLLM did not finish a sample of request '{request.id}': it gave {len(tokens)} of at most "
                f"{decoding.max_tokens} tokens, the last {'a' if stopped else 'no'} stop token, and the reason "
                f"'{completion.finish_reason}'"
            )
        logps = (0.0,) * len(tokens) if decoding.temperature == 0 else _logps(request, tokens, completion.logprobs)
        # A stop token in the last place that is allowed is a stop here; vLLM looks at the length first.
        return Sample(
            tokens=tokens, logps=logps, finish="stop" if stopped else "length", policy_version=self.policy_version
        )


def _logps(request: Request, tokens: Sequence[int], found: Any) -> tuple[float, ...]:
    """The log-probs of the sampled tokens out of vLLM's, which are a mapping from ids per token.

    Raises:
        ModelError: one is missing or no number.
    """
    places = list(found or ())
    if len(places) != len(tokens) or any(token not in place for token, place in zip(tokens, places, strict=True)):
        raise ModelError(f"vLLM gave no log-prob for some token of a sample of request '{request.id}'")
    logps = tuple(float(place[token].logprob) for token, place in zip(tokens, places, strict=True))
    if not all(math.isfinite(logp) for logp in logps):
        raise ModelError(f"vLLM gave a log-prob that is no number for a sample of request '{request.id}'")
    return logps


def _module() -> Any:
    try:
        return importlib.import_module("vllm")
    except ImportError as error:
        raise ModelError(
            "the package vllm is not installed; on a machine with a GPU, in an environment of its own because it "
            "brings its own torch, type: pip install vllm"
        ) from error
