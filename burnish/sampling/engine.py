"""The token engine in this process: prompts prefilled once per group, batched decoding over a preallocated cache.

    waiting ──► prefill ──► rows of the cache ──► one token per row and step ──► finished rows leave, waiting ones enter

The number of rows is what the cache's token budget allows for the longest request. Rows are refilled when a quarter of
them is free, so that prefills stay large; at the end, when nothing waits, the cache shrinks with its rows. Each sample
draws from its own stream of uniform numbers, keyed by seed, request and sample number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from burnish.errors import ModelError
from burnish.models.language import LanguageModel, head_of
from burnish.numerics import generator_from
from burnish.protocols import Decoding, Request, Sample
from burnish.sampling.cache import Cache, Decode, Prefill
from burnish.sampling.choose import LogitRule, choose


@dataclass
class _Row:
    """A sample in the making."""

    request: int
    number: int
    uniform: Tensor
    tokens: list[int] = field(default_factory=list)
    logps: list[float] = field(default_factory=list)


class InProcessEngine:
    """Samples from a language model that trains or was loaded in this process.

    Args:
        part: the model, in the tree layout.
        stop_tokens: ids that end a completion.
        policy_version: which weights these are; stamped on every sample.
        cache_tokens: tokens that the cache may hold over all rows.
        max_rows: sequences decoded at a time.
        rules: change the logits before the temperature.

    Raises:
        ModelError: the model cannot run the tree layout, which cached decoding needs.
    """

    def __init__(
        self,
        part: LanguageModel,
        *,
        stop_tokens: Sequence[int],
        policy_version: str,
        cache_tokens: int = 32768,
        max_rows: int = 128,
        rules: Sequence[LogitRule] = (),
    ) -> None:
        if part.layout != "tree":
            raise ModelError(f"sampling in this process needs the tree layout, but this model cannot: {part.reason}")
        self.part = part
        self.stop_tokens = frozenset(stop_tokens)
        self.policy_version = policy_version
        self.cache_tokens = cache_tokens
        self.max_rows = max_rows
        self.rules = tuple(rules)

    @torch.no_grad()
    def sample(self, requests: Sequence[Request], decoding: Decoding, *, seed: int) -> list[list[Sample]]:
        """Samples of each request, in the order of the requests.

        Raises:
            ModelError: a prompt is empty, or it and its completion do not fit the model's context or the cache; names
                the request.
        """
        if not requests:
            return []
        self.part.eval()
        longest = max(len(request.prompt) for request in requests) + decoding.max_tokens
        self._require_room(requests, decoding, longest)
        return _Run(self, requests, decoding, seed, longest).finish()

    def _require_room(self, requests: Sequence[Request], decoding: Decoding, longest: int) -> None:
        if empty := [request.id for request in requests if not request.prompt]:
            raise ModelError(f"request '{empty[0]}' has an empty prompt; begin it with a begin-of-text or end token")
        limit = min(int(self.part.model.config.max_position_embeddings), self.cache_tokens)
        if longest > limit:
            request = max(requests, key=lambda request: len(request.prompt))
            raise ModelError(
                f"request '{request.id}' has {len(request.prompt)} tokens and may get {decoding.max_tokens} more, "
                f"but the context and the cache hold {limit}; shorten the prompt or lower max_tokens"
            )


class _Run:
    """One call of `sample`."""

    def __init__(
        self, engine: InProcessEngine, requests: Sequence[Request], decoding: Decoding, seed: int, longest: int
    ) -> None:
        self.engine = engine
        self.requests = requests
        self.decoding = decoding
        self.device = next(engine.part.parameters()).device
        self.head = head_of(engine.part.model)
        self.waiting = [
            _Row(index, number, self._uniform(seed, request.id, number))
            for index, request in enumerate(requests)
            for number in range(request.num_samples)
        ][::-1]
        num_rows = max(1, min(engine.max_rows, engine.cache_tokens // longest, len(self.waiting)))
        self.cache = Cache(num_rows, longest)
        self.rows: list[_Row | None] = [None] * num_rows
        self.lengths = torch.zeros(num_rows, dtype=torch.long)
        self.last = torch.zeros(num_rows, dtype=torch.long)
        self.done: dict[tuple[int, int], Sample] = {}

    def finish(self) -> list[list[Sample]]:
        while self.waiting or any(self.rows):
            free = self.rows.count(None)
            if self.waiting and 4 * free >= len(self.rows):
                self._prefill()
            elif not self.waiting and 2 * free > len(self.rows):
                self._shrink()
            if any(self.rows):
                self._decode()
        return [
            [self.done[index, number] for number in range(request.num_samples)]
            for index, request in enumerate(self.requests)
        ]

    def _uniform(self, seed: int, request: str, number: int) -> Tensor:
        generator = generator_from(seed, "sample", request, number)
        return torch.rand(self.decoding.max_tokens, generator=generator)

    def _prefill(self) -> None:
        """Give free rows to waiting samples; each prompt among them is computed once."""
        free = [index for index, row in enumerate(self.rows) if row is None][: len(self.waiting)]
        placed: dict[int, list[int]] = {}
        for index in free:
            row = self.waiting.pop()
            self.rows[index] = row
            placed.setdefault(row.request, []).append(index)
        prompts = [list(self.requests[request].prompt) for request in placed]
        lengths = [len(prompt) for prompt in prompts]
        tokens = torch.tensor([token for prompt in prompts for token in prompt])
        positions = torch.cat([torch.arange(length) for length in lengths])
        layout = Prefill(self.cache, lengths, list(placed.values()))
        hidden = self.engine.part.run_layout(tokens[None].to(self.device), positions[None].to(self.device), layout)
        ends = torch.tensor(lengths).cumsum(0) - 1
        logits = self.head.logits(hidden[0, ends.to(self.device)]).cpu()
        for rows, length in zip(placed.values(), lengths, strict=True):
            self.lengths[rows] = length
        order = [row for rows in placed.values() for row in rows]
        source = [place for place, rows in enumerate(placed.values()) for _ in rows]
        self._take(order, logits[source])

    def _decode(self) -> None:
        """One more token for every row; a free row repeats its last token into its last place."""
        layout = Decode(self.cache, self.lengths.to(self.device))
        hidden = self.engine.part.run_layout(
            self.last[:, None].to(self.device), self.lengths[:, None].to(self.device), layout
        )
        busy = [index for index, row in enumerate(self.rows) if row is not None]
        self.lengths[busy] += 1
        self._take(busy, self.head.logits(hidden[busy, 0]).cpu())

    def _take(self, indices: Sequence[int], logits: Tensor) -> None:
        """Choose the next token of these rows and let finished rows go."""
        rows = [row for index in indices if (row := self.rows[index]) is not None]
        for rule in self.engine.rules:
            logits = rule(logits, [row.tokens for row in rows])
        uniform = torch.stack([row.uniform[len(row.tokens)] for row in rows])
        tokens, logps = choose(logits, uniform, self.decoding)
        self.last[list(indices)] = tokens
        for index, row, token, logp in zip(indices, rows, tokens.tolist(), logps.tolist(), strict=True):
            row.tokens.append(token)
            row.logps.append(logp)
            stopped = token in self.engine.stop_tokens
            if stopped or len(row.tokens) == self.decoding.max_tokens:
                self.done[row.request, row.number] = Sample(
                    tokens=tuple(row.tokens),
                    logps=tuple(row.logps),
                    finish="stop" if stopped else "length",
                    policy_version=self.engine.policy_version,
                )
                self.rows[index] = None
                self.lengths[index] = 0

    def _shrink(self) -> None:
        """Drop the free rows."""
        busy = [index for index, row in enumerate(self.rows) if row is not None]
        self.cache.keep(busy)
        self.rows = [self.rows[index] for index in busy]
        self.lengths, self.last = self.lengths[busy], self.last[busy]
