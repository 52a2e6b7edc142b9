"""The token engine in this process: each prompt prefilled once, its samples decoded in one batch over a shared cache.

    unread prompts ──► prefill ──► slots ──► samples start in rows ──► a token per row and step ──► finished rows leave

A prompt is computed exactly once per call: its keys, values and last logits are kept until all of its samples have
started, whenever rows become free for them, and the keys and values until all have ended. Requests with the same prompt
share it. How many prompts and samples are held at a time is what the cache's token budget allows.

New prompts are read when a quarter of the rows is free, so that prefills stay large; samples of a prompt that is there
start at once. Each sample draws from its own stream of uniform numbers, keyed by seed, request and sample number.

On a GPU the draw is made there too. What a step reads from the device are the tokens drawn and their log-probs: no
layer waits for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from burnish.errors import ModelError
from burnish.models.adapters import folded
from burnish.models.front import num_virtual
from burnish.models.language import LanguageModel, head_of
from burnish.models.packed import packed
from burnish.numerics import generator_from
from burnish.protocols import Decoding, Request, Sample
from burnish.sampling.cache import Decode, Prefill, Store, fitting_cache
from burnish.sampling.choose import LogitRule, choose
from burnish.sampling.room import require_room

ItemT = TypeVar("ItemT")


class InProcessEngine:
    """Samples from a language model that trains or was loaded in this process.

    The weights are those that the model has at each call, adapters folded in.

    Args:
        part: the model, in the tree layout.
        stop_tokens: ids that end a completion.
        policy_version: which weights these are; stamped on every sample. Assign it anew when they have changed.
        cache_tokens: tokens that the cache may hold, over all prompts and samples.
        max_rows: samples decoded at a time.
        rules: change the logits before the temperature, on the device of the model.

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
        """Samples of each request, in the order of the requests. The model runs without dropout and stays in its mode.

        Raises:
            ModelError: a prompt is empty, or it and its completion do not fit the model's context or the cache; names
                the request.
        """
        model = self.part.model
        limit = min(int(model.config.max_position_embeddings), self.cache_tokens) - num_virtual(model)
        require_room(requests, decoding, limit=limit, what="the context and the cache hold")
        if not any(request.num_samples for request in requests):
            return [[] for _ in requests]
        with _evaluating(self.part), folded(self.part.model):
            run = _Run(self, requests, decoding, seed)
            with packed(self.part.model, run.cache.rows.num_sequences):
                return run.finish()


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode; every piece gets its own mode back, whatever happens."""
    modes = [(piece, piece.training) for piece in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for piece, training in modes:
            piece.training = training


@dataclass(eq=False)
class _Prompt:
    """A prompt and those of its samples that have not started."""

    tokens: tuple[int, ...]
    waiting: list[_Row] = field(default_factory=list)


@dataclass(eq=False)
class _Row:
    """A sample in the making."""

    request: int
    number: int
    prompt: _Prompt
    uniform: Tensor
    tokens: list[int] = field(default_factory=list)
    logps: list[float] = field(default_factory=list)


class _Run:
    """One call of `sample`.

    Attributes:
        unread: prompts that have not been computed, the next one last.
        virtual: how many virtual tokens stand in front of every prompt (front.py), in the cache too.
        prompts: those in the cache, by slot.
        logits: the last ones (V,) of prompts in the cache that have samples waiting.
        rows: the samples in the cache, by row.
    """

    def __init__(self, engine: InProcessEngine, requests: Sequence[Request], decoding: Decoding, seed: int) -> None:
        self.engine = engine
        self.requests = requests
        self.decoding = decoding
        self.device = next(engine.part.parameters()).device
        self.head = head_of(engine.part.model)
        self.virtual = num_virtual(engine.part.model)
        self.unread = self._prompts(seed)[::-1]
        self.prompts: list[_Prompt] = []
        self.logits: dict[_Prompt, Tensor] = {}
        self.rows: list[_Row] = []
        self.cache = fitting_cache(
            engine.cache_tokens,
            prompt_tokens=self.virtual + max(len(prompt.tokens) for prompt in self.unread),
            row_tokens=decoding.max_tokens,
            num_prompts=len(self.unread),
            num_samples=sum(len(prompt.waiting) for prompt in self.unread),
            max_rows=engine.max_rows,
        )
        self.done: dict[tuple[int, int], Sample] = {}

    def finish(self) -> list[list[Sample]]:
        """Decode until every sample has ended."""
        while self.unread or self.prompts:
            self._read_prompts()
            self._start_samples()
            if self.rows:
                self._decode()
        return [
            [self.done[index, number] for number in range(request.num_samples)]
            for index, request in enumerate(self.requests)
        ]

    def _prompts(self, seed: int) -> list[_Prompt]:
        """The different prompts in the order of the requests, each with all of its samples."""
        found: dict[tuple[int, ...], _Prompt] = {}
        for index, request in enumerate(self.requests):
            for number in range(request.num_samples):
                tokens = tuple(request.prompt)
                prompt = found.setdefault(tokens, _Prompt(tokens))
                generator = generator_from(seed, "sample", request.id, number)
                uniform = torch.rand(self.decoding.max_tokens, generator=generator)
                prompt.waiting.append(_Row(index, number, prompt, uniform))
        return list(found.values())

    @property
    def _num_free(self) -> int:
        return self.cache.rows.num_sequences - len(self.rows)

    def _read_prompts(self) -> None:
        """Compute as many new prompts as have samples to fill the free rows, if those are many."""
        if 4 * self._num_free < self.cache.rows.num_sequences:
            return
        unfilled = self._num_free - sum(len(prompt.waiting) for prompt in self.prompts)
        slots = self.cache.prompts.num_sequences - len(self.prompts)
        new: list[_Prompt] = []
        while self.unread and unfilled > 0 and len(new) < slots:
            new.append(self.unread.pop())
            unfilled -= len(new[-1].waiting)
        if new:
            self._prefill(new)

    def _prefill(self, new: Sequence[_Prompt]) -> None:
        blanks = (0,) * self.virtual
        lengths = [self.virtual + len(prompt.tokens) for prompt in new]
        tokens = torch.tensor([token for prompt in new for token in (*blanks, *prompt.tokens)], device=self.device)
        positions = torch.cat([torch.arange(length, device=self.device) for length in lengths])
        layout = Prefill(self.cache, lengths, first=len(self.prompts))
        ends = torch.tensor(lengths, device=self.device).cumsum(0) - 1
        hidden = self.engine.part.run_layout(tokens[None], positions[None], layout, self._places(lengths))[0]
        self.logits.update(zip(new, self._logits(hidden[ends]), strict=True))
        self.prompts.extend(new)

    def _places(self, lengths: Sequence[int]) -> Tensor | None:
        """Where the virtual tokens stand in a row of prompts, None if there are none."""
        if not self.virtual:
            return None
        starts = [sum(lengths[:number]) for number in range(len(lengths))]
        return torch.tensor([start + place for start in starts for place in range(self.virtual)], device=self.device)

    def _start_samples(self) -> None:
        """Give free rows to waiting samples of the prompts that are there; each draws its first token."""
        logits = []
        first = len(self.rows)
        for prompt in list(self.logits):
            while prompt.waiting and self._num_free:
                self.rows.append(prompt.waiting.pop(0))
                logits.append(self.logits[prompt])
            if not prompt.waiting:
                del self.logits[prompt]
        if logits:
            self._take(first, torch.stack(logits))

    def _decode(self) -> None:
        """One more token for every row."""
        slots = {prompt: slot for slot, prompt in enumerate(self.prompts)}
        prompt_lengths = [self.virtual + len(row.prompt.tokens) for row in self.rows]
        row_lengths = [len(row.tokens) - 1 for row in self.rows]
        layout = Decode(
            self.cache,
            slots=[slots[row.prompt] for row in self.rows],
            prompt_lengths=prompt_lengths,
            row_lengths=row_lengths,
            device=self.device,
        )
        tokens = torch.tensor([row.tokens[-1] for row in self.rows], device=self.device)
        positions = torch.tensor(prompt_lengths, device=self.device) + torch.tensor(row_lengths, device=self.device)
        hidden = self.engine.part.run_layout(tokens[:, None], positions[:, None], layout)
        self._take(0, self._logits(hidden[:, 0]))

    def _logits(self, hidden: Tensor) -> Tensor:
        """(n, D) -> (n, V) float32, by the model's own layer, which may be packed."""
        products: Tensor = self.engine.part.model.get_output_embeddings()(hidden)
        return self.head.shaped(products)

    def _take(self, first: int, logits: Tensor) -> None:
        """Choose the next token of the rows from `first` on, and let finished ones go."""
        rows = self.rows[first:]
        for rule in self.engine.rules:
            logits = rule(logits, [row.tokens for row in rows])
        uniform = torch.stack([row.uniform[len(row.tokens)] for row in rows]).to(self.device)
        tokens, logps = choose(logits, uniform, self.decoding)
        finished = set()
        for index, (row, token, logp) in enumerate(
            zip(rows, tokens.tolist(), logps.tolist(), strict=True), start=first
        ):
            row.tokens.append(token)
            row.logps.append(logp)
            if token in self.engine.stop_tokens or len(row.tokens) == self.decoding.max_tokens:
                self.done[row.request, row.number] = self._sample(row)
                finished.add(index)
        if finished:
            self._drop(finished)

    def _sample(self, row: _Row) -> Sample:
        return Sample(
            tokens=tuple(row.tokens),
            logps=tuple(row.logps),
            finish="stop" if row.tokens[-1] in self.engine.stop_tokens else "length",
            policy_version=self.engine.policy_version,
        )

    def _drop(self, finished: Collection[int]) -> None:
        """Free the rows of finished samples, and the slots of prompts that no sample needs any more."""
        _close_up(self.rows, finished, self.cache.rows)
        needed = {row.prompt for row in self.rows} | self.logits.keys()
        ended = [slot for slot, prompt in enumerate(self.prompts) if prompt not in needed]
        _close_up(self.prompts, ended, self.cache.prompts)


def _close_up(items: list[ItemT], gone: Collection[int], store: Store) -> None:
    """Take the items at the places `gone` away; the last ones move into the gaps, in the store as well."""
    count = len(items) - len(gone)
    gaps = [place for place in gone if place < count]
    moving = [place for place in range(count, len(items)) if place not in gone]
    store.move(moving, gaps)
    for source, target in zip(moving, gaps, strict=True):
        items[target] = items[source]
    del items[count:]
