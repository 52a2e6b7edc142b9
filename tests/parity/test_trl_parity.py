"""Our losses against TRL's on one small case: TRL's numbers are stored, with their origin, and nothing of it is needed.

`benchmarks/parity` made the numbers and says how. What differs between TRL and the papers is stated here as a test:
that TRL's number is another one than the paper's, and that a stated conversion makes both equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.parity.case import digest, model
from benchmarks.parity.comparisons import ABSENT, COMPARISONS
from benchmarks.parity.ours import (
    Comparison,
    case_name,
    cases,
    from_model,
    from_stored,
    gradient_norm,
    loss_of,
    numbers,
    part_of,
    stored_logps,
    their_value,
    trees_of,
)
from benchmarks.parity.table import BEGIN, END, PAGE, lines
from burnish.batch import Branch, Tree, pack
from burnish.models.language import LanguageModel
from burnish.numerics import TOLERANCE
from burnish.objectives.dpo import DPO
from burnish.objectives.ipo import IPO
from burnish.objectives.orpo import ORPO
from burnish.objectives.sft import SFT

ROOT = Path(__file__).parents[2]
LOSS, GRADIENT = 1e-5, 1e-4
"""Largest relative differences allowed; both sides compute in float32."""

WHOLE = [comparison for comparison in COMPARISONS if comparison.theirs == "batch" and comparison.term is None]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def named(comparison: Comparison) -> str:
    return f"{comparison.name}: {comparison.case}"


def comparison_of(name: str) -> Comparison:
    return next(comparison for comparison in COMPARISONS if comparison.name == name)


def test_the_numbers_say_where_they_are_from():
    origin = numbers()["origin"]
    assert origin["trl"].startswith("1.16.")
    assert origin["dtype"] == "float32"
    pins = dict(re.findall(r"^(torch|transformers)==(.+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
    assert {name: origin[name].split("+")[0] for name in pins} == pins
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", origin["date"])


@pytest.mark.parametrize("who", ["policy", "reference", "reward"])
def test_both_sides_had_the_same_weights(who):
    assert digest(model(who)) == numbers()["weights"][who]


def test_every_stored_case_is_compared_or_named_as_absent():
    stored = [case_name(case) for case in numbers()["cases"]]
    assert len(set(stored)) == len(stored)
    assert {comparison.case for comparison in COMPARISONS} | set(ABSENT) == set(stored)
    assert not {comparison.case for comparison in COMPARISONS} & set(ABSENT)


@pytest.mark.parametrize("layout", ["tree", "padded"])
@pytest.mark.parametrize("data", ["pairs", "unpaired", "exchanged"])
def test_log_probs_are_trls(data, layout):
    part = LanguageModel(model("reference" if data == "exchanged" else "policy"), layout=layout)
    found = part(pack(trees_of(data)), frozenset({"logp"}))["logp"].tolist()
    theirs = [value for own in stored_logps(data) for value in own]
    assert found == pytest.approx(theirs, abs=TOLERANCE[torch.float32])


@pytest.mark.parametrize("layout", ["tree", "padded"])
def test_scores_are_trls(layout):
    part = part_of(comparison_of("Bradley-Terry"), layout)
    found = part(pack(trees_of("pairs")), frozenset({"score"}))["score"].tolist()
    assert found == pytest.approx([value for both in numbers()["scores"] for value in both], abs=1e-5)


@pytest.mark.parametrize("comparison", COMPARISONS, ids=named)
def test_loss_from_stored_numbers(comparison):
    theirs = their_value(comparison, cases()[comparison.case])
    assert from_stored(comparison).loss == pytest.approx(theirs, rel=LOSS)


@pytest.mark.parametrize("layout", ["tree", "padded"])
@pytest.mark.parametrize("comparison", COMPARISONS, ids=named)
def test_loss_through_the_model(comparison, layout):
    theirs = their_value(comparison, cases()[comparison.case])
    assert from_model(comparison, layout).loss == pytest.approx(theirs, rel=LOSS)


@pytest.mark.parametrize("layout", ["tree", "padded"])
@pytest.mark.parametrize("comparison", WHOLE, ids=named)
def test_norm_of_the_gradient_over_all_parameters(comparison, layout):
    theirs = cases()[comparison.case]["gradient_norm"]
    assert from_model(comparison, layout).gradient_norm == pytest.approx(theirs, rel=GRADIENT)


@pytest.mark.parametrize("comparison", [each for each in WHOLE if "output_gradient" in cases()[each.case]], ids=named)
def test_gradient_of_every_token_or_score(comparison):
    found = from_stored(comparison).gradient
    theirs = cases()[comparison.case]["output_gradient"]
    assert found is not None
    for own, other in zip(found, theirs, strict=True):
        assert own == pytest.approx(other, rel=GRADIENT, abs=1e-7)


def test_trls_ipo_is_not_the_papers():
    """Equation 17 squares the difference of the log-ratios themselves; the page says by how much they differ here."""
    converted = next(each for each in COMPARISONS if each.objective == IPO(tau=0.5))
    margins = [own - other for own, other in zip(*_margins(), strict=True)]
    paper = sum((h - 1 / (2 * 0.5)) ** 2 for h in margins) / len(margins)
    ours = from_stored(replace(converted, per_token=False)).loss
    assert ours == pytest.approx(paper, rel=LOSS)
    words = f"that is {their_value(converted, cases()[converted.case]):.2f} against {ours:.2f}"
    assert words in PAGE.read_text(encoding="utf-8")


def _margins() -> tuple[list[float], list[float]]:
    """The chosen answers' stored log-probs minus the rejected ones', of the policy and of the reference."""
    found = []
    for who in ("policy", "reference"):
        logps = [sum(own) for own in numbers()["pairs"][who]]
        half = len(logps) // 2
        found.append([chosen - rejected for chosen, rejected in zip(logps[:half], logps[half:], strict=True)])
    return found[0], found[1]


def test_policy_and_reference_order_the_margins_alike():
    """TRL's aot sorts both apart, and is the conservative loss only because of this."""
    policy, reference = (sorted(range(len(own)), key=own.__getitem__) for own in _margins())
    assert policy == reference


def test_trls_sigmoid_does_not_read_label_smoothing():
    read, unread = (f"DPOTrainer loss_type=sigmoid beta=0.5{more}" for more in ("", " label_smoothing=0.1"))
    assert cases()[unread]["loss"] == cases()[read]["loss"]


@pytest.mark.parametrize("name", ["DPO with likelihood", "DPO, reference-free, with likelihood"])
def test_trl_averages_an_added_likelihood_over_the_tokens_of_a_batch(name):
    """Its whole batch is our pairs without the likelihood, plus the weight times SFT's loss per token."""
    comparison = comparison_of(name)
    objective = comparison.objective
    assert isinstance(objective, DPO)
    pairs = from_stored(replace(comparison, objective=replace(objective, sft_weight=0.0))).loss
    per_token = from_stored(comparison_of("SFT")).loss
    case = cases()[comparison.case]
    assert case["loss"] == pytest.approx(pairs + objective.sft_weight * per_token, rel=LOSS)
    assert case["loss"] != pytest.approx(their_value(comparison, case), rel=1e-3)


@pytest.mark.parametrize("layout", ["tree", "padded"])
@pytest.mark.parametrize("comparison", [each for each in COMPARISONS if each.term], ids=named)
def test_trls_orpo_with_its_likelihood_of_prompt_and_answer(comparison, layout):
    """Our odds ratio term and the likelihood of the chosen text from its second token on: its loss and gradient."""
    assert isinstance(comparison.objective, ORPO)
    case, pairs = cases()[comparison.case], trees_of("pairs")
    part = part_of(comparison, layout)
    batch = pack(pairs)
    odds = loss_of(comparison, part(batch, frozenset({"logp"})), batch)
    whole = pack([Tree(id=tree.id, prompt=tree.prompt[:1], branches=(_all_but_first(tree),)) for tree in pairs])
    text = loss_of(comparison_of("SFT"), part(whole, frozenset({"logp"})), whole)
    assert float(text.detach()) == pytest.approx(case["metrics"]["nll_loss"], rel=LOSS)
    assert float((odds + text).detach()) == pytest.approx(case["loss"], rel=LOSS)
    assert gradient_norm(odds + text, part) == pytest.approx(case["gradient_norm"], rel=GRADIENT)


def _all_but_first(tree: Tree) -> Branch:
    tokens = [*tree.prompt[1:], *tree.branches[0].tokens]
    return Branch(tokens=tokens, weights=[1.0] * len(tokens))


def test_sft_cut_in_two_adds_up_and_means_of_means_do_not():
    case = cases()["SFTTrainer"]
    halves = [pack(part) for part in (trees_of("answers")[:2], trees_of("answers")[2:])]
    module = LanguageModel(model("policy"), layout="tree")
    total = sum(SFT().weights(half)["nll"] for half in halves)
    sums = [float(SFT().loss(module(half, frozenset({"logp"})), half, {}).terms["nll"].detach()) for half in halves]
    cut = case["cut_in_two"]
    assert sum(sums) / total == pytest.approx(cut["sum_over_counted_tokens"], rel=LOSS)
    assert cut["sum_over_counted_tokens"] == pytest.approx(case["loss"], rel=LOSS)
    means = [value / SFT().weights(half)["nll"] for value, half in zip(sums, halves, strict=True)]
    assert sum(means) / 2 == pytest.approx(cut["mean_of_means"], rel=LOSS)
    assert cut["mean_of_means"] != pytest.approx(case["loss"], rel=1e-3)


@pytest.mark.parametrize("comparison", [each for each in COMPARISONS if each.name.startswith("KTO")], ids=named)
def test_the_estimate_of_ktos_kl_is_trls(comparison):
    batch = pack(trees_of(comparison.data))
    logp = torch.tensor([value for own in stored_logps(comparison.data) for value in own])
    estimate = float(comparison.objective.statistics({"logp": logp}, batch)["kl"].value)
    assert max(0.0, estimate) == pytest.approx(cases()[comparison.case]["kl"], abs=1e-6)
    assert (estimate > 0) == (comparison.data == "exchanged")


def test_trls_kto_depends_on_the_company_of_a_row():
    """In its batches of one, z comes from that row's mismatched answer alone."""
    case = cases()[comparison_of("KTO, weighted, KL above 0").case]
    assert sum(case["per_row"]) / 6 != pytest.approx(case["loss"], rel=1e-3)


def test_the_page_shows_the_stored_numbers():
    """Our side and the difference may change in the last digit from machine to machine, so they are left out."""
    shown = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0].strip().splitlines()

    def fixed(line: str) -> list[str]:
        cells = line.split(" | ")
        return cells[:3] + cells[5:] if line.startswith("|") else [line]

    assert [fixed(line) for line in shown] == [fixed(line) for line in lines()]
