"""Values are read before each scored token, and depend on nothing but the text up to there."""

from __future__ import annotations

import pytest
import torch

from burnish.batch import Branch, Tree, pack
from burnish.errors import ModelError
from burnish.models.classifier import load_reward_model, save_reward_model
from burnish.models.language import LanguageModel
from burnish.models.lora import Lora, add_lora
from burnish.models.score import ScoreModel
from burnish.models.value import PolicyWithValue, ValueModel, policy_with_value, value_model, value_model_from_reward
from burnish.numerics import cast_weights, generator_from
from tests.models.test_score import loud
from tests.models.tiny import ARCHITECTURES, PADDED, VOCABULARY, tiny_model
from tests.stages.tiny_chat import tiny_tokenizer

VALUE = frozenset({"value"})
POINTS = 3e-4
"""Values here have a spread of about 5; this is rounding."""


def drawn(count: int, *keys: str | int) -> list[int]:
    return torch.randint(0, VOCABULARY, (count,), generator=generator_from("value", *keys)).tolist()


def answer(length: int, *keys: str | int, weights=None) -> Branch:
    return Branch(tokens=drawn(length, *keys), weights=weights or [1.0] * length)


TREES = [
    Tree(id="a", prompt=drawn(9, "a"), branches=(answer(4, "a", 0), answer(8, "a", 1))),
    Tree(id="b", prompt=drawn(1, "b"), branches=(answer(6, "b", 0, weights=[0.0, 1.0, 1.0, 0.0, 0.5, 1.0]),)),
    Tree(id="c", prompt=drawn(4, "c"), branches=tuple(answer(7 - k, "c", k) for k in range(3))),
]


def critic(name: str = "llama", *, layout: str = "auto", start: str = "fresh") -> ValueModel:
    part = ValueModel(tiny_model(name), layout=layout, start=start, seed=0)
    part.head.weight.data *= 20  # large enough to notice a mistake
    return part


def values(part, trees) -> torch.Tensor:
    with torch.no_grad():
        return part(pack(trees), VALUE)["value"]


def plain_values(part, trees) -> torch.Tensor:
    """One text at a time, each state computed from the tokens up to it alone, by the model's own eager forward."""
    model, found = part.language.model, []
    implementation = model.config._attn_implementation
    model.set_attn_implementation("eager")
    for tree in trees:
        for branch in tree.branches:
            for place, weight in enumerate(branch.weights):
                if weight > 0:
                    seen = torch.tensor([[*tree.prompt, *branch.tokens[:place]]])
                    with torch.no_grad():
                        state = model.get_decoder()(input_ids=seen, use_cache=False).last_hidden_state[0, -1]
                    found.append(float(part.head.weight[0].detach() @ state))
    model.set_attn_implementation(implementation)
    return torch.tensor(found)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_both_layouts_give_the_value_of_the_text_before_each_token(name):
    tree, padded = critic(name, layout="tree"), critic(name, layout="padded")
    expected = plain_values(tree, TREES)
    assert expected.std() > 0.3, "values that are all alike would prove nothing"
    assert values(tree, TREES).shape == (4 + 8 + 4 + 7 + 6 + 5,)
    assert (values(tree, TREES) - expected).abs().max() <= POINTS
    assert (values(padded, TREES) - expected).abs().max() <= POINTS


@pytest.mark.parametrize("name", PADDED)
def test_models_without_the_tree_layout_give_it_too(name):
    part = value_model(tiny_model(name), start="fresh")
    part.head.weight.data *= 20
    assert part.layout == "padded"
    expected = plain_values(part, TREES)
    assert expected.std() > 0.3
    assert (values(part, TREES) - expected).abs().max() <= POINTS


@pytest.mark.parametrize("layout", ["tree", "padded"])
def test_values_do_not_depend_on_what_else_is_in_the_batch(layout):
    part = critic(layout=layout)
    together = values(part, TREES)
    alone = torch.cat([values(part, [piece]) for tree in TREES for piece in tree.pieces()])
    assert (together - alone).abs().max() <= POINTS
    turned = values(part, TREES[::-1]).split([18, 4, 12])
    assert (torch.cat(turned[::-1]) - together).abs().max() <= POINTS


def test_padding_has_no_value_and_changes_none():
    """A short answer beside a long one: its row is padded, and its values are those it has without padding."""
    part = critic(layout="padded")
    short = Tree(id="short", prompt=drawn(3, "s"), branches=(answer(2, "s"),))
    long = Tree(id="long", prompt=drawn(9, "l"), branches=(answer(30, "l"),))
    both = values(part, [short, long])
    assert both.shape == (32,)
    assert (both[:2] - values(part, [short])).abs().max() <= POINTS


def test_the_last_token_of_a_completion_moves_no_value():
    """A value is of the state before its token, so nothing sees what came last."""
    part = critic()
    *earlier, last = TREES[0].branches[0].tokens
    other = Branch(tokens=[*earlier, (last + 1) % VOCABULARY], weights=[1.0] * 4)
    changed = Tree(id="a", prompt=TREES[0].prompt, branches=(other, TREES[0].branches[1]))
    assert torch.equal(values(part, [changed]), values(part, TREES[:1]))


@pytest.mark.parametrize("kind", [ValueModel, PolicyWithValue])
def test_a_head_that_starts_at_zero_says_zero_and_learns(kind):
    part = kind(tiny_model(), start="zero", seed=0)
    value = part(pack(TREES), VALUE)["value"]
    assert value.dtype == torch.float32
    assert not value.any()
    value.sum().backward()
    assert part.head.weight.grad.abs().max() > 0


def test_a_fresh_head_starts_small_from_its_seed():
    one, same, other = (ValueModel(tiny_model(), start="fresh", seed=seed).head.weight for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert 0 < one.std() < 0.03
    assert not torch.equal(one, ScoreModel(tiny_model(), seed=0).head.weight)


def test_the_head_keeps_float32_while_the_backbone_is_rounded():
    part = critic()
    exact = values(part, TREES)
    cast_weights(part.language, torch.bfloat16)
    assert part.head.weight.dtype == torch.float32
    found = values(part, TREES)
    assert found.dtype == torch.float32
    assert 0 < (found - exact).abs().max() <= 0.1 * exact.abs().max()


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_gradient_is_the_same_in_both_layouts_and_in_pieces(name):
    def gradient(layout, batches):
        part = critic(name, layout=layout).requires_grad_(True)
        for trees in batches:
            part(pack(trees), VALUE)["value"].square().sum().backward()
        return torch.cat([p.grad.flatten() for p in part.parameters() if p.grad is not None])

    whole = gradient("tree", [TREES])
    assert whole.norm() > 1e-3
    for other in (gradient("padded", [TREES]), gradient("tree", [[tree] for tree in TREES])):
        assert (other - whole).norm() <= 1e-4 * whole.norm()


def test_a_critic_learns_a_known_value_through_an_adapter():
    """A target that depends on the tokens before: whether the last one was even."""
    model = tiny_model()
    part = ValueModel(model, seed=0)
    add_lora(model, Lora(rank=8), seed=0)
    batch = pack(TREES)
    target = (batch.tokens_T[batch.source_N] % 2).float()
    optimizer = torch.optim.Adam([p for p in part.parameters() if p.requires_grad], lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss = (part(batch, VALUE)["value"] - target).square().mean()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.02


# A shared trunk -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["tree", "padded"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_a_shared_trunk_gives_what_the_two_parts_give(layout, temperature):
    both = PolicyWithValue(tiny_model(), layout=layout, temperature=temperature, start="fresh", seed=0)
    policy = LanguageModel(tiny_model(), layout=layout, temperature=temperature)
    batch, names = pack(TREES), frozenset({"logp", "entropy"})
    assert both.provides == policy.provides | VALUE
    with torch.no_grad():
        found, expected = both(batch, names | VALUE), policy(batch, names)
    assert found.keys() == names | VALUE
    for name in names:
        assert torch.equal(found[name], expected[name])
    assert torch.equal(found["value"], values(ValueModel(tiny_model(), layout=layout, start="fresh", seed=0), TREES))


def test_a_shared_trunk_is_computed_once(monkeypatch):
    passes = []
    run = LanguageModel.run_layout

    def counted(self, tokens, positions, layout):
        passes.append(tokens.numel())
        return run(self, tokens, positions, layout)

    monkeypatch.setattr(LanguageModel, "run_layout", counted)
    part, batch = PolicyWithValue(tiny_model(), layout="tree", seed=0), pack(TREES)
    part(batch, frozenset({"logp", "value", "hidden"}))
    assert passes == [batch.num_tokens]
    assert part(batch, frozenset({"logp"})).keys() == {"logp"}


def test_both_losses_train_the_trunk():
    part, batch = PolicyWithValue(tiny_model(), start="fresh", seed=0), pack(TREES)
    part.requires_grad_(True)
    weight = part.language.model.get_decoder().layers[0].mlp.up_proj.weight
    gradients = []
    for name in ("logp", "value"):
        part.zero_grad()
        part(batch, frozenset({"logp", "value"}))[name].sum().backward()
        gradients.append(weight.grad.clone())
    assert all(gradient.norm() > 1e-3 for gradient in gradients)


# From a reward model --------------------------------------------------------------------------------------------------


@pytest.fixture
def reward_folder(tmp_path):
    folder = tmp_path / "model"
    save_reward_model(loud(ScoreModel(tiny_model(), seed=0)), tiny_tokenizer(), folder, template_hash="abc")
    return str(folder)


def test_a_critic_from_a_reward_model_values_a_state_by_the_score_of_an_answer_that_ends_there(reward_folder):
    part, reward = value_model_from_reward(reward_folder), load_reward_model(reward_folder)
    assert (part.layout, part.reason, part.training) == ("tree", "", False)
    prompt, tokens = TREES[0].prompt, TREES[0].branches[1].tokens
    cut = tuple(Branch(tokens=tokens[:k], weights=[1.0] * k) for k in range(len(tokens)))
    with torch.no_grad():
        score = reward(pack([Tree(id="a", prompt=prompt, branches=cut)]), frozenset({"score"}))["score"]
    assert score.std() > 0.3
    whole = Tree(id="a", prompt=prompt, branches=(TREES[0].branches[1],))
    assert (values(part, [whole]) - score).abs().max() <= POINTS


def test_a_critic_from_a_reward_model_trains_an_adapter_and_its_head(reward_folder):
    """The head stands beside the backbone: an adapter leaves it alone, and so does rounding."""
    part = value_model_from_reward(reward_folder, layout="padded")
    add_lora(part.language.model, Lora(rank=2), seed=0)
    cast_weights(part.language, torch.bfloat16)
    trained = {name for name, parameter in part.named_parameters() if parameter.requires_grad}
    assert {name for name in trained if "lora" not in name} == {"head.weight"}
    assert len(trained) > 1
    assert part.head.weight.dtype == torch.float32
    part(pack(TREES), VALUE)["value"].sum().backward()
    assert all(parameter.grad is not None for name, parameter in part.named_parameters() if name in trained)


# Checks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [value_model, policy_with_value])
def test_a_checked_part_says_its_layout(build):
    part = build(tiny_model())
    assert (part.layout, part.reason) == ("tree", "")
    padded = build(tiny_model("bloom"), start="fresh", seed=3)
    assert padded.layout == "padded"
    assert padded.reason
    assert build(tiny_model(), layout="padded").reason == "asked for"


def test_the_arguments_reach_the_part():
    part = policy_with_value(tiny_model(), temperature=0.5, start="fresh", seed=2)
    assert part.language.temperature == 0.5
    assert torch.equal(part.head.weight, value_model(tiny_model(), start="fresh", seed=2).head.weight)
    assert part.head.weight.any()


@pytest.mark.parametrize(("build", "unit"), [(value_model, "of the largest hidden value"), (policy_with_value, "nats")])
def test_a_layout_that_computes_something_else_is_refused_by_name(build, unit, monkeypatch):
    run = LanguageModel.run_layout

    def off_by_one(self, tokens, positions, layout):
        return run(self, tokens, positions + (positions > 6), layout)

    monkeypatch.setattr(LanguageModel, "run_layout", off_by_one)
    with pytest.raises(ModelError, match=f"in the tree layout is wrong: it is .* {unit} off"):
        build(tiny_model(), layout="tree")
    part = build(tiny_model())
    assert part.layout == "padded"
    assert f"{unit} off the plain forward" in part.reason
