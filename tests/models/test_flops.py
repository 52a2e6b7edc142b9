"""The formulas of FLOPs against torch's own count of what runs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from burnish.batch import Branch, Tree, pack
from burnish.models.flops import Extent, forward_flops, needed_extent, padded_extent, training_flops, tree_extent
from burnish.models.language import LanguageModel
from burnish.models.lora import Lora, add_lora
from burnish.models.parameters import Parameters, parameters_of
from burnish.numerics import generator_from
from tests.models.tiny import VOCABULARY, tiny_model
from tests.models.torch_flops import torch_flops


def tree(*lengths: int) -> Tree:
    def drawn(count: int) -> list[int]:
        return torch.randint(0, VOCABULARY, (count,), generator=generator_from("flops", count)).tolist()

    branches = tuple(Branch(tokens=drawn(length), weights=[1.0] * length) for length in lengths[1:])
    return Tree(id=str(lengths), prompt=drawn(lengths[0]), branches=branches)


TREES = [tree(7, 4, 5), tree(3, 9)]
LONG = [tree(270, 40, 35, 5)]
FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "gemma", "gpt2", "gpt_neox", "phi3")


def count(part: LanguageModel, *, backward: bool, trees: Sequence[Tree] = TREES) -> int:
    return torch_flops(part, pack(trees), frozenset({"logp"}), backward=backward)


def test_the_extent_of_trees():
    assert tree_extent(TREES) == Extent(tokens=28, scored=18, pairs=11**2 + 5 * 12 + 12**2)
    assert padded_extent(TREES) == Extent(tokens=36, scored=18, pairs=3 * 12**2)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_forward_pass(name):
    model = tiny_model(name)
    part = LanguageModel(model, layout="tree")
    assert count(part, backward=False) == forward_flops(parameters_of(model.config), tree_extent(TREES))


@pytest.mark.parametrize("name", FAMILIES)
def test_training_all_weights(name):
    model = tiny_model(name)
    part = LanguageModel(model.requires_grad_(True), layout="tree")
    assert count(part, backward=True) == training_flops(parameters_of(model.config), tree_extent(TREES))


@pytest.mark.parametrize("backward", [False, True])
def test_long_sequences_are_counted_by_blocks(backward):
    model = tiny_model("llama").requires_grad_(True)
    found = count(LanguageModel(model, layout="tree"), backward=backward, trees=LONG)
    extent = tree_extent(LONG)
    assert found == (training_flops if backward else forward_flops)(parameters_of(model.config), extent)
    assert extent.pairs < 310**2 + 35 * 305 + 5 * 275


def test_gradient_checkpointing():
    model = tiny_model("llama").requires_grad_(True)
    parameters = parameters_of(model.config)
    model.activation_checkpointing_enable({"use_reentrant": False})
    part = LanguageModel(model, layout="tree").train()
    found = count(part, backward=True)
    last = 2 * 28 * 2 * 32 * 48  # torch stops before a layer's last product, whose result nothing needs again
    assert found == training_flops(parameters, tree_extent(TREES), twice=True) - last
    assert found > training_flops(parameters, tree_extent(TREES))


def test_an_adapter():
    model = tiny_model("llama")
    parameters = parameters_of(model.config)
    adapted = add_lora(model, Lora(rank=3), seed=0)
    size = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
    found = count(LanguageModel(adapted.get_base_model(), layout="tree"), backward=True)
    wanted = training_flops(parameters, tree_extent(TREES), adapter=size)
    # Of the first layer's queries, keys and values the input needs no gradient: it comes from frozen embeddings.
    spared = 2 * 28 * (32 * 32 + 2 * 32 * 16 + 3 * 3 * 32)
    assert found == wanted - spared


def test_the_term_of_the_lecture_and_of_kaplan():
    """Six operations per weight and token, where attention and head are small."""
    parameters = Parameters(
        embeddings=0,
        attention=0,
        feed_forward=0,
        norms=0,
        head=0,
        tied=False,
        layer_products=1000,
        head_products=0,
        attention_width=0,
    )
    assert training_flops(parameters, Extent(tokens=10, scored=10, pairs=100)) == 6 * 1000 * 10


def test_what_has_to_be_done_leaves_out_what_the_mask_hides():
    """A prompt of 5 with answers of 2 and 3: each token sees its prompt, its own past and itself."""
    branches = (Branch(tokens=[6, 7], weights=[1.0, 0.0]), Branch(tokens=[8, 9, 10], weights=[1.0] * 3))
    tree = Tree(id="x", prompt=[1, 2, 3, 4, 5], branches=branches)
    pairs = (1 + 2 + 3 + 4 + 5) + (6 + 7) + (6 + 7 + 8)
    assert needed_extent([tree, tree]) == Extent(tokens=20, scored=8, pairs=2 * pairs)
