"""Protocols that let lower layers use what higher layers bring: engines, graders, scorers.

A *token engine* takes token ids and returns token ids with their log-probs under the exact sampling distribution; RL
accepts nothing else, because sampled tokens are trained on as sampled. A *text engine* takes messages and returns text.
A *grader* judges one completion of an example, a *batch grader* many at a time; a *scorer* gives plain text a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from burnish.config import setting, settings
from burnish.example import Completion, Example, FinishReason, Message


@settings
class Decoding:
    """How the next token is drawn. The rules apply in this order: temperature, top-k, top-p."""

    temperature: float = setting(1.0, "divides the logits; 0 takes the most likely token", ge=0.0)
    top_p: float = setting(1.0, "keep the smallest set of tokens with at least this probability", gt=0.0, le=1.0)
    top_k: int = setting(0, "keep this many of the most likely tokens; 0 keeps all", unit="tokens", ge=0)
    max_tokens: int = setting(256, "longest completion", unit="tokens", ge=1)


@dataclass(frozen=True, kw_only=True)
class Request:
    """Ask for `num_samples` completions of one prompt.

    Attributes:
        id: names the prompt; with the sample's number it keys the randomness, so batching does not change samples.
        prompt: token ids, generation prompt included.
        num_samples: completions wanted.
    """

    id: str
    prompt: Sequence[int]
    num_samples: int = 1


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One sampled completion.

    Attributes:
        tokens: ids as sampled, the end-of-turn token included when it was sampled.
        logps: log-probability of each token under the exact sampling distribution, nats.
        finish: "stop" if an end-of-turn token was sampled, "length" if the limit cut it.
        policy_version: which weights sampled it.
    """

    tokens: tuple[int, ...]
    logps: tuple[float, ...]
    finish: FinishReason
    policy_version: str


class TokenEngine(Protocol):
    """Token ids in, token ids out."""

    def sample(self, requests: Sequence[Request], decoding: Decoding, *, seed: int) -> list[list[Sample]]:
        """Samples of each request, in the order of the requests."""


class TextEngine(Protocol):
    """Messages in, text out."""

    def reply(self, messages: Sequence[Message], decoding: Decoding, *, seed: int) -> str:
        """The reply to a conversation."""

    def replies(
        self, conversations: Sequence[Sequence[Message]], decoding: Decoding, *, seeds: Sequence[int]
    ) -> list[str]:
        """The reply to each conversation, in their order; `seeds` holds one per conversation.

        Raises:
            EndpointError: a reply could not be had; `place` says to which conversation.
        """


@dataclass(frozen=True, kw_only=True)
class Grade:
    """A grader's verdict.

    Attributes:
        score: higher is better; pass or fail is 1 or 0.
        reasons: why, for people; empty when there is nothing to say.
        parts: scores of the grader's parts, for logging.
    """

    score: float
    reasons: tuple[str, ...] = ()
    parts: Mapping[str, float] = field(default_factory=dict)


Answer = tuple[Example, Completion]
"""A completion and the example whose prompt it answers; the completion need not be among the example's own."""


@runtime_checkable
class Grader(Protocol):
    """Judges one completion."""

    def grade(self, example: Example, completion: Completion) -> Grade:
        """The verdict on `completion` as an answer to `example`'s prompt."""


@runtime_checkable
class BatchGrader(Grader, Protocol):
    """A grader that judges many completions faster than one after the other, such as a reward model.

    `burnish.graders.verdicts.graded_all` calls `grades` of those who have it, and `grade` of the others.
    """

    def grades(self, answers: Sequence[Answer]) -> Sequence[Grade]:
        """One verdict per answer, in their order."""


class Scorer(Protocol):
    """Gives plain texts numbers, such as bits per byte."""

    def scores(self, texts: Sequence[str]) -> list[float]:
        """One number per text."""
