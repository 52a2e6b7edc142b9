"""Bradley-Terry: the worked number, K-way rankings, options, gradient, invariances, and what it refuses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.batch import Branch, Tree, TreeBatch, pack
from burnish.config import load
from burnish.errors import ConfigError, DataError
from burnish.metrics import Max, Mean, Sum, merged, values
from burnish.objectives.objective import Loss
from burnish.objectives.reward import BradleyTerry
from tests.objectives.tables import branch

FEW = settings(max_examples=20, deadline=None)

Ranking = Sequence[tuple[float, int]]
"""Score and rank of each answer to a prompt."""

SCORES = st.floats(-4, 4).map(lambda value: round(value, 3))
RANKINGS = st.lists(
    st.lists(st.tuples(SCORES, st.integers(0, 3)), min_size=2, max_size=4).filter(lambda r: len({x for _, x in r}) > 1),
    min_size=1,
    max_size=4,
)
OPTIONS = st.builds(
    BradleyTerry,
    average=st.sampled_from(["prompt", "pair"]),
    margin=st.sampled_from([0.0, 0.5]),
    centring=st.sampled_from([0.0, 0.1]),
    label_smoothing=st.sampled_from([0.0, 0.2]),
)


def ranking(name: str, answers: Ranking, *, lengths: Sequence[int] = (), **columns: Sequence[float]) -> Tree:
    """A tree of one answer per rank, all with different tokens."""
    branches = []
    for number, (_, rank) in enumerate(answers):
        length = lengths[number] if lengths else 1
        own = {key: column[number] for key, column in columns.items()}
        branches.append(branch([-1.0] * length, first_token=100 * (number + 1), rank=rank, **own))
    return Tree(id=name, prompt=[1, 2], branches=tuple(branches))


def batch_of(rankings: Sequence[Ranking]) -> tuple[TreeBatch, torch.Tensor]:
    """The batch, and the scores (C, 1) in float64, which ask for a gradient."""
    batch = pack([ranking(str(number), answers) for number, answers in enumerate(rankings)])
    scores = torch.tensor([[score] for answers in rankings for score, _ in answers], dtype=torch.float64)
    return batch, scores.requires_grad_()


def total(objective: BradleyTerry, batch: TreeBatch, loss: Loss) -> float:
    weights = objective.weights(batch)
    assert weights.keys() == loss.terms.keys()
    return sum(float(term.detach()) / weights[name] for name, term in loss.terms.items())


def computed(objective: BradleyTerry, rankings: Sequence[Ranking]) -> tuple[float, list[float], dict[str, float]]:
    """The loss, its gradient by each score, and the metrics."""
    batch, scores = batch_of(rankings)
    loss = objective.loss({"scores": scores}, batch, {})
    weights = objective.weights(batch)
    sum(term / weights[name] for name, term in loss.terms.items()).backward()
    assert scores.grad is not None
    metrics = {name: float(value) for name, value in values(loss.metrics).items()}
    return total(objective, batch, loss), scores.grad[:, 0].tolist(), metrics


def log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value))


def pairs_of(answers: Ranking) -> list[tuple[float, float]]:
    """Scores of the better and the worse answer of each pair."""
    return [(a, b) for (a, i), (b, j) in itertools.permutations(answers, 2) if i < j]


def test_the_worked_number():
    """Scores 1.5 and 0.5: the margin is 1, and the loss log(1 + 1/e) = 0.3132617.

    The gradient is -sigmoid(-1) = -0.2689414 on the chosen score, and its opposite on the rejected one.
    """
    loss, gradient, metrics = computed(BradleyTerry(), [[(1.5, 0), (0.5, 1)]])
    assert loss == pytest.approx(0.3132617, abs=1e-7)
    assert gradient == pytest.approx([-0.2689414, 0.2689414], abs=1e-7)
    assert (metrics["margin"], metrics["accuracy"], metrics["score"]) == (1.0, 1.0, 1.0)


def test_a_ranking_of_three_by_hand():
    """Scores 2, 1, 0 in order: margins 1, 2, 1; loss (0.3132617 + 0.1269280 + 0.3132617) / 3 = 0.2511505."""
    three: Ranking = [(2.0, 0), (1.0, 1), (0.0, 2)]
    assert computed(BradleyTerry(), [three])[0] == pytest.approx(0.2511505, abs=1e-7)
    assert computed(BradleyTerry(average="pair"), [three])[0] == pytest.approx(0.2511505, abs=1e-7)


def test_how_the_pairs_of_two_prompts_weigh():
    """A ranking of three with loss 0.2511505 (above) beside a pair with loss log 2 = 0.6931472.

    prompt: (0.2511505 + 0.6931472) / 2 = 0.4721488        pair: (3 * 0.2511505 + 0.6931472) / 4 = 0.3616497
    """
    both: list[Ranking] = [[(2.0, 0), (1.0, 1), (0.0, 2)], [(0.0, 0), (0.0, 1)]]
    assert BradleyTerry().average == "prompt"
    assert computed(BradleyTerry(), both)[0] == pytest.approx(0.4721488, abs=1e-6)
    assert computed(BradleyTerry(average="pair"), both)[0] == pytest.approx(0.3616497, abs=1e-6)
    batch, _ = batch_of(both)
    assert BradleyTerry().weights(batch)["bradley_terry"] == pytest.approx(2)
    assert BradleyTerry(average="pair").weights(batch) == {"bradley_terry": 4}


@FEW
@given(RANKINGS)
def test_a_ranking_is_the_sum_of_its_pairs(rankings: list[Ranking]):
    """Neither a neighbour nor a tie adds anything: each pair alone, put together by hand."""
    each = [[-log_sigmoid(a - b) for a, b in pairs_of(answers)] for answers in rankings]
    whole = sum(map(sum, each)) / sum(map(len, each))
    by_prompt = sum(sum(losses) / len(losses) for losses in each) / len(each)
    assert computed(BradleyTerry(average="pair"), rankings)[0] == pytest.approx(whole, rel=1e-5, abs=1e-7)
    assert computed(BradleyTerry(), rankings)[0] == pytest.approx(by_prompt, rel=1e-5, abs=1e-7)
    alone = [computed(BradleyTerry(), [[(a, 0), (b, 1)]])[0] for answers in rankings for a, b in pairs_of(answers)]
    assert sum(alone) == pytest.approx(sum(map(sum, each)), rel=1e-6, abs=1e-7)


def test_ties_form_no_pair():
    tied: Ranking = [(3.0, 0), (1.0, 1), (-2.0, 1)]
    assert computed(BradleyTerry(), [tied])[2]["pairs"] == 2
    expected = -(log_sigmoid(2.0) + log_sigmoid(5.0)) / 2
    assert computed(BradleyTerry(), [tied])[0] == pytest.approx(expected, abs=1e-6)


def test_a_margin_shifts_what_is_asked_for():
    """Scores 1 apart with a margin of 1 are as uncertain as equal scores without: log 2."""
    row: Ranking = [(0.5, 0), (-0.5, 1)]
    assert computed(BradleyTerry(margin=1.0), [row])[0] == pytest.approx(math.log(2), abs=1e-7)
    assert computed(BradleyTerry(margin=1.0), [row])[2]["accuracy"] == 1.0, "accuracy is without the margin"


def test_the_margin_of_the_datas_own_scores():
    """Data scores 4 and 1 times 0.5 give a margin of 1.5, and a constant of 0.25 comes on top."""
    objective = BradleyTerry(margin=0.25, score_margin=0.5)
    assert objective.needs == ("score",)
    assert BradleyTerry(margin=0.25).needs == ()
    tree = ranking("a", [(0, 0), (0, 1)], score=[4.0, 1.0])
    objective.check([tree])
    scores = torch.tensor([[2.0], [0.5]], dtype=torch.float64)
    loss = objective.loss({"scores": scores}, pack([tree]), {})
    assert float(loss.terms["bradley_terry"]) == pytest.approx(-log_sigmoid(1.5 - 1.75))


def test_centring_by_hand():
    """Scores 3 and 1: 0.1 * (3 + 1)^2 = 1.6, as a term of its own; scores 1 and -1 pay nothing."""
    objective = BradleyTerry(centring=0.1)
    loss, gradient, _ = computed(objective, [[(3.0, 0), (1.0, 1)]])
    assert loss == pytest.approx(-log_sigmoid(2.0) + 1.6)
    pull = 1 / (1 + math.exp(2.0))
    assert gradient == pytest.approx([-pull + 0.8, pull + 0.8])
    assert computed(objective, [[(1.0, 0), (-1.0, 1)]])[0] == pytest.approx(-log_sigmoid(2.0))
    assert "centring" not in BradleyTerry().weights(batch_of([[(0.0, 0), (0.0, 1)]])[0])


def test_label_smoothing_wants_a_margin_and_no_more():
    """The loss is least where sigmoid(margin) = 1 - eps."""
    objective, best = BradleyTerry(label_smoothing=0.1), math.log(9)
    _, gradient, _ = computed(objective, [[(best, 0), (0.0, 1)]])
    assert gradient == pytest.approx([0.0, 0.0], abs=1e-9)
    loss = computed(objective, [[(1.0, 0), (0.0, 1)]])[0]
    assert loss == pytest.approx(-0.9 * log_sigmoid(1.0) - 0.1 * log_sigmoid(-1.0))


def test_scores_are_fixed_up_to_a_number_per_prompt_unless_centred():
    row: list[Ranking] = [[(1.0, 0), (0.5, 1), (2.0, 2)]]
    moved: list[Ranking] = [[(score + 7, rank) for score, rank in row[0]]]
    assert computed(BradleyTerry(), row)[0] == pytest.approx(computed(BradleyTerry(), moved)[0])
    assert computed(BradleyTerry(centring=0.01), row)[0] < computed(BradleyTerry(centring=0.01), moved)[0]


@pytest.mark.parametrize(
    "objective",
    [BradleyTerry(), BradleyTerry(average="pair", margin=0.3, centring=0.05, label_smoothing=0.1)],
)
def test_gradient_check(objective: BradleyTerry):
    batch, scores = batch_of([[(1.0, 0), (0.5, 1), (2.0, 2)], [(0.2, 1), (-0.3, 0)]])
    several = torch.cat([scores, 0.5 - scores], dim=1).detach().requires_grad_()

    def loss(value: torch.Tensor) -> torch.Tensor:
        return torch.stack(list(objective.loss({"scores": value}, batch, {}).terms.values())).sum()

    assert torch.autograd.gradcheck(loss, (several,))


@FEW
@given(RANKINGS, OPTIONS, st.randoms())
def test_neither_the_order_of_prompts_nor_of_answers_matters(rankings: list[Ranking], objective: BradleyTerry, random):
    mixed = [random.sample(list(answers), len(answers)) for answers in random.sample(rankings, len(rankings))]
    straight, turned = computed(objective, rankings), computed(objective, mixed)
    assert turned[0] == pytest.approx(straight[0], rel=1e-5, abs=1e-7)
    assert turned[2] == pytest.approx(straight[2], rel=1e-5, abs=1e-5)


@FEW
@given(RANKINGS, OPTIONS, st.integers(1, 3))
def test_any_split_gives_the_same_loss_gradient_and_metrics(
    rankings: list[Ranking], objective: BradleyTerry, size: int
):
    whole, gradient, metrics = computed(objective, rankings)
    batches = [batch_of(rankings[start : start + size]) for start in range(0, len(rankings), size)]
    weights: dict[str, float] = {}
    for batch, _ in batches:
        for name, weight in objective.weights(batch).items():
            weights[name] = weights.get(name, 0.0) + weight
    found, pieces, parts = 0.0, [], []
    for batch, scores in batches:
        loss = objective.loss({"scores": scores}, batch, {})
        share = sum(term / weights[name] for name, term in loss.terms.items())
        share.backward()
        found += float(share.detach())
        pieces += scores.grad[:, 0].tolist()
        parts.append(loss.metrics)
    assert found == pytest.approx(whole, rel=1e-5, abs=1e-7)
    assert pieces == pytest.approx(gradient, rel=1e-5, abs=1e-7)
    assert values(merged(parts)) == pytest.approx(metrics, rel=1e-5, abs=1e-5)


def test_metrics_by_hand():
    """A ranking of three (ranks 0, 1, 2; scores 1, 2, 2) beside a pair (scores 3 and -1), each prompt counting 1.

    Ranking: margins -1, -1, 0, accuracy (0 + 0 + 1/2) / 3 = 1/6. Pair: margin 4, accuracy 1.
    """
    trees = [
        ranking("a", [(0, 0), (0, 1), (0, 2)], lengths=(3, 1, 2)),
        ranking("b", [(0, 0), (0, 1)], lengths=(4, 6)),
    ]
    scores = torch.tensor([[1.0], [2.0], [2.0], [3.0], [-1.0]], dtype=torch.float64)
    metrics = BradleyTerry().loss({"scores": scores}, pack(trees), {}).metrics
    assert values(metrics) == pytest.approx(
        {
            "accuracy": (1 / 6 + 1) / 2,
            "margin": (-2 / 3 + 4) / 2,
            "score_chosen": (4 / 3 + 3) / 2,
            "score_rejected": (2 - 1) / 2,
            "length_chosen": (7 / 3 + 4) / 2,
            "length_rejected": (5 / 3 + 6) / 2,
            "score": 7 / 5,
            "largest_score": 3.0,
            "pairs": 4.0,
        },
        rel=1e-6,
    )
    assert {type(metrics[name]) for name in ("accuracy", "largest_score", "pairs")} == {Mean, Max, Sum}


def test_the_loss_of_an_ensemble_is_the_mean_over_its_heads():
    """Head 0 scores 1 and 0, head 1 scores -3 and 0: one right, one wrong, and the mean of both wrong."""
    batch, _ = batch_of([[(0.0, 0), (0.0, 1)]])
    heads = torch.tensor([[1.0, -3.0], [0.0, 0.0]], dtype=torch.float64)
    objective = BradleyTerry(centring=0.1)
    loss = objective.loss({"scores": heads}, batch, {})
    alone = [objective.loss({"scores": heads[:, k : k + 1]}, batch, {}) for k in range(2)]
    for name in ("bradley_terry", "centring"):
        assert float(loss.terms[name]) == pytest.approx(sum(float(one.terms[name]) for one in alone) / 2)
    found = values(loss.metrics)
    assert (found["accuracy"], found["accuracy_of_mean"]) == (0.5, 0.0)
    assert found["spread"] == pytest.approx(1.0)  # deviations of 2 and of 0
    assert "spread" not in values(alone[0].metrics)


def test_rankings_and_pairs_pass_whatever_else_is_tied():
    BradleyTerry().check([ranking("a", [(0, 0), (0, 1)]), ranking("b", [(0, 1), (0, 0), (0, 1)])])
    one = branch([-1.0], rank=0)
    other = branch([-1.0], first_token=50, rank=1)
    BradleyTerry().check([Tree(id="the same answer twice at one rank", prompt=[1], branches=(one, other, other))])


NO_RANK = Tree(id="x", prompt=[1], branches=(branch([-1.0]), branch([-1.0], first_token=50)))
LONELY = Tree(id="x", prompt=[1], branches=(branch([-1.0], rank=0),))
EQUAL = Tree(id="x", prompt=[1], branches=(branch([-1.0], rank=0), branch([-1.0], rank=1)))
EMPTY = Tree(
    id="x", prompt=[1], branches=(branch([-1.0], rank=0), Branch(tokens=[], weights=[], columns={"rank": 1.0}))
)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (NO_RANK, r"'x' has 2 answers of ranks \(none, none\); a reward model needs two or more, each with a rank"),
        (LONELY, r"'x' has 1 answers of ranks \(0\); a reward model needs two or more"),
        (EQUAL, "'x': answers 0 and 1 are the same and have different ranks"),
        (EMPTY, "'x': answer 1 is empty, it has no supervised token to score"),
        (ranking("x", [(0, 1), (0, 1), (0, 1)]), "'x': all 3 answers have the same rank; leave it out"),
    ],
)
def test_what_is_no_ranking_is_refused_by_name(tree: Tree, message: str):
    good = ranking("good", [(0, 0), (0, 1)])
    with pytest.raises(DataError, match=message):
        BradleyTerry().check([good, tree])


def test_scores_that_contradict_the_ranks_are_refused_where_they_make_the_margin():
    tree = ranking("x", [(0, 0), (0, 1)], score=[1.0, 4.0])
    BradleyTerry().check([tree])
    with pytest.raises(DataError, match="'x': an answer of rank 0 has the score 1, below the 4 of rank 1"):
        BradleyTerry(score_margin=1.0).check([tree])


@pytest.mark.parametrize(
    "given",
    [{"margin": -1}, {"score_margin": -1}, {"centring": -0.1}, {"label_smoothing": 0.5}, {"average": "none"}],
)
def test_settings_out_of_range_are_refused(given: dict[str, object]):
    with pytest.raises(ConfigError):
        load(BradleyTerry, given)
