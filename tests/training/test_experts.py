"""A mixture of experts through the trainer: noise by key, tokens counted once, one gradient for layouts and splits."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from burnish.batch import Branch, Tree, pack
from burnish.models.adapters import add_adapter
from burnish.models.gate import squared_variation
from burnish.models.prefix import PrefixTuning
from burnish.models.prompt import PromptTuning
from burnish.models.routed import ROUND, RoutedLanguageModel, counts_once, gate_noise, routed_language_model
from burnish.numerics import generator_from
from burnish.objectives.balance import Balanced, BalancedGroups, balanced
from burnish.objectives.dpo import DPO
from burnish.objectives.objective import Objective
from burnish.objectives.sft import SFT
from burnish.training.columns import with_column
from burnish.training.numbered import Numbered
from burnish.training.optimizer import AdamW
from burnish.training.parallel import Ranks
from burnish.training.plan import packed_cost, padded_cost
from burnish.training.source import Shuffled
from burnish.training.trainer import Trainer, Updates
from tests.models.tiny import tiny_model
from tests.training.toys import chats, gradient_of, on_ranks, parts_of, without_clocks

NOISE = {"layers": 2, "experts": 4}
GOAL = Balanced(goal=SFT(), importance_weight=0.3, load_weight=0.2)
READS = frozenset({"logp", "expert_importance", "expert_load", "expert_tokens"})


def numbered(trees: list[Tree], number: int = 3) -> list[Tree]:
    return with_column(trees, ROUND, [[float(number)] * len(tree.branches) for tree in trees])


ITEMS = numbered(chats(12, completions=2))


def part_of(layout: str = "tree", *, seed: int = 7) -> RoutedLanguageModel:
    return routed_language_model(tiny_model("noisy_moe"), layout=layout, seed=seed).requires_grad_(True)


def update(
    part: RoutedLanguageModel, ranks: Ranks | None = None, *, budget: int = 4096, most: int | None = None
) -> tuple[Tensor, dict[str, float]]:
    """The gradient, and the metrics of an update at rate 0."""
    updates = Updates(optimizer=AdamW(learning_rate=0.0), clip_norm=0.0, token_budget=budget, micro_batch_size=most)
    cost = packed_cost if part.layout == "tree" else padded_cost
    trainer = Trainer(parts_of(part), GOAL, updates, steps=1, cost=cost, ranks=ranks)
    part.zero_grad(set_to_none=True)
    trainer.forward_backward(ITEMS)
    gradient = gradient_of(trainer)
    return gradient, without_clocks(trainer.optimizer_step())


@functools.cache
def whole() -> tuple[Tensor, dict[str, float]]:
    """The batch as one micro-batch in the tree layout: what every layout and every split must give."""
    return update(part_of())


def assert_same(found: tuple[Tensor, dict[str, float]]) -> None:
    gradient, metrics = whole()
    assert float((found[0] - gradient).norm() / gradient.norm()) < 1e-5
    assert {k: v for k, v in found[1].items() if k != "tokens"} == pytest.approx(
        {k: v for k, v in metrics.items() if k != "tokens"}, rel=1e-4
    )


# The noise ------------------------------------------------------------------------------------------------------------


def test_noise_is_a_function_of_seed_round_example_place_and_layer():
    trees = ITEMS[:3]
    one, turned = (gate_noise(pack(some), 0, **NOISE) for some in (trees, trees[::-1]))
    sizes = [tree.num_tokens for tree in trees]
    parts = one.split(sizes)
    assert all(torch.equal(a, b) for a, b in zip(parts, turned.split(sizes[::-1])[::-1], strict=True))
    for other in (
        gate_noise(pack(trees), 1, **NOISE),
        gate_noise(pack(numbered(trees, 4)), 0, **NOISE),
        gate_noise(pack([replace(tree, id=f"other {tree.id}") for tree in trees]), 0, **NOISE),
    ):
        assert not (other == one).any()
    values = one.flatten().tolist()
    assert len(set(values)) == len(values), "no two tokens, layers or experts share a number"
    assert gate_noise(pack(chats(3)), 0, **NOISE) is None


def test_the_pieces_of_a_tree_have_its_noise_and_count_its_prompt_once():
    tree = ITEMS[0]
    noise = gate_noise(pack([tree]), 0, **NOISE)
    base, (first, second) = len(tree.prompt), tree.pieces()
    cut = base + len(tree.branches[0].tokens)
    assert torch.equal(gate_noise(pack([first]), 0, **NOISE), noise[:cut])
    assert torch.equal(gate_noise(pack([second]), 0, **NOISE), torch.cat([noise[:base], noise[cut:]]))
    assert counts_once(pack([tree])).tolist() == [1.0] * tree.num_tokens
    assert counts_once(pack([first])).tolist() == [1.0] * cut
    assert counts_once(pack([second])).tolist() == [0.0] * base + [1.0] * len(tree.branches[1].tokens)
    assert [piece.first for piece in second.pieces()] == [1]


@pytest.mark.parametrize("layout", ["tree", "padded"])
def test_noise_is_there_in_training_and_in_nothing_else(layout):
    part = part_of(layout)
    plain = [replace(tree, branches=tuple(replace(b, columns={}) for b in tree.branches)) for tree in ITEMS]
    with torch.no_grad():
        noisy, again = (part(pack(ITEMS), READS) for _ in range(2))
        quiet = part.train()(pack(plain), READS)
        expected = part.language(pack(plain), frozenset({"logp"}))["logp"]
    assert torch.equal(noisy["logp"], again["logp"])
    assert torch.equal(quiet["logp"], expected)
    assert float((noisy["logp"] - expected).abs().max()) > 0.1
    assert torch.equal(quiet["expert_load"], quiet["expert_tokens"])
    tokens = sum(tree.num_tokens for tree in ITEMS)
    for found in (noisy, quiet):
        assert found["expert_tokens"].sum(-1).tolist() == [2.0 * tokens] * 2
        assert found["expert_importance"].sum(-1).tolist() == pytest.approx([tokens] * 2)


# One gradient ---------------------------------------------------------------------------------------------------------


def test_the_gradient_is_that_of_the_loss_as_it_is_written():
    """One forward pass over the whole batch, and CV^2 of its sums differentiated by autograd."""
    part, batch = part_of(), pack(ITEMS)
    found = part(batch, READS)
    nll = -(batch.weight_N * found["logp"]).sum() / batch.weight_N.sum()
    importance = 0.3 * squared_variation(found["expert_importance"]).sum()
    load = 0.2 * squared_variation(found["expert_load"]).sum()
    (nll + importance + load).backward()
    parameters = [parameter for parameter in part.parameters() if parameter.requires_grad]
    gradient = torch.cat([p.grad.flatten() for p in parameters])
    assert float((whole()[0] - gradient).norm() / gradient.norm()) < 1e-5
    metrics = whole()[1]
    terms = {"nll": nll, "importance": importance, "load": load, "loss": nll + importance + load}
    expected = {name: float(value.detach()) for name, value in terms.items()}
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert float(torch.cat([p.grad.flatten() for n, p in part.named_parameters() if ".gate." in n]).norm()) > 1e-3


def test_what_the_experts_do_is_reported():
    with torch.no_grad():
        found = part_of()(pack(ITEMS), READS)
    metrics = whole()[1]
    for name in ("importance", "load"):
        expected = squared_variation(found[f"expert_{name}"]).mean().sqrt()
        assert metrics[f"{name}_cv"] == pytest.approx(float(expected), rel=1e-5)
    tokens = found["expert_tokens"]
    assert metrics["busiest_expert"] == pytest.approx(float((tokens.amax(-1) / tokens.mean(-1)).max()))


def test_the_layouts_agree():
    assert_same(update(part_of("padded")))


@pytest.mark.parametrize("layout", ["tree", "padded"])
@pytest.mark.parametrize("how", [{"most": 3}, {"budget": 14}], ids=str)
def test_micro_batches_agree_even_where_they_cut_trees(layout, how):
    assert_same(update(part_of(layout), **how))


def test_two_ranks_agree():
    copies = [part_of() for _ in range(2)]
    found = on_ranks(2, lambda ranks: update(copies[ranks.index], ranks, budget=14))
    total = found[0][0] + found[1][0]
    for _, metrics in found:
        assert_same((total, metrics))


def test_computing_activations_twice_agrees():
    part = part_of()
    part.language.model.train().activation_checkpointing_enable({"use_reentrant": False})
    assert_same(update(part, most=5))


# Virtual tokens -------------------------------------------------------------------------------------------------------

FRONTS = {
    "prompt": PromptTuning(length=2),
    "prefix": PrefixTuning(length=2),
    "prefix-network": PrefixTuning(length=2, hidden=4),
}


def front_part(kind: str, layout: str = "tree") -> RoutedLanguageModel:
    """A part whose virtual tokens alone are trained, moved so that they matter."""
    part = routed_language_model(tiny_model("noisy_moe"), layout=layout, seed=7)
    add_adapter(part.language.model, FRONTS[kind], seed=0)
    with torch.no_grad():
        for name, parameter in part.named_parameters():
            if parameter.requires_grad:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator_from("moved", name))
    return part


@pytest.mark.parametrize("kind", FRONTS)
def test_virtual_tokens_have_one_gradient_for_layouts_splits_and_ranks(kind):
    gradient, metrics = update(front_part(kind))
    assert float(gradient.norm()) > 1e-3
    assert metrics["importance"] > 0 < metrics["load"]
    others = [update(front_part(kind, layout), **how) for layout in ("tree", "padded") for how in ({}, {"most": 3})]
    copies = [front_part(kind) for _ in range(2)]
    shared = on_ranks(2, lambda ranks: update(copies[ranks.index], ranks, most=2))
    others.append((shared[0][0] + shared[1][0], shared[0][1]))
    names = metrics.keys() - {"tokens"}
    for other, found in others:
        assert float((other - gradient).norm() / gradient.norm()) < 1e-4
        assert {name: found[name] for name in names} == pytest.approx({name: metrics[name] for name in names}, rel=1e-3)


@pytest.mark.parametrize("layout", ["tree", "padded"])
@pytest.mark.parametrize("kind", FRONTS)
def test_each_token_keeps_its_noise_behind_virtual_ones(kind, layout):
    """Gates at zero choose by the noise alone, whatever the layers compute: loads are those without virtual tokens."""
    found = []
    for part in (part_of(layout), front_part(kind, layout)):
        for name, parameter in part.named_parameters():
            if ".gate." in name:
                parameter.data.zero_()
        with torch.no_grad():
            found.append(part(pack(ITEMS), READS))
    plain, behind = found
    assert float(plain["expert_tokens"].std()) > 1
    for name in ("expert_tokens", "expert_importance", "expert_load"):
        torch.testing.assert_close(behind[name], plain[name])
    assert float((behind["logp"] - plain["logp"]).abs().max()) > 0.01, "the virtual tokens do nothing"


@pytest.mark.parametrize("layout", ["tree", "padded"])
@pytest.mark.parametrize("kind", FRONTS)
def test_every_place_is_known_by_the_token_that_stands_there(kind, layout):
    """Noise and counts go by `source`: the embedding that the layers are given there is that of its token."""
    part, batch = front_part(kind, layout), pack(ITEMS)
    found = part._in_tree(batch) if layout == "tree" else part._in_rows(batch)
    table = part.language.model.get_input_embeddings().weight
    given = found.inputs["inputs_embeds"] if kind == "prompt" else table[found.inputs["input_ids"]]
    own = found.source >= 0
    assert torch.equal(given.flatten(0, 1)[own], table[batch.tokens_T[found.source[own]]])
    assert set(found.source[own].tolist()) == set(range(batch.num_tokens))
    assert layout == "padded" or int((~own).sum()) == 2 * len(ITEMS)
    assert int(found.counted.sum()) == batch.num_tokens
    assert not found.counted[~own].any()


# The objective --------------------------------------------------------------------------------------------------------


def test_held_out_loss_is_the_goals_alone():
    trainer = Trainer(parts_of(part_of()), GOAL, Updates(), steps=1)
    found = trainer.evaluate(chats(4))
    assert found.keys() == {"loss", "importance_cv", "load_cv", "busiest_expert"}
    alone = Trainer(parts_of(part_of()), SFT(), Updates(), steps=1).evaluate(chats(4))
    assert found["loss"] == alone["loss"]


def test_a_goal_keeps_its_own_ways():
    config = tiny_model("noisy_moe").config
    assert isinstance(balanced(SFT(), config), Balanced)
    groups: Objective = balanced(DPO(), config)
    assert isinstance(groups, BalancedGroups)
    assert (groups.coupling, groups.needs) == ("group", DPO().needs)
    assert balanced(SFT(), tiny_model("llama").config) == SFT()


def collapsed() -> RoutedLanguageModel:
    """All tokens share a direction, along which two of four experts are chosen."""
    part = part_of()
    for name, parameter in part.language.model.named_parameters():
        if "embed_tokens" in name:
            parameter.data[:, 0] = 10.0
        elif name.endswith(".gate.weight"):
            parameter.data.zero_()
            parameter.data[:2, 0] = 0.6
        elif name.endswith(".gate.noise_weight"):
            parameter.data.zero_()
    return part


@pytest.mark.parametrize(("weight", "spreads"), [(1.0, True), (0.0, False)])
def test_the_terms_spread_the_tokens_of_a_collapsed_gate(weight, spreads):
    goal = Balanced(goal=SFT(), importance_weight=weight, load_weight=weight)
    source = Numbered(Shuffled(chats(12, completions=2), batch_size=6, seed=0), ROUND)
    updates = Updates(optimizer=AdamW(learning_rate=2e-2))
    trainer = Trainer(parts_of(collapsed()), goal, updates, steps=8)
    found = [trainer.step(source.next({})) for _ in range(8)]
    assert found[0]["load_cv"] > 0.7
    assert found[0]["busiest_expert"] > 1.8
    last = [sum(line[name] for line in found[-3:]) / 3 for name in ("load_cv", "busiest_expert")]
    assert (last[0] < 0.2 and last[1] < 1.5) if spreads else (last[0] > 0.7 and last[1] > 1.8)


def test_batches_are_numbered_and_go_on_where_they_were():
    def fresh() -> Numbered:
        return Numbered(Shuffled(chats(4), batch_size=3, seed=0), ROUND)

    straight = fresh()
    batches = [straight.next({}) for _ in range(3)]
    assert [{b.columns[ROUND] for t in batch for b in t.branches} for batch in batches] == [{0.0}, {1.0}, {2.0}]
    again = fresh()
    again.next({})
    state, again = again.state(), fresh()
    again.restore(state)
    assert [again.next({}), again.next({})] == batches[1:]


class Ended:
    """A source with nothing in it."""

    def next(self, feedback):
        return None


def test_the_end_of_a_source_is_the_end():
    assert Numbered(Ended(), ROUND).next({}) is None


def test_a_branch_of_no_tokens_is_nothing():
    tree = Tree(id="x", prompt=[3, 4], branches=(Branch(tokens=[], weights=[]), Branch(tokens=[5], weights=[1.0])))
    assert gate_noise(pack(numbered([tree])), 0, **NOISE).shape == (3, 2, 4)
