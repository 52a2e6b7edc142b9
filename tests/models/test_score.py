"""Scores are read at each completion's last token, and depend on nothing but the text."""

from __future__ import annotations

import pytest
import torch

from burnish.batch import Branch, Tree, pack
from burnish.errors import ModelError
from burnish.models.language import LanguageModel
from burnish.models.lora import Lora, add_lora
from burnish.models.score import ScoreModel, score_model
from burnish.numerics import cast_weights, generator_from
from burnish.objectives.reward import BradleyTerry
from burnish.training.columns import completion_scores, head_scores
from burnish.training.plan import packed_cost, padded_cost
from tests.models.tiny import VOCABULARY, tiny_model

CPU = torch.device("cpu")
BOTH = frozenset({"score", "scores"})
NAMES = ("llama", "qwen2", "qwen2-sliding", "gemma2", "gpt2", "mixtral")
POINTS = 2e-4
"""Scores here have a spread of about 5; this is rounding."""


def drawn(count: int, *keys: str | int) -> list[int]:
    return torch.randint(0, VOCABULARY, (count,), generator=generator_from("score", *keys)).tolist()


def answer(length: int, *keys: str | int, rank: int = 0, silent_end: bool = False) -> Branch:
    weights = [1.0] * (length - 1) + [0.0 if silent_end else 1.0]
    return Branch(tokens=drawn(length, *keys), weights=weights, columns={"rank": float(rank)})


TREES = [
    Tree(id="a", prompt=drawn(9, "a"), branches=(answer(4, "a", 0), answer(8, "a", 1, rank=1))),
    Tree(id="b", prompt=drawn(1, "b"), branches=(answer(6, "b", 0, rank=1, silent_end=True), answer(1, "b", 1))),
    Tree(id="c", prompt=drawn(4, "c"), branches=tuple(answer(7 - k, "c", k, rank=k) for k in range(3))),
]


def loud(part: ScoreModel) -> ScoreModel:
    """With heads large enough to notice a mistake."""
    part.head.weight.data *= 20
    return part


def scorer(name: str = "llama", *, heads: int = 1, layout: str = "auto") -> ScoreModel:
    return loud(ScoreModel(tiny_model(name), heads=heads, layout=layout, seed=0))


def plain_scores(part: ScoreModel, trees: list[Tree]) -> torch.Tensor:
    """One text at a time through the model's own forward, eager: the state behind the final norm, times the heads."""
    model, rows = part.language.model, []
    implementation = model.config._attn_implementation
    model.set_attn_implementation("eager")
    for tree in trees:
        for branch in tree.branches:
            path = torch.tensor([[*tree.prompt, *branch.tokens]])
            out = model(input_ids=path, use_cache=False, output_hidden_states=True)
            rows.append(part.head.weight @ out.hidden_states[-1][0, -1])
    model.set_attn_implementation(implementation)
    return torch.stack(rows)


def scores(part: ScoreModel, trees: list[Tree]) -> torch.Tensor:
    with torch.no_grad():
        return part(pack(trees), BOTH)["scores"]


@pytest.mark.parametrize("name", NAMES)
def test_both_layouts_agree_with_the_models_own_forward(name):
    tree, padded = scorer(name, heads=2, layout="tree"), scorer(name, heads=2, layout="padded")
    with torch.no_grad():
        expected = plain_scores(tree, TREES)
    assert expected.std() > 0.3, "scores that are all alike would prove nothing"
    assert scores(tree, TREES).shape == (7, 2)
    assert (scores(tree, TREES) - expected).abs().max() <= POINTS
    assert (scores(padded, TREES) - expected).abs().max() <= POINTS


@pytest.mark.parametrize("layout", ["tree", "padded"])
def test_scores_do_not_depend_on_what_else_is_in_the_batch(layout):
    part = scorer(layout=layout)
    together = scores(part, TREES)
    alone = torch.cat([scores(part, [piece]) for tree in TREES for piece in tree.pieces()])
    assert (together - alone).abs().max() <= POINTS
    turned = scores(part, TREES[::-1]).split([3, 2, 2])
    assert (torch.cat(turned[::-1]) - together).abs().max() <= POINTS


def test_what_is_asked_for_and_nothing_else():
    part = scorer(heads=3)
    batch = pack(TREES)
    assert part.provides == BOTH
    assert part.num_heads == 3
    both = part(batch, BOTH)
    assert both["score"].dtype == both["scores"].dtype == torch.float32
    assert torch.equal(both["score"], both["scores"][:, 0])
    assert part(batch, frozenset({"score"})).keys() == {"score"}


def test_the_last_token_counts_even_where_it_carries_no_loss():
    """The score is read from the text, so weights do not matter."""
    part = scorer()
    silent = TREES[1].branches[0]
    spoken = Branch(tokens=silent.tokens, weights=[1.0] * len(silent.tokens), columns=silent.columns)
    with_loss = [TREES[0], Tree(id="b", prompt=TREES[1].prompt, branches=(spoken, TREES[1].branches[1])), TREES[2]]
    assert torch.equal(scores(part, TREES), scores(part, with_loss))


@pytest.mark.parametrize("layout", ["tree", "padded"])
def test_an_answer_without_tokens_is_scored_at_the_end_of_its_prompt(layout):
    part = scorer(layout=layout)
    empty = Branch(tokens=[], weights=[], columns={"rank": 1.0})
    tree = Tree(id="a", prompt=TREES[0].prompt, branches=(TREES[0].branches[0], empty))
    with torch.no_grad():
        expected = plain_scores(part, [TREES[1], tree])
    assert (scores(part, [TREES[1], tree]) - expected).abs().max() <= POINTS


def test_heads_start_from_their_own_keys_and_small():
    three, two = (ScoreModel(tiny_model(), heads=k, seed=0).head.weight for k in (3, 2))
    assert torch.equal(three[:2], two), "a head is a function of the seed and its number"
    assert not torch.equal(three[0], three[1])
    assert not torch.equal(ScoreModel(tiny_model(), seed=1).head.weight[0], three[0])
    assert three.std() < 0.03
    assert three.requires_grad


def test_a_fresh_model_is_unsure():
    batch = pack(TREES)
    objective = BradleyTerry()
    loss = objective.loss(ScoreModel(tiny_model(), seed=0)(batch, BOTH), batch, {})
    mean = float(loss.terms["bradley_terry"].detach()) / objective.weights(batch)["bradley_terry"]
    assert mean == pytest.approx(0.693, abs=0.1)


def test_heads_keep_float32_while_the_backbone_is_rounded():
    part = scorer()
    exact = scores(part, TREES)
    cast_weights(part.language, torch.bfloat16)
    assert part.head.weight.dtype == torch.float32
    found = scores(part, TREES)
    assert found.dtype == torch.float32
    assert 0 < (found - exact).abs().max() <= 0.1 * exact.abs().max()


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_loss_and_its_gradient_are_the_same_in_both_layouts_and_in_pieces(name):
    def gradient(layout, batches):
        part = scorer(name, layout=layout)
        for parameter in part.parameters():
            parameter.requires_grad_(True)
        for trees in batches:
            batch = pack(trees)
            loss = BradleyTerry(centring=0.01).loss(part(batch, BOTH), batch, {})
            torch.stack(list(loss.terms.values())).sum().backward()
        return torch.cat([p.grad.flatten() for p in part.parameters() if p.grad is not None])

    whole = gradient("tree", [TREES])
    assert whole.norm() > 1e-3
    for other in (gradient("padded", [TREES]), gradient("tree", [[tree] for tree in TREES])):
        assert (other - whole).norm() <= 1e-4 * whole.norm()


def test_training_learns_a_preference_through_an_adapter():
    model = tiny_model()
    part = ScoreModel(model, seed=0)
    add_lora(model, Lora(rank=4), seed=0)
    trainable = [parameter for parameter in part.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trainable, lr=0.02)
    batch, objective = pack(TREES), BradleyTerry()
    for _ in range(25):
        optimizer.zero_grad()
        objective.loss(part(batch, BOTH), batch, {}).terms["bradley_terry"].backward()
        optimizer.step()
    assert objective.loss(part(batch, BOTH), batch, {}).metrics["accuracy"].value == 1.0


def test_a_checked_part_says_its_layout():
    part = score_model(tiny_model(), heads=2, seed=3)
    assert (part.layout, part.reason, part.num_heads) == ("tree", "", 2)
    padded = score_model(tiny_model("bloom"), seed=0)
    assert padded.layout == "padded"
    assert padded.reason
    assert score_model(tiny_model(), layout="padded", seed=0).reason == "asked for"


def test_a_layout_that_computes_something_else_is_refused_by_name(monkeypatch):
    run = LanguageModel.run_layout

    def off_by_one(self, tokens, positions, layout):
        return run(self, tokens, positions + (positions > 6), layout)

    monkeypatch.setattr(LanguageModel, "run_layout", off_by_one)
    with pytest.raises(ModelError, match=r"in the tree layout is wrong: it is .* of the largest hidden value off"):
        score_model(tiny_model(), layout="tree", seed=0)
    part = score_model(tiny_model(), seed=0)
    assert part.layout == "padded"
    assert "of the largest hidden value off the plain forward" in part.reason


def test_no_heads_are_refused():
    with pytest.raises(ModelError, match="at least 1 head, and 0 were asked for"):
        ScoreModel(tiny_model(), heads=0, seed=0)


@pytest.mark.parametrize(("layout", "cost"), [("tree", packed_cost), ("padded", padded_cost)])
def test_scores_of_a_data_set_do_not_depend_on_the_budget(layout, cost):
    part = scorer(heads=2, layout=layout)
    expected = scores(part, TREES)
    for budget in (50, 4096):
        rows = completion_scores(part, TREES, budget=budget, cost=cost, device=CPU)
        assert [len(row) for row in rows] == [2, 2, 3]
        assert [value for row in rows for value in row] == pytest.approx(expected[:, 0].tolist(), abs=POINTS)
        heads = head_scores(part, TREES, budget=budget, cost=cost, device=CPU)
        assert [list(h) for row in heads for h in row] == [pytest.approx(own, abs=POINTS) for own in expected.tolist()]
