"""A token engine that says what it was told to: for tests and rehearsals of everything that samples.

    ScriptedEngine({(1, 5): [[7, 2], [8, 2]]}, logp=-0.5)

The completions of a prompt are taken in turn, one per sample and from the first again when all are used, in every call
anew. So what it gives is a function of the request alone, as with the real engine, and resumed runs hear it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from burnish.errors import ModelError
from burnish.protocols import Decoding, Request, Sample

Script = Mapping[tuple[int, ...], Sequence[Sequence[int]]]
"""The completions of each prompt, as token ids."""


class ScriptedEngine:
    """Samples from a script.

    Args:
        script: completions by prompt.
        logp: log-probability of every token, nats.
        logps: log-probabilities of the tokens of particular completions, in place of `logp`.
        stop_tokens: a completion that ends with one is finished by "stop", any other by "length".
        policy_version: stamped on every sample.

    Attributes:
        calls: the requests of every call, for tests to look at.

    Raises:
        ValueError: a prompt has no completions, a completion has no tokens, or its log-probs are not as many as they.
    """

    def __init__(
        self,
        script: Script,
        *,
        logp: float = 0.0,
        logps: Mapping[tuple[int, ...], Sequence[float]] | None = None,
        stop_tokens: Sequence[int] = (2,),
        policy_version: str = "scripted",
    ) -> None:
        self.script = {prompt: [tuple(tokens) for tokens in completions] for prompt, completions in script.items()}
        self.logp = logp
        self.logps = {tokens: tuple(values) for tokens, values in (logps or {}).items()}
        self.stop_tokens = frozenset(stop_tokens)
        self.policy_version = policy_version
        self.calls: list[tuple[Request, ...]] = []
        for prompt, completions in self.script.items():
            if not completions or not all(completions):
                raise ValueError(
                    f"the prompt {list(prompt)} needs at least one completion, each with at least one token"
                )
        for tokens, values in self.logps.items():
            if len(tokens) != len(values):
                raise ValueError(f"the completion {list(tokens)} has {len(tokens)} tokens but {len(values)} log-probs")

    def sample(self, requests: Sequence[Request], decoding: Decoding, *, seed: int) -> list[list[Sample]]:
        """The scripted completions of each request, cut to `decoding.max_tokens`; the seed changes nothing.

        Raises:
            ModelError: a prompt is not in the script; names the request.
        """
        self.calls.append(tuple(requests))
        return [self._samples(request, decoding.max_tokens) for request in requests]

    def _samples(self, request: Request, max_tokens: int) -> list[Sample]:
        completions = self.script.get(tuple(request.prompt))
        if completions is None:
            raise ModelError(
                f"request '{request.id}' has the prompt {list(request.prompt)}, which the script does not know; "
                f"it knows {len(self.script)} prompts"
            )
        return [self._sample(completions[n % len(completions)], max_tokens) for n in range(request.num_samples)]

    def _sample(self, tokens: tuple[int, ...], max_tokens: int) -> Sample:
        logps = self.logps.get(tokens, (self.logp,) * len(tokens))
        kept = tokens[:max_tokens]
        return Sample(
            tokens=kept,
            logps=logps[:max_tokens],
            finish="stop" if kept[-1] in self.stop_tokens else "length",
            policy_version=self.policy_version,
        )
