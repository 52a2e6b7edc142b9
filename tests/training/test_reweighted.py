"""DoReMi through the trainer: weights from the step before, as in plain loops, for any split, layout and ranks."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
import torch

from burnish.batch import Tree
from burnish.data.mixing.draws import Domain, Draws
from burnish.data.mixing.reweighting import DomainWeights
from burnish.data.tokens.files import TokenFiles
from burnish.data.tokens.layout import Spelling, write_manifest
from burnish.data.tokens.segments import Segments
from burnish.data.tokens.writing import TokenDocument, write_shard
from burnish.models.frozen import ReferenceModel
from burnish.models.language import LanguageModel, LayoutName
from burnish.numerics import generator_from
from burnish.objectives.doremi import DOMAIN, WEIGHT, DoReMi
from burnish.training.mixed import Mixed
from burnish.training.optimizer import AdamW
from burnish.training.parallel import Ranks
from burnish.training.part import Part
from burnish.training.plan import packed_cost, padded_cost
from burnish.training.reweighted import Reweighted
from burnish.training.trainer import Trainer, Updates
from tests.models.tiny import VOCABULARY, tiny_model
from tests.training.toys import on_ranks, policy

NAMES = ("code", "web", "wiki")
STEPS, STEP_SIZE, SMOOTHING = 5, 2.0, 0.05
ADAMW = AdamW(learning_rate=1e-2, epsilon=1e-3)
"""A large epsilon: steps that follow the gradient smoothly, so that rounding stays rounding."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TokenFiles]:
    """Random documents of three domains: of few tokens, of some, of all."""
    found = {}
    for name, tokens in zip(NAMES, (4, 12, VOCABULARY - 3), strict=True):
        generator = generator_from("domain", name)
        folder = tmp_path_factory.mktemp(name)
        rows = []
        for number in range(12):
            ids = torch.randint(3, 3 + tokens, (5 + number,), generator=generator).tolist()
            rows.append(TokenDocument(id=f"{name}{number}", source=name, tokens=[*ids, 0], num_bytes=5 + number))
        spelling = Spelling(tokenizer="x", vocabulary=VOCABULARY, first=1, end=0)
        write_manifest(folder, spelling, [write_shard(folder, "shard-00000", rows, spelling.dtype)])
        found[name] = TokenFiles(folder)
    return found


def mixed(files: dict[str, TokenFiles]) -> Mixed:
    segments = [Segments(files[name], length=9, joined=False, measure=lambda prompt, ids: len(ids)) for name in NAMES]
    domains = [
        Domain(name=name, num_segments=len(one), weight=1.0, max_epochs=None)
        for name, one in zip(NAMES, segments, strict=True)
    ]
    return Mixed(segments, Draws(domains, seed=3), batch_size=9, seed=3)


def source(files: dict[str, TokenFiles], *, smoothing: float = SMOOTHING) -> Reweighted:
    return Reweighted(mixed(files), DomainWeights(NAMES, step_size=STEP_SIZE, smoothing=smoothing))


def parts(layout: LayoutName = "tree") -> dict[str, Part]:
    """A proxy and its reference, for one thread at a time: first weights come from torch's global generator."""
    reference = ReferenceModel(LanguageModel(tiny_model(seed=1), layout=layout))
    return {"reference": Part(module=reference, frozen=True), "policy": Part(module=policy(layout=layout))}


def run(
    files: dict[str, TokenFiles],
    ranks: Ranks | None = None,
    own: dict[str, Part] | None = None,
    *,
    layout: LayoutName = "tree",
    **how: Any,
) -> list[dict[str, float]]:
    """The weights and the metrics of each update."""
    trainer = Trainer(
        own or parts(layout),
        DoReMi(domains=NAMES),
        Updates(optimizer=ADAMW, clip_norm=0.0, **how),
        steps=STEPS,
        cost=packed_cost if layout == "tree" else padded_cost,
        ranks=ranks,
    )
    stream, found = source(files), []

    def after(metrics: Any) -> bool:
        found.append({**metrics, **stream.metrics()})
        return False

    trainer.run(stream, after=after)
    kept = ("domain_weight/", "excess_loss/", "domain_loss/", "loss", "effective_domains")
    return [{name: value for name, value in row.items() if name.startswith(kept)} for row in found]


def by_hand(files: dict[str, TokenFiles]) -> list[dict[str, float]]:
    """The algorithm as plain loops over texts, with transformers' own logits and torch's own AdamW."""
    model, reference, stream = tiny_model().requires_grad_(True), tiny_model(seed=1), mixed(files)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.999), eps=1e-3, weight_decay=0.0)
    weights, excess, found = np.full(3, 1 / 3), None, []
    for _ in range(STEPS):
        if excess is not None:
            grown = weights * np.exp(STEP_SIZE * excess)
            weights = (1 - SMOOTHING) * grown / grown.sum() + SMOOTHING / 3
        own: list[list[torch.Tensor]] = [[], [], []]
        gaps: list[list[torch.Tensor]] = [[], [], []]
        for domain, trees in stream.drawn() or ():
            for tree in trees:
                ids = torch.tensor([[*tree.prompt, *tree.branches[0].tokens]])
                target = ids[0, 1:, None]
                logp = torch.log_softmax(model(input_ids=ids).logits[0, :-1], -1).gather(1, target)[:, 0]
                with torch.no_grad():
                    theirs = torch.log_softmax(reference(input_ids=ids).logits[0, :-1], -1).gather(1, target)[:, 0]
                own[domain].append(-logp)
                gaps[domain].append((theirs - logp.detach()).clamp_min(0))
        losses = [torch.cat(one).mean() for one in own]
        excess = np.array([float(torch.cat(one).mean()) for one in gaps])
        loss = sum(float(weight) * one for weight, one in zip(weights, losses, strict=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        row = {"loss": float(loss.detach())}
        for place, name in enumerate(NAMES):
            row[f"domain_weight/{name}"] = float(weights[place])
            row[f"excess_loss/{name}"] = float(excess[place])
            row[f"domain_loss/{name}"] = float(losses[place].detach())
        found.append(row)
    return found


@pytest.fixture(scope="module")
def whole(files: dict[str, TokenFiles]) -> list[dict[str, float]]:
    """A run whose batches are one micro-batch each."""
    return run(files)


def assert_same(found: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    assert len(found) == len(expected) == STEPS
    for row, other in zip(found, expected, strict=True):
        names = {name for name in other if not name.startswith("loss_share")}
        assert {name: row[name] for name in names} == pytest.approx({name: other[name] for name in names}, rel=2e-4)


def test_it_is_the_algorithm_in_plain_loops(files, whole):
    expected = by_hand(files)
    assert_same(whole, expected)
    last = [expected[-1][f"domain_weight/{name}"] for name in NAMES]
    assert max(last) > 2 * min(last), "the weights must have moved for this to say anything"


def test_the_weights_of_a_step_come_from_the_step_before(whole):
    assert [whole[0][f"domain_weight/{name}"] for name in NAMES] == pytest.approx([1 / 3] * 3)
    for before, row in itertools.pairwise(whole):
        grown = {
            name: before[f"domain_weight/{name}"] * np.exp(STEP_SIZE * before[f"excess_loss/{name}"]) for name in NAMES
        }
        for name in NAMES:
            expected = (1 - SMOOTHING) * grown[name] / sum(grown.values()) + SMOOTHING / 3
            assert row[f"domain_weight/{name}"] == pytest.approx(expected, rel=1e-6)


def test_the_loss_is_the_sum_of_weighted_means(whole):
    for row in whole:
        total = sum(row[f"domain_weight/{name}"] * row[f"domain_loss/{name}"] for name in NAMES)
        assert row["loss"] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("how", [{"micro_batch_size": 1}, {"micro_batch_size": 4}, {"token_budget": 30}], ids=str)
def test_micro_batches_give_the_same_weights(files, whole, how):
    assert_same(run(files, **how), whole)


def test_the_padded_layout_gives_the_same_weights(files, whole):
    assert_same(run(files, layout="padded", micro_batch_size=5), whole)


def test_ranks_give_the_same_weights_and_each_the_same_as_the_other(files, whole):
    copies = [parts() for _ in range(2)]
    found = on_ranks(2, lambda ranks: run(files, ranks, copies[ranks.index], micro_batch_size=2))
    assert found[0] == found[1]
    assert_same(found[0], whole)


def test_batches_carry_their_domain_and_its_weight(files):
    stream = source(files)
    stream.next({})
    batch = stream.next({"excess_loss/code": 1.0, "excess_loss/web": 0.5, "excess_loss/wiki": 0.0}) or []
    for tree in batch:
        (branch,) = tree.branches
        name = NAMES[int(branch.columns[DOMAIN])]
        assert tree.id.startswith(name)
        assert branch.columns[WEIGHT] == stream.weights.now[name]
    assert {NAMES[int(tree.branches[0].columns[DOMAIN])] for tree in batch} == set(NAMES)


def test_a_source_goes_on_where_its_state_was_taken(files):
    def heard(step: int) -> dict[str, float]:
        return {f"excess_loss/{name}": 0.1 * (place + step) for place, name in enumerate(NAMES)}

    through, later = source(files), source(files)
    through.next({})
    for step in range(3):
        through.next(heard(step))
    later.restore(json.loads(json.dumps(through.state())))
    assert later.metrics() == through.metrics()
    assert later.next(heard(3)) == through.next(heard(3))
    assert later.weights.means == through.weights.means


def test_a_batch_that_tells_nothing_leaves_the_weights(files):
    """What a plan looks at: batches without updates between them."""
    stream = source(files)
    for _ in range(3):
        assert stream.next({"loss": 1.0})
    assert set(stream.weights.now.values()) == {1 / 3}


def test_the_reference_is_only_read(files):
    part = ReferenceModel(LanguageModel(tiny_model(seed=1)).requires_grad_(True))
    assert not any(parameter.requires_grad for parameter in part.parameters())
    batch = Tree.collate(list(source(files).next({}) or ()))
    assert part(batch, frozenset()) == {}
    found = part(batch, frozenset({"reference_logp"}))
    plain = LanguageModel(tiny_model(seed=1))(batch, frozenset({"logp"}))
    assert torch.equal(found["reference_logp"], plain["logp"])
