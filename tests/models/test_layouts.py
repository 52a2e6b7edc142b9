"""The tree layout, the padded layout and the model's own plain forward compute the same, for every architecture.

`plain_logps` is the judge: one path at a time, through the whole transformers model with its eager attention, without
anything of Burnish but the model's weights.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from burnish.batch import Branch, Tree, pack
from burnish.errors import ModelError
from burnish.models.attention import Rules, TreeLayout, causal_attention
from burnish.models.language import LanguageModel, check_layouts, head_of, language_model, layout_for
from burnish.numerics import TOLERANCE, generator_from
from tests.models.tiny import ARCHITECTURES, PADDED, VOCABULARY, tiny_model

LOGP = frozenset({"logp"})
NATS = TOLERANCE[torch.float32]
EXPERTS = ("mixtral", "qwen3_moe", "gpt_oss", "noisy_moe")
"""A batched product over an expert's tokens rounds by how many came, so "bitwise" is not claimed for these."""

DEEP = ("llama", "qwen2-sliding", "gemma2", "mixtral", "gpt2", "gpt_oss", "noisy_moe")
"""Architectures whose gradients are compared; the others share their attention's backward pass."""


def drawn(count, *keys):
    return torch.randint(0, VOCABULARY, (count,), generator=generator_from("layouts", *keys)).tolist()


def branch(length, *keys, weights=None):
    tokens = drawn(length, *keys)
    return Branch(tokens=tokens, weights=weights or [1.0] * length)


def sample_trees():
    """Prompts shorter and longer than any window; completions with weights of 0, 1 and between; one of one token."""
    middle = branch(6, "b", 0, weights=[0.0, 1.0, 1.0, 0.0, 0.5, 1.0])
    return [
        Tree(id="a", prompt=drawn(9, "a"), branches=(branch(4, "a", 0), branch(8, "a", 1), branch(2, "a", 2))),
        Tree(id="b", prompt=drawn(1, "b"), branches=(middle,)),
        Tree(id="c", prompt=drawn(4, "c"), branches=(branch(1, "c", 0), branch(7, "c", 1))),
    ]


def with_sibling(trees, tree, index, *keys):
    """`trees` with other tokens in one completion."""
    old = trees[tree].branches
    new = branch(len(old[index].tokens), "other", *keys, weights=old[index].weights)
    changed = Tree(id=trees[tree].id, prompt=trees[tree].prompt, branches=(*old[:index], new, *old[index + 1 :]))
    return [*trees[:tree], changed, *trees[tree + 1 :]]


def plain_logps(model, trees):
    """Log-probs of the scored tokens by the model's own forward, one path at a time."""
    implementation = model.config._attn_implementation
    model.set_attn_implementation("eager")
    pieces = []
    for tree in trees:
        for branch in tree.branches:
            path = torch.tensor([[*tree.prompt, *branch.tokens]])
            logits = model(input_ids=path, use_cache=False).logits[0, len(tree.prompt) - 1 : -1]
            logps = torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(branch.tokens)[:, None])[:, 0]
            pieces.append(logps[torch.tensor(branch.weights) > 0])
    model.set_attn_implementation(implementation)
    return torch.cat(pieces)


def logps(model, trees, layout="auto"):
    return LanguageModel(model, layout=layout)(pack(trees), LOGP)["logp"]


def by_completion(model, trees):
    """The log-probs of each completion, named by its tree and its tokens."""
    batch = pack(trees)
    with torch.no_grad():
        values = LanguageModel(model)(batch, LOGP)["logp"]
    found = {}
    number = 0
    for tree in trees:
        for branch in tree.branches:
            found[tree.id, tuple(branch.tokens)] = values[batch.completion_N == number]
            number += 1
    return found


def assert_same_gradients(found, expected):
    """Within 1e-4 of each parameter's norm; parameters without influence are measured against the others."""
    whole = torch.cat([gradient.flatten() for gradient in expected.values()]).norm()
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        gap = (found[name] - gradient).norm()
        assert gap <= 1e-4 * max(gradient.norm(), 1e-2 * whole), f"{name}: {gap / gradient.norm():.1e}"


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def sft_gradients(model, trees, layout):
    batch = pack(trees)
    part = LanguageModel(model, layout=layout)
    return gradients(model, -(part(batch, LOGP)["logp"] * batch.weight_N).sum())


def plain_gradients(model, trees):
    return gradients(model, -(plain_logps(model, trees) * pack(trees).weight_N).sum())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_both_layouts_agree_with_the_models_own_forward(name):
    model, trees = tiny_model(name), sample_trees()
    with torch.no_grad():
        expected = plain_logps(model, trees)
        assert expected.std() > 0.5, "a model that says the same everywhere would prove nothing"
        part = language_model(model)
        assert (part.layout, part.reason) == ("tree", "")
        assert (logps(model, trees, "tree") - expected).abs().max() <= NATS
        assert (logps(model, trees, "padded") - expected).abs().max() <= NATS


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_packed_equals_alone_in_any_order(name):
    model, trees = tiny_model(name), sample_trees()
    packed, turned = by_completion(model, trees), by_completion(model, trees[::-1])
    for tree in trees:
        for key, alone in by_completion(model, [tree]).items():
            assert (packed[key] - alone).abs().max() <= NATS
            assert (turned[key] - alone).abs().max() <= NATS
    for piece in trees[0].pieces():
        for key, alone in by_completion(model, [piece]).items():
            assert (packed[key] - alone).abs().max() <= NATS


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_a_sibling_says_moves_nothing(name):
    model, trees = tiny_model(name), sample_trees()
    before = by_completion(model, trees)
    for tree, index in ((0, 0), (0, 1), (2, 1)):
        after = by_completion(model, with_sibling(trees, tree, index, tree, index))
        kept = before.keys() & after.keys()
        assert len(kept) == len(before) - 1
        for key in kept:
            if name in EXPERTS:
                assert (before[key] - after[key]).abs().max() <= NATS
            else:
                assert torch.equal(before[key], after[key])


@pytest.mark.parametrize("name", DEEP)
def test_gradients_agree_between_the_layouts_and_the_plain_forward(name):
    model, trees = tiny_model(name), sample_trees()
    expected = plain_gradients(model, trees)
    assert_same_gradients(sft_gradients(model, trees, "tree"), expected)
    assert_same_gradients(sft_gradients(model, trees, "padded"), expected)


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_gradient_checkpointing_changes_nothing(name):
    model, trees = tiny_model(name), sample_trees()
    expected = sft_gradients(model, trees, "tree")
    model.train().activation_checkpointing_enable()
    assert model.is_activation_checkpointing
    assert_same_gradients(sft_gradients(model, trees, "tree"), expected)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_gradient_through_a_shared_prompt_is_the_sum_over_its_completions(name):
    model, tree = tiny_model(name), sample_trees()[0]
    together = sft_gradients(model, [tree], "tree")
    apart = [sft_gradients(model, [piece], "tree") for piece in tree.pieces()]
    summed = {parameter: sum(piece[parameter] for piece in apart) for parameter in together}
    assert_same_gradients(together, summed)
    # The rows of the embedding that only the prompt uses get something from every completion.
    embedding = next(name for name, p in model.named_parameters() if p is model.get_input_embeddings().weight)
    spoken = {token for branch in tree.branches for token in branch.tokens}
    silent = [token for token in tree.prompt if token not in spoken]
    assert silent
    assert all(piece[embedding][silent].abs().sum() > 0 for piece in apart)


@pytest.mark.parametrize("name", PADDED)
def test_a_model_that_cannot_run_trees_takes_the_padded_layout_and_says_why(name):
    model, trees = tiny_model(name), sample_trees()
    part = language_model(model)
    assert part.layout == "padded"
    assert part.reason
    with torch.no_grad():
        expected = plain_logps(model, trees)
        assert expected.std() > 0.5
        assert (part(pack(trees), LOGP)["logp"] - expected).abs().max() <= NATS
        alone = torch.cat([part(pack([piece]), LOGP)["logp"] for tree in trees for piece in tree.pieces()])
        assert (alone - expected).abs().max() <= NATS
    with pytest.raises(ModelError, match="'padded'"):
        language_model(tiny_model(name), layout="tree")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("llama-dynamic", "its positions are scaled by 'dynamic', which depends on the length of the row"),
        ("phi3-longrope", "its positions are scaled by 'longrope', which depends on the length of the row"),
        ("qwen3_next", "it has layers of kind linear_attention"),
        ("lfm2", "it has layers of kind conv"),
    ],
)
def test_what_the_config_says_is_known_before_any_computation(name, reason):
    config = tiny_model(name).config
    assert layout_for(config, "auto") == ("padded", reason)
    with pytest.raises(ModelError) as caught:
        layout_for(config, "tree")
    assert str(caught.value) == f"layout 'tree' cannot run this model: {reason}; use layout 'auto' or 'padded'"


def test_attention_in_chunks_of_the_row_is_padded():
    config = tiny_model("llama").config
    config.attention_chunk_size = 4
    assert layout_for(config, "auto") == ("padded", "its attention is cut into chunks of the row")


def test_padded_is_obeyed():
    assert layout_for(tiny_model("llama").config, "padded") == ("padded", "asked for")
    assert language_model(tiny_model("llama"), layout="padded").layout == "padded"


class AllSee(TreeLayout):
    """Every token sees all before it in the row, as if there were no trees."""

    def attend(self, layer, query, key, value, rules):
        return causal_attention(query, key, value, rules)


class Blind(LanguageModel):
    """A part whose model ignores the layout."""

    def run_layout(self, tokens, positions, layout):
        return super().run_layout(tokens, positions, AllSee(layout.segments))


class OffByOne(LanguageModel):
    """A part whose positions run on from one completion to the next."""

    def run_layout(self, tokens, positions, layout):
        return super().run_layout(tokens, positions + (positions > 6), layout)


def test_the_check_finds_a_model_that_ignores_the_layout():
    with pytest.raises(
        ModelError, match=r"LlamaForCausalLM in the tree layout is wrong: a sibling completion changes it by .* nats"
    ):
        check_layouts(Blind(tiny_model("llama"), layout="tree"))


class Rounding(LanguageModel):
    """A part whose sums round by what else is in the row, as batched experts do."""

    def run_layout(self, tokens, positions, layout):
        return super().run_layout(tokens, positions, layout) + 1e-8 * tokens.sum()


def test_the_check_allows_for_rounding():
    part = Rounding(tiny_model("llama"), layout="tree")
    trees = sample_trees()
    with torch.no_grad():
        before, after = (part(pack(some), LOGP)["logp"][12:] for some in (trees, with_sibling(trees, 0, 0)))
    assert not torch.equal(before, after)
    check_layouts(part)


def test_the_check_finds_wrong_positions():
    with pytest.raises(ModelError, match="nats off the plain forward; load it with layout 'padded'"):
        check_layouts(OffByOne(tiny_model("llama"), layout="tree"))


def windowless(window):
    """A model whose second layer does not pass its sliding window on."""
    model = tiny_model("qwen2-sliding")
    model.config.sliding_window = window
    model.config.layer_types = ["sliding_attention", "sliding_attention"]
    model.model.layers[0].self_attn.sliding_window = window
    return model


def test_the_check_finds_a_window_that_is_not_passed_on():
    """The window is longer than what the check computes, so only the call itself gives it away."""
    with pytest.raises(ModelError) as caught:
        check_layouts(LanguageModel(windowless(4096), layout="tree"))
    found = "Qwen2ForCausalLM has a sliding window of 4096 in layer 1, but its attention asks for None"
    assert str(caught.value) == f"{found}; load it with layout 'padded'"


def test_auto_falls_back_when_the_check_fails():
    model, trees = windowless(4096), sample_trees()
    part = language_model(model)
    assert part.layout == "padded"
    assert "sliding window of 4096 in layer 1" in part.reason
    with torch.no_grad():
        assert (part(pack(trees), LOGP)["logp"] - plain_logps(model, trees)).abs().max() <= NATS


def test_a_layout_asked_for_by_name_does_not_fall_back():
    with pytest.raises(ModelError, match="sliding window of 4096 in layer 1"):
        language_model(windowless(4096), layout="tree")


class Broken(LanguageModel):
    """A part whose model fails in the tree layout."""

    def run_layout(self, tokens, positions, layout):
        raise TypeError("forward() got an unexpected keyword argument 'layout'\n")


def test_a_model_that_fails_in_the_check_is_named():
    with pytest.raises(ModelError, match="LlamaForCausalLM cannot run the tree layout: forward"):
        check_layouts(Broken(tiny_model("llama"), layout="tree"))


def test_the_check_leaves_the_model_as_it_found_it():
    model = tiny_model("gemma2")
    part = LanguageModel(model)
    before, state = model.config._attn_implementation, torch.get_rng_state()
    check_layouts(part)
    assert model.config._attn_implementation == before
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("layout", ["tree", "padded"])
def test_a_temperature_divides_the_logits(layout):
    model, trees = tiny_model("llama"), sample_trees()
    part = language_model(model, layout=layout, temperature=0.5)
    with torch.no_grad():
        found = part(pack(trees), LOGP)["logp"]
        model.lm_head.weight *= 2
        assert (found - plain_logps(model, trees)).abs().max() <= NATS


@pytest.mark.parametrize("name", ["llama", "gemma2", "falcon_h1"])
def test_hidden_states_and_the_head_give_the_models_own_logits(name):
    model, tree = tiny_model(name), sample_trees()[0].pieces()[1]
    batch = pack([tree])
    with torch.no_grad():
        outputs = language_model(model)(batch, frozenset({"hidden", "logp"}))
        assert outputs.keys() == {"hidden", "logp"}
        assert outputs["hidden"].shape == (8, 32)
        logits = head_of(model).logits(outputs["hidden"])
        model.set_attn_implementation("eager")
        expected = model(input_ids=torch.tensor([[*tree.prompt, *tree.branches[0].tokens]]), use_cache=False).logits
    assert (logits - expected[0, len(tree.prompt) - 1 : -1]).abs().max() <= NATS


@pytest.mark.parametrize("changes", [{}, {"bias": 3.0}, {"scale": 0.5}, {"soft_cap": 2.0}], ids=str)
def test_a_teacher_comes_through_the_context_with_its_whole_head(changes):
    student, teacher = LanguageModel(tiny_model("llama")), LanguageModel(tiny_model("qwen3", seed=1))
    batch = pack(sample_trees())
    parts = {name: torch.tensor(value) for name, value in changes.items()}
    if "bias" in parts:
        parts["bias"] = parts["bias"] * torch.linspace(-1, 1, VOCABULARY)
    with torch.no_grad():
        hidden, weight = teacher(batch, frozenset({"hidden"}))["hidden"], head_of(teacher.model).weight
        context = {f"teacher_{name}": value for name, value in {"hidden": hidden, "weight": weight, **parts}.items()}
        found = student(batch, frozenset({"forward_kl"}), context)["forward_kl"]
        own = head_of(student.model).logits(student.hidden(batch))
    logits = (hidden @ weight.T + parts.get("bias", torch.tensor(0.0))) * parts.get("scale", torch.tensor(1.0))
    if "soft_cap" in parts:
        logits = parts["soft_cap"] * torch.tanh(logits / parts["soft_cap"])
    own, other = torch.log_softmax(own, dim=-1), torch.log_softmax(logits, dim=-1)
    expected = nn.functional.kl_div(own, other, reduction="none", log_target=True).sum(-1)
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_head_that_is_not_linear_is_refused():
    model = tiny_model("llama")
    model.lm_head = nn.Sequential(model.lm_head)
    with pytest.raises(ModelError, match="LlamaForCausalLM has Sequential as its output head; a linear one is needed"):
        head_of(model)


def test_rules_reach_the_layout_as_the_config_has_them():
    seen = {}

    class Recorder(TreeLayout):
        def attend(self, layer, query, key, value, rules: Rules):
            seen[layer] = (rules.window, rules.soft_cap, rules.sinks is not None)
            return super().attend(layer, query, key, value, rules)

    batch = pack(sample_trees())
    for name in ("gemma2", "gpt_oss"):
        part = LanguageModel(tiny_model(name))
        with torch.no_grad():
            part.run_layout(batch.tokens_T[None], batch.positions_T[None], Recorder(batch.segments))
        sinks, cap = name == "gpt_oss", 2.0 if name == "gemma2" else None
        assert seen == {0: (4, cap, sinks), 1: (None, cap, sinks)}
