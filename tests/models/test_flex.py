"""Trees by FlexAttention: the masks from their definition, values and gradients against the layout by segments.

On the CPU FlexAttention runs uncompiled here, with the switch that torch keeps for such tests, because torch trains
with it on GPUs alone; one slow test compiles the forward pass, which is where the blocks are read. The tests marked
`gpu` run the compiled kernels both ways.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import flex_attention as torchs

from burnish.batch import Branch, Tree, pack
from burnish.models import flex
from burnish.models.attention import TreeLayout
from burnish.models.flex import FlexLayout, attention_by, attention_for, block_mask, seen_blocks, seen_tokens
from burnish.models.language import LanguageModel
from burnish.numerics import TOLERANCE, generator_from
from tests.models.rules import PLAIN, RULES
from tests.models.tiny import tiny_model

CPU, GPU = torch.device("cpu"), torch.device("cuda")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
HEADS, SHARED, SIZE = 4, 2, 16
TREES = [(3, [4, 2, 0, 1]), (2, [3]), (5, []), (1, [6, 6])]


@pytest.fixture
def uncompiled(monkeypatch):
    """FlexAttention as its definition, backward included."""
    monkeypatch.setattr(torchs, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    monkeypatch.setattr(torchs, "_validate_device", lambda query, key, value: None)
    monkeypatch.setattr(flex, "_compiled", lambda: torchs.flex_attention)


def segments_of(shape):
    """`shape` is a list of (prompt length, completion lengths)."""
    trees = [
        Tree(id="x", prompt=[1] * prompt, branches=tuple(Branch(tokens=[1] * n, weights=[1.0] * n) for n in lengths))
        for prompt, lengths in shape
    ]
    return pack(trees).segments


def states_of(segments, device=CPU, size=SIZE):
    return [
        torch.randn(1, heads, segments[-1].stop, size, generator=generator_from("flex", name)).to(device)
        for name, heads in (("query", HEADS), ("key", SHARED), ("value", SHARED))
    ]


def dense(segments, window):
    """Who sees whom, token by token: one's own path up to oneself, the last `window` tokens of it. (T, T)"""
    length = segments[-1].stop
    mask = torch.zeros(length, length, dtype=torch.bool)
    for segment in segments:
        prompt = range(*segments[segment.parent][:2]) if segment.parent >= 0 else range(0)
        path = [*prompt, *range(segment.start, segment.stop)]
        for place in range(len(prompt), len(path)):
            mask[path[place], path[max(0, place + 1 - window) if window else 0 : place + 1]] = True
    return mask


SHAPES = st.lists(
    st.tuples(st.integers(1, 9), st.lists(st.integers(0, 9), min_size=0, max_size=4)), min_size=1, max_size=4
)
WINDOWS = st.sampled_from([None, 1, 2, 5])


@settings(deadline=None)
@given(SHAPES, WINDOWS)
def test_tokens_are_seen_as_the_definition_says(shape, window):
    segments = segments_of(shape)
    places = torch.arange(segments[-1].stop)
    nothing = torch.tensor(0)
    found = seen_tokens(segments, window, CPU)(nothing, nothing, places[:, None], places[None, :])
    assert torch.equal(found, dense(segments, window))


@settings(deadline=None)
@given(SHAPES, WINDOWS, st.integers(1, 5))
def test_no_seen_block_is_left_out_and_no_other_is_called_full(shape, window, block):
    segments = segments_of(shape)
    some, full = (torch.from_numpy(blocks) for blocks in seen_blocks(segments, window, block))
    mask = dense(segments, window)
    count = some.shape[0]
    room = torch.zeros(count * block, count * block, dtype=torch.bool)
    room[: len(mask), : len(mask)] = mask
    tiles = room.view(count, block, count, block).transpose(1, 2)
    assert torch.equal(some, tiles.any(-1).any(-1))
    assert not (full & ~tiles.all(-1).all(-1)).any()
    assert not (full & ~some).any()


def test_long_segments_have_full_blocks():
    """Tiles of 4: the prompt of 8 and the children that start on a tile's edge see whole tiles."""
    _, full = seen_blocks(segments_of([(8, [8, 8])]), None, 4)
    assert full.astype(int).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 1, 0],
    ]


def test_the_block_mask_is_the_one_that_torch_makes_from_the_same_mask():
    segments = segments_of([(300, [200, 150]), (90, [60, 400])])
    length = segments[-1].stop
    made = block_mask(segments, None, CPU)
    expected = torchs.create_block_mask(seen_tokens(segments, None, CPU), None, None, length, length, device="cpu")
    assert torch.equal(made.to_dense(), expected.to_dense())
    assert made.seq_lengths == expected.seq_lengths == (length, length)
    assert torch.equal(
        made.kv_num_blocks + made.full_kv_num_blocks, expected.kv_num_blocks + expected.full_kv_num_blocks
    )
    assert int(made.full_kv_num_blocks.sum()) > 0
    assert torch.equal(made.q_num_blocks + made.full_q_num_blocks, expected.q_num_blocks + expected.full_q_num_blocks)


def results(layout, segments, rules, device=CPU):
    """The output, and the gradients of everything that has one."""
    states = [state.requires_grad_() for state in states_of(segments, device)]
    sinks = None if rules.sinks is None else rules.sinks.to(device).requires_grad_()
    output = layout.attend(0, *states, replace(rules, sinks=sinks))
    factor = torch.randn(output.shape, generator=generator_from("factor")).to(output)
    leaves = [*states, *([sinks] if sinks is not None else [])]
    return [output.detach(), *torch.autograd.grad((output * factor).sum(), leaves)]


@pytest.mark.parametrize("name", RULES)
def test_values_and_gradients_are_those_of_the_layout_by_segments(uncompiled, name):
    segments = segments_of(TREES)
    found = results(FlexLayout(segments, CPU), segments, RULES[name])
    expected = results(TreeLayout(segments), segments, RULES[name])
    for one, other in zip(found, expected, strict=True):
        assert float((one - other).abs().max()) < 1e-5


def test_layers_share_the_mask_of_their_window(uncompiled, monkeypatch):
    segments, made = segments_of(TREES), []
    original = flex.block_mask
    monkeypatch.setattr(flex, "block_mask", lambda *arguments: made.append(arguments[1]) or original(*arguments))
    layout = FlexLayout(segments, CPU)
    for layer, window in enumerate((None, 3, None, 3, None)):
        layout.attend(layer, *states_of(segments), replace(PLAIN, window=window))
    assert made == [None, 3]


@pytest.mark.parametrize(("rules", "size"), [(replace(PLAIN, dropout=0.5), SIZE), (PLAIN, 8)], ids=["dropout", "small"])
def test_what_flexattention_cannot_do_is_computed_by_segments(rules, size):
    def call(*arguments, **settings):
        raise AssertionError("called")

    segments = segments_of(TREES)
    states = states_of(segments, size=size)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = FlexLayout(segments, CPU, call=call).attend(0, *states, rules)
        torch.manual_seed(0)
        assert torch.equal(found, TreeLayout(segments).attend(0, *states, rules))


def test_the_device_chooses_unless_segments_are_asked_for():
    assert attention_for(GPU) == ("flex", "")
    assert attention_for(CPU) == ("segments", "FlexAttention trains on a GPU, and the device is 'cpu'")
    with attention_by("segments"):
        assert attention_for(GPU) == ("segments", "asked for")
    assert attention_for(GPU) == ("flex", "")
    assert isinstance(flex.tree_layout(segments_of(TREES), CPU), TreeLayout)


def batch_of(shape):
    generator = generator_from("words")

    def drawn(count):
        return torch.randint(1, 90, (count,), generator=generator).tolist()

    return pack(
        [
            Tree(
                id=str(index),
                prompt=drawn(prompt),
                branches=tuple(Branch(tokens=drawn(n), weights=[1.0] * n) for n in lengths),
            )
            for index, (prompt, lengths) in enumerate(shape)
        ]
    )


@pytest.mark.parametrize("name", ["llama", "qwen2-sliding", "gemma2", "gpt_oss", "gpt2"])
def test_a_whole_model_has_the_same_log_probs_and_gradients(uncompiled, monkeypatch, name):
    """Positions, shared heads, windows, caps and sinks, through transformers' own code."""
    monkeypatch.setattr(flex, "LEAST_HEAD", 1)
    batch = batch_of(TREES)
    found = {}
    for kind in ("segments", "flex"):
        if kind == "flex":
            monkeypatch.setattr(flex, "attention_for", lambda device: ("flex", ""))
        part = LanguageModel(tiny_model(name).requires_grad_(True))
        logp = part(batch, frozenset({"logp"}))["logp"]
        logp.sum().backward()
        found[kind] = logp.detach(), {n: p.grad for n, p in part.named_parameters() if p.grad is not None}
    assert float((found["flex"][0] - found["segments"][0]).abs().max()) < TOLERANCE[torch.float32]
    assert found["flex"][1].keys() == found["segments"][1].keys()
    for parameter, gradient in found["segments"][1].items():
        assert float((found["flex"][1][parameter] - gradient).abs().max()) < 1e-3 * max(1, float(gradient.abs().max()))


def test_models_with_other_heads_do_not_use_up_what_may_be_compiled():
    """torch ends a whole graph at its ninth variant; a run with a policy, a critic and reward models has more."""
    call, segments = flex._compiled("eager"), segments_of(TREES)
    with torch.no_grad():
        for heads, shared, size in [(2 * n, n, s) for n in (1, 2, 3, 4) for s in (16, 32, 48)]:
            states = [torch.randn(1, n, segments[-1].stop, size) for n in (heads, shared, shared)]
            found = FlexLayout(segments, CPU, call=call).attend(0, *states, PLAIN)
            assert float((found - TreeLayout(segments).attend(0, *states, PLAIN)).abs().max()) < 1e-5


@pytest.mark.slow
def test_the_compiled_forward_pass_reads_the_right_blocks():
    """Compiled for the CPU, where blocks that the mask leaves out are not visited; needs a C++ compiler.

    Without windows: torch 2.13 writes C++ for those on a CPU that does not compile.
    """
    segments = segments_of([(300, [200, 150]), (90, [60, 400])])
    states = states_of(segments)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, as it compiles
        found = FlexLayout(segments, CPU).attend(0, *states, PLAIN)
    expected = TreeLayout(segments).attend(0, *states, PLAIN)
    assert float((found - expected).abs().max()) < 1e-5


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("name", RULES)
def test_on_a_gpu_values_and_gradients_are_those_of_the_layout_by_segments(name):
    segments = segments_of([(300, [200, 150]), (90, [60, 400])])
    rules = replace(RULES[name], window=RULES[name].window and 130)
    found = results(FlexLayout(segments, GPU), segments, rules, GPU)
    expected = results(TreeLayout(segments), segments, rules)
    for one, other in zip(found, expected, strict=True):
        assert float((one.cpu() - other).abs().max()) < 5e-3 * max(1.0, float(other.abs().max()))


@pytest.mark.gpu
@needs_gpu
def test_on_a_gpu_rows_of_other_lengths_need_no_other_kernel():
    layouts = [segments_of([(300 + 37 * index, [200, 150 + index])]) for index in range(12)]
    for segments in layouts:
        found = results(FlexLayout(segments, GPU), segments, PLAIN, GPU)[0]
        assert float((found.cpu() - results(TreeLayout(segments), segments, PLAIN)[0]).abs().max()) < 5e-3
