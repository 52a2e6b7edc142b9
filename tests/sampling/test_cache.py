"""The cache: prompts are shared by the rows that read them, and decoding over it is ordinary attention."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from burnish.models.attention import Rules, causal_attention
from burnish.numerics import generator_from
from burnish.sampling.cache import Cache, Decode, Prefill, Store, fitting_cache

HEADS, KEY_HEADS, SIZE = 6, 2, 8
PLAIN = Rules(scaling=None, window=None, soft_cap=None, sinks=None, dropout=0.0)
RULES = {
    "plain": PLAIN,
    "scaled": replace(PLAIN, scaling=0.7),
    "window inside the row": replace(PLAIN, window=2),
    "window into the prompt": replace(PLAIN, window=5),
    "soft cap": replace(PLAIN, soft_cap=0.5),
    "sinks": replace(PLAIN, sinks=torch.linspace(-1, 3, HEADS)),
    "all": Rules(scaling=0.9, window=5, soft_cap=2.0, sinks=torch.linspace(-1, 3, HEADS), dropout=0.0),
}
PROMPTS = (7, 1, 4)
SLOTS = (2, 0, 0, 1, 0, 2)
"""Three rows read the first prompt, one the second, two the third."""


def drawn(length: int, heads: int, *keys: str | int) -> Tensor:
    return torch.randn(1, heads, length, SIZE, generator=generator_from("cache", *keys))


def expected(prompt: tuple[Tensor, Tensor], own: list[tuple[Tensor, Tensor, Tensor]], rules: Rules) -> Tensor:
    """The newest query of a row against all keys before it, by ordinary attention. (1, H, 1, d)"""
    keys, values = (torch.cat([prompt[i], *(step[i + 1] for step in own)], dim=2) for i in (0, 1))
    return causal_attention(own[-1][0], keys, values, rules)


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_decoding_over_shared_prompts_is_ordinary_attention(rules: Rules):
    """Rows of different lengths that begin at different times, over prompts of different lengths."""
    cache = Cache(num_prompts=4, prompt_tokens=9, num_rows=8, row_tokens=6)
    prompts = [(drawn(n, KEY_HEADS, "k", n), drawn(n, KEY_HEADS, "v", n)) for n in PROMPTS]
    keys, values = (torch.cat([prompt[i] for prompt in prompts], dim=2) for i in (0, 1))
    Prefill(cache, PROMPTS, first=0).attend(0, drawn(sum(PROMPTS), HEADS, "q"), keys, values, rules)
    own: list[list[tuple[Tensor, Tensor, Tensor]]] = [[] for _ in SLOTS]
    for step in range(5):
        count = min(2 + step, len(SLOTS))
        for row in range(count):
            heads = (HEADS, KEY_HEADS, KEY_HEADS)
            own[row].append(tuple(drawn(1, n, step, row, i) for i, n in enumerate(heads)))
        layout = Decode(
            cache,
            slots=SLOTS[:count],
            prompt_lengths=[PROMPTS[slot] for slot in SLOTS[:count]],
            row_lengths=[len(row) - 1 for row in own[:count]],
            device=torch.device("cpu"),
        )
        query, key, value = (torch.cat([row[-1][i] for row in own[:count]]) for i in range(3))
        found = layout.attend(0, query, key, value, rules)
        assert found.shape == (count, HEADS, 1, SIZE)
        for row in range(count):
            assert (found[row] - expected(prompts[SLOTS[row]], own[row], rules)[0]).abs().max() <= 1e-5


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_prompts_side_by_side_do_not_see_each_other(rules: Rules):
    cache = Cache(num_prompts=3, prompt_tokens=7, num_rows=1, row_tokens=1)
    query, key, value = (drawn(sum(PROMPTS), heads, heads, "side") for heads in (HEADS, KEY_HEADS, KEY_HEADS))
    found = Prefill(cache, PROMPTS, first=0).attend(0, query, key, value, rules)
    pieces = zip(*(tensor.split(PROMPTS, dim=2) for tensor in (query, key, value)), strict=True)
    alone = torch.cat([causal_attention(*piece, rules) for piece in pieces], dim=2)
    assert torch.equal(found, alone)


def test_later_prompts_take_the_slots_that_follow():
    cache = Cache(num_prompts=3, prompt_tokens=4, num_rows=1, row_tokens=1)
    first, second = (drawn(3, KEY_HEADS, name) for name in ("first", "second"))
    Prefill(cache, [1, 2], first=0).attend(0, drawn(3, HEADS, "q"), first, first, PLAIN)
    Prefill(cache, [3], first=2).attend(0, drawn(3, HEADS, "q"), second, second, PLAIN)
    keys, _ = cache.prompts.layer(0, first)
    assert torch.equal(keys[0, :, :1], first[0, :, :1])
    assert torch.equal(keys[1, :, :2], first[0, :, 1:])
    assert torch.equal(keys[2, :, :3], second[0])


def test_layers_are_kept_apart_and_moved_together():
    store = Store(3, 2)
    store.reserve(2)
    like = drawn(1, KEY_HEADS, "like")
    for layer in (0, 5):
        keys, values = store.layer(layer, like)
        assert keys.shape == values.shape == (3, KEY_HEADS, 2, SIZE)
        for place in range(3):
            keys[place], values[place] = 10 * layer + place, -10 * layer - place
    store.move([2], [0])
    for layer in (0, 5):
        keys, values = store.layer(layer, like)
        assert [float(keys[place, 0, 0, 0]) for place in range(3)] == [10 * layer + n for n in (2, 1, 2)]
        assert [float(values[place, 0, 0, 0]) for place in range(3)] == [-10 * layer - n for n in (2, 1, 2)]


def test_a_store_grows_with_what_it_holds_and_keeps_it():
    """By a quarter at least, so that copies are few, in steps of 16, and never beyond what it may hold."""
    store = Store(2, 100)
    like = drawn(1, KEY_HEADS, "like")
    widths = []
    for tokens in range(1, 101):
        store.reserve(tokens)
        widths.append(store.width)
        for layer in (0, 3):
            keys, values = store.layer(layer, like)
            assert keys.shape == values.shape == (2, KEY_HEADS, store.width, SIZE)
            assert keys.is_contiguous()
            keys[:, :, tokens - 1], values[:, :, tokens - 1] = tokens + layer, -tokens
    assert sorted(set(widths)) == [16, 32, 48, 64, 80, 100]
    for layer in (0, 3):
        keys, values = store.layer(layer, like)
        assert keys[1, 0, :, 0].tolist() == [float(tokens + layer) for tokens in range(1, 101)]
        assert values[1, 0, :, 0].tolist() == [-float(tokens) for tokens in range(1, 101)]


# How much fits --------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    budget=st.integers(0, 500),
    prompt=st.integers(1, 60),
    row=st.integers(1, 60),
    prompts=st.integers(1, 40),
    group=st.integers(1, 9),
    max_rows=st.integers(1, 50),
)
def test_the_cache_stays_within_its_budget(budget: int, prompt: int, row: int, prompts: int, group: int, max_rows: int):
    def fitted(tokens: int) -> Cache:
        return fitting_cache(
            tokens + prompt + row,
            prompt_tokens=prompt,
            row_tokens=row,
            num_prompts=prompts,
            num_samples=prompts * group,
            max_rows=max_rows,
        )

    cache = fitted(budget)
    rows, slots = cache.rows.num_sequences, cache.prompts.num_sequences
    assert cache.num_tokens == slots * prompt + rows * row <= budget + prompt + row
    assert 1 <= rows <= min(max_rows, prompts * group)
    assert 1 <= slots <= min(prompts, rows)
    assert slots * group >= rows, "rows that no sample could ever take"
    assert fitted(budget + 60).rows.num_sequences >= rows


def test_sharing_makes_room_for_more_rows():
    """100 tokens of prompt and 20 of completion: 1,000 tokens hold 8 rows that share nothing, 30 in groups of 10."""

    def rows(num_prompts: int) -> int:
        cache = fitting_cache(
            1000, prompt_tokens=100, row_tokens=20, num_prompts=num_prompts, num_samples=80, max_rows=99
        )
        return cache.rows.num_sequences

    assert rows(80) == 8
    assert rows(8) == 30
