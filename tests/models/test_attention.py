"""Tree attention against the definition: one dense mask, written down token by token, in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from burnish.batch import Branch, Segment, Tree, pack
from burnish.errors import ModelError
from burnish.models import attention
from burnish.models.attention import (
    NAME,
    TreeLayout,
    causal_attention,
    causal_mask,
    layout_attention,
    plain_attention,
)
from burnish.numerics import generator_from
from tests.models.rules import PLAIN, RULES, SINKS

HEADS, SHARED, SIZE = 4, 2, 6


def normal(heads, length, key):
    return torch.randn(1, heads, length, SIZE, generator=generator_from("attention", key))


def queries_keys_values(length):
    return normal(HEADS, length, "query"), normal(SHARED, length, "key"), normal(SHARED, length, "value")


def segments_of(shape):
    """`shape` is a list of (prompt length, completion lengths)."""
    trees = [
        Tree(id="x", prompt=[1] * prompt, branches=tuple(Branch(tokens=[1] * n, weights=[1.0] * n) for n in lengths))
        for prompt, lengths in shape
    ]
    return pack(trees).segments


def dense_mask(segments, window):
    """Who sees whom, from the definition: the tokens of one's own path that are not later, at most `window` of them."""
    length = segments[-1].stop
    mask = torch.zeros(length, length, dtype=torch.bool)
    for segment in segments:
        prompt = segments[segment.parent] if segment.parent >= 0 else Segment(0, 0, -1)
        path = [*range(prompt.start, prompt.stop), *range(segment.start, segment.stop)]
        for place in range(prompt.stop - prompt.start, len(path)):
            first = 0 if window is None else max(0, place + 1 - window)
            mask[path[place], path[first : place + 1]] = True
    return mask


def dense_attention(query, key, value, mask, rules):
    """The definition in float64, head by head."""
    outputs = []
    for head in range(HEADS):
        shared = head // (HEADS // SHARED)
        scaling = SIZE**-0.5 if rules.scaling is None else rules.scaling
        scores = query[0, head].double() @ key[0, shared].double().T * scaling
        if rules.soft_cap is not None:
            scores = rules.soft_cap * torch.tanh(scores / rules.soft_cap)
        weights = scores.exp() * mask
        total = weights.sum(-1, keepdim=True)
        if rules.sinks is not None:
            total = total + rules.sinks[head].double().exp()
        outputs.append(weights / total @ value[0, shared].double())
    return torch.stack(outputs)[None]


SHAPES = st.lists(
    st.tuples(st.integers(1, 5), st.lists(st.integers(0, 5), min_size=0, max_size=3)), min_size=1, max_size=3
)


@settings(deadline=None, max_examples=60)
@given(SHAPES, st.sampled_from(list(RULES)))
def test_any_tree_under_any_rules_is_the_definition(shape, name):
    segments, rules = segments_of(shape), RULES[name]
    states = queries_keys_values(segments[-1].stop)
    found = TreeLayout(segments).attend(0, *states, rules)
    expected = dense_attention(*states, dense_mask(segments, rules.window), rules)
    assert torch.allclose(found.double(), expected, atol=2e-6)


@pytest.mark.parametrize("name", RULES)
def test_gradients_are_those_of_the_definition(name):
    segments, rules = segments_of([(3, [4, 2, 1]), (2, [3])]), RULES[name]
    sinks = None if rules.sinks is None else rules.sinks.clone().requires_grad_()
    results = []
    for compute in ("layout", "definition"):
        states = [state.requires_grad_() for state in queries_keys_values(segments[-1].stop)]
        own = replace(rules, sinks=sinks)
        if compute == "layout":
            output = TreeLayout(segments).attend(0, *states, own)
        else:
            output = dense_attention(*states, dense_mask(segments, rules.window), own)
        factor = torch.randn(output.shape, generator=generator_from("factor")).to(output.dtype)
        leaves = [*states, *([sinks] if sinks is not None else [])]
        results.append(torch.autograd.grad((output * factor).sum(), leaves))
    for found, expected in zip(*results, strict=True):
        assert torch.allclose(found, expected, atol=1e-5)


def test_an_empty_completion_takes_no_part():
    """Trained on, where the kernel for short sequences runs: it cannot take 0 queries."""
    results = []
    for shape in ([(3, [4, 0, 2, 0])], [(3, [4, 2])]):
        segments = segments_of(shape)
        states = [state.requires_grad_() for state in queries_keys_values(segments[-1].stop)]
        results.append(torch.autograd.grad(TreeLayout(segments).attend(0, *states, PLAIN).sin().sum(), states))
    assert all(torch.equal(found, expected) for found, expected in zip(*results, strict=True))


@pytest.mark.parametrize("name", RULES)
def test_a_sibling_and_another_tree_move_nothing_at_all(name):
    segments = segments_of([(3, [4, 2, 3]), (2, [3])])
    query, key, value = queries_keys_values(segments[-1].stop)
    before = TreeLayout(segments).attend(0, query, key, value, RULES[name])
    changed = segments[2]
    for tensor in (query, key, value):
        tensor[:, :, changed.start : changed.stop] += 1.0
    after = TreeLayout(segments).attend(0, query, key, value, RULES[name])
    outside = [t for t in range(segments[-1].stop) if not changed.start <= t < changed.stop]
    assert torch.equal(before[:, :, outside], after[:, :, outside])
    assert not torch.equal(before, after)


def test_the_picture_of_the_docstring():
    # keys            p  p  p  a  a  b  b
    drawn = [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 0, 0, 1, 0],
        [1, 1, 1, 0, 0, 1, 1],
    ]
    mask = torch.tensor(drawn, dtype=torch.bool)
    segments = segments_of([(3, [2, 2])])
    assert torch.equal(dense_mask(segments, None), mask)
    states = queries_keys_values(7)
    found = TreeLayout(segments).attend(0, *states, PLAIN)
    assert torch.allclose(found.double(), dense_attention(*states, mask, PLAIN), atol=2e-6)


def calls_of(monkeypatch, segments, rules=PLAIN):
    """(queries, keys, whether a mask is made) of each call of the fused kernel."""
    calls = []
    fused = attention.sdpa

    def recorded(query, key, value, mask, rules, *, is_causal):
        calls.append((query.shape[2], key.shape[2], mask is not None))
        return fused(query, key, value, mask, rules, is_causal=is_causal)

    monkeypatch.setattr(attention, "sdpa", recorded)
    TreeLayout(segments).attend(0, *queries_keys_values(segments[-1].stop), rules)
    return calls


def test_a_prompt_with_its_first_completion_is_one_causal_call(monkeypatch):
    calls = calls_of(monkeypatch, segments_of([(3, [2, 4]), (5, [6])]))
    assert calls == [(5, 5, False), (4, 7, True), (11, 11, False)]


def test_a_window_needs_a_mask_only_where_it_is_shorter_than_the_path(monkeypatch):
    calls = calls_of(monkeypatch, segments_of([(3, [2]), (5, [6])]), replace(PLAIN, window=5))
    assert calls == [(5, 5, False), (11, 11, True)]


def test_a_causal_mask_with_and_without_a_window():
    assert causal_mask(2, 5, None, torch.device("cpu")).int().tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert causal_mask(2, 5, 2, torch.device("cpu")).int().tolist() == [[0, 0, 1, 1, 0], [0, 0, 0, 1, 1]]
    assert causal_mask(1, 1, 1, torch.device("cpu")).tolist() == [[True]]


@pytest.mark.parametrize("name", RULES)
def test_queries_that_are_the_last_tokens_of_their_keys(name):
    """As in cached decoding: only the new tokens ask."""
    query, key, value = queries_keys_values(9)
    whole = causal_attention(query, key, value, RULES[name])
    for new in (1, 4):
        last = causal_attention(query[:, :, -new:], key, value, RULES[name])
        assert torch.allclose(last, whole[:, :, -new:], atol=2e-6)


def test_a_sink_takes_its_share_and_gives_nothing():
    query, key, _ = queries_keys_values(4)
    ones = torch.ones(1, SHARED, 4, SIZE)
    shares = plain_attention(query, key, ones, causal_mask(4, 4, None, query.device), RULES["sinks"])
    assert (shares < 1).all()
    assert shares[0, 3].max() < shares[0, 0].min(), "the larger the sink, the less is left"


@pytest.mark.parametrize("name", ["plain", "soft cap"])
def test_dropout_reaches_the_weights(name):
    query, key, value = queries_keys_values(6)
    nothing = causal_attention(query, key, value, replace(RULES[name], dropout=1.0))
    assert torch.equal(nothing, torch.zeros_like(nothing))
    assert not torch.equal(causal_attention(query, key, value, RULES[name]), nothing)


class Layer(nn.Module):
    def __init__(self, layer_idx):
        super().__init__()
        self.layer_idx = layer_idx


def call(**changes):
    arguments = {"attention_mask": None, "layout": TreeLayout((Segment(0, 3, -1),)), **changes}
    return layout_attention(Layer(1), *queries_keys_values(3), **arguments)


def test_transformers_finds_the_function_by_name():
    assert ALL_ATTENTION_FUNCTIONS[NAME] is layout_attention


def test_the_result_has_the_shape_that_transformers_wants():
    output, weights = call(position_ids=torch.arange(3), use_cache=False, output_attentions=None)
    assert output.shape == (1, 3, HEADS, SIZE)
    assert weights is None
    expected = causal_attention(*queries_keys_values(3), PLAIN)
    assert torch.equal(output, expected.transpose(1, 2))


def test_rules_and_layer_reach_the_layout():
    class Recorder:
        def attend(self, layer, query, key, value, rules):
            self.seen = (layer, rules)
            return query

    recorder = Recorder()
    call(layout=recorder, scaling=0.5, dropout=0.1, sliding_window=7, softcap=2.0, s_aux=SINKS)
    layer, rules = recorder.seen
    assert layer == 1
    assert (rules.scaling, rules.window, rules.soft_cap, rules.dropout) == (0.5, 7, 2.0, 0.1)
    assert rules.sinks is SINKS


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"layout": None}, "no layout"),
        ({"attention_mask": torch.ones(1, 1, 3, 3)}, "a mask"),
        ({"alibi": torch.ones(3), "novelty": 1.0}, r"arguments \['alibi', 'novelty'\]"),
    ],
)
def test_a_call_that_could_go_wrong_is_refused(changes, what):
    with pytest.raises(ModelError, match=f"Layer calls its attention with {what}; use the padded layout for it"):
        call(**changes)


def test_an_argument_that_is_none_is_harmless():
    assert torch.equal(call(alibi=None)[0], call()[0])


def test_a_layer_without_a_number_is_refused():
    with pytest.raises(ModelError, match="Layer does not number its layers; use the padded layout for it"):
        layout_attention(Layer(None), *queries_keys_values(3), None, layout=TreeLayout((Segment(0, 3, -1),)))
