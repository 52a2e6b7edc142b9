"""Choosing a token: the draw is exact, the log-prob is that of the distribution drawn from."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from burnish.protocols import Decoding
from burnish.sampling.choose import choose, inverse_distribution

GRID = 2000
ALMOST_1 = 1.0 - 2.0**-24
"""The largest number below 1 that `torch.rand` can give."""

LOGITS = st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=9)
DECODINGS = st.builds(
    Decoding,
    temperature=st.sampled_from([0.3, 0.7, 1.0, 1.5]),
    top_k=st.sampled_from([0, 1, 2, 3, 100]),
    top_p=st.sampled_from([0.2, 0.5, 0.9, 1.0]),
)


def naive(logits: list[float], decoding: Decoding) -> list[float]:
    """The distribution by its definition: temperature, the k largest, then the smallest set of mass >= top_p."""
    scaled = [z / decoding.temperature for z in logits]
    order = sorted(range(len(scaled)), key=lambda token: -scaled[token])
    kept = order[: decoding.top_k] if decoding.top_k else order
    mass = {token: math.exp(scaled[token] - scaled[order[0]]) for token in kept}
    total, before, nucleus = sum(mass.values()), 0.0, []
    for token in kept:
        if before / total >= decoding.top_p:
            break
        nucleus.append(token)
        before += mass[token]
    norm = sum(mass[token] for token in nucleus)
    return [mass[token] / norm if token in nucleus else 0.0 for token in range(len(logits))]


def drawn_on_a_grid(logits: list[float], decoding: Decoding) -> tuple[Tensor, Tensor]:
    """The tokens and log-probs at GRID uniform numbers that are spread evenly."""
    uniform = (torch.arange(GRID) + 0.5) / GRID
    return choose(torch.tensor(logits).expand(GRID, -1).clone(), uniform, decoding)


def has_no_tie(logits: list[float], decoding: Decoding) -> bool:
    """Whether rounding cannot decide which tokens are kept."""
    ranked = sorted(logits)
    distinct = all(b - a > 1e-3 for a, b in pairwise(ranked))
    top = sorted(naive(logits, Decoding(temperature=decoding.temperature, top_k=decoding.top_k)), reverse=True)
    reached = [sum(top[: count + 1]) for count in range(len(top))]
    return distinct and all(abs(mass - decoding.top_p) > 1e-4 for mass in reached if decoding.top_p < 1)


@settings(max_examples=150, deadline=None)
@given(LOGITS, DECODINGS)
def test_the_draw_is_exact(logits: list[float], decoding: Decoding):
    """Each token is drawn at as many points of the grid as its probability says, within one point at either end."""
    if not has_no_tie(logits, decoding):
        return
    tokens, _ = drawn_on_a_grid(logits, decoding)
    counts = torch.bincount(tokens, minlength=len(logits)).tolist()
    expected = naive(logits, decoding)
    for count, probability in zip(counts, expected, strict=True):
        assert abs(count - probability * GRID) <= 1.02
        assert count == 0 or probability > 0


@settings(max_examples=150, deadline=None)
@given(LOGITS, DECODINGS)
def test_the_log_prob_is_that_of_the_distribution_drawn_from(logits: list[float], decoding: Decoding):
    if not has_no_tie(logits, decoding):
        return
    tokens, logps = drawn_on_a_grid(logits, decoding)
    expected = naive(logits, decoding)
    for token, logp in zip(tokens.tolist(), logps.tolist(), strict=True):
        assert logp == pytest.approx(math.log(expected[token]), abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=9), DECODINGS)
def test_the_probabilities_of_the_kept_tokens_sum_to_1(logits: list[float], decoding: Decoding):
    """With logits this close every kept token is met on the grid, ties or not."""
    if decoding.temperature < 1:
        return
    tokens, logps = drawn_on_a_grid(logits, decoding)
    mass = dict(zip(tokens.tolist(), logps.exp().tolist(), strict=True))
    if decoding.top_k:
        assert len(mass) <= decoding.top_k
    assert sum(mass.values()) == pytest.approx(1.0, abs=5e-3 if min(mass.values()) > 1 / GRID else 0.1)


@pytest.mark.parametrize("temperature", [0.0, 1e-4])
def test_temperature_0_takes_the_most_likely_token_for_certain(temperature: float):
    logits = torch.tensor([[0.1, 2.0, 1.9], [3.0, -1.0, 2.9]])
    for uniform in (0.0, 0.5, ALMOST_1):
        tokens, logps = choose(logits.clone(), torch.full((2,), uniform), Decoding(temperature=temperature))
        assert tokens.tolist() == [1, 0]
        assert logps.tolist() == [0.0, 0.0]


def test_top_p_keeps_the_smallest_set_that_reaches_it():
    """Probabilities 0.5, 0.3, 0.2: 0.5 needs one token, 0.51 two, 0.81 three."""
    logits = [math.log(0.5), math.log(0.3), math.log(0.2)]
    for top_p, kept in {0.1: {0}, 0.49: {0}, 0.51: {0, 1}, 0.79: {0, 1}, 0.81: {0, 1, 2}}.items():
        tokens, logps = drawn_on_a_grid(logits, Decoding(top_p=top_p))
        assert set(tokens.tolist()) == kept
        assert float(logps[0].exp()) == pytest.approx(0.5 / {1: 0.5, 2: 0.8, 3: 1.0}[len(kept)], abs=1e-5)


def test_top_p_counts_what_top_k_left_over():
    """Of 0.4, 0.3, 0.3 top-k 2 leaves 4/7 and 3/7, so top-p 0.5 keeps one. The other order would keep two."""
    logits = [math.log(0.4), math.log(0.3), math.log(0.3) - 1e-3]
    tokens, logps = drawn_on_a_grid(logits, Decoding(top_k=2, top_p=0.5))
    assert set(tokens.tolist()) == {0}
    assert float(logps.abs().max()) == pytest.approx(0, abs=1e-6)


def test_the_logits_given_are_left_alone():
    logits = torch.randn(3, 11, generator=torch.Generator().manual_seed(0))
    before = logits.clone()
    for decoding in (Decoding(), Decoding(temperature=0.5), Decoding(top_k=3), Decoding(top_p=0.5)):
        choose(logits, torch.full((3,), 0.3), decoding)
        assert torch.equal(logits, before)


def test_rows_do_not_touch_each_other():
    generator = torch.Generator().manual_seed(1)
    logits, uniform = torch.randn(8, 700, generator=generator), torch.rand(8, generator=generator)
    for decoding in (Decoding(), Decoding(top_k=20, top_p=0.8)):
        together = choose(logits, uniform, decoding)
        alone = [choose(logits[row : row + 1], uniform[row : row + 1], decoding) for row in range(8)]
        assert together[0].tolist() == [int(token) for token, _ in alone]
        assert together[1].tolist() == pytest.approx([float(logp) for _, logp in alone], abs=1e-6)


# The inverse distribution function ------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 1200), st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 0.99]))
def test_the_first_entry_whose_cumulated_probability_exceeds_the_number(size: int, seed: int, empty: float):
    """Against float64 and a plain search, over several blocks, with places of probability 0 between."""
    generator = torch.Generator().manual_seed(seed)
    mass = torch.rand(size, generator=generator) * (torch.rand(size, generator=generator) >= empty)
    mass[int(torch.randint(size, (), generator=generator))] += 0.1
    probability = (mass / mass.sum()).expand(64, -1)
    uniform = torch.rand(64, generator=generator)
    found = inverse_distribution(probability, uniform)[0]
    reached = probability[0].double().cumsum(0)
    for number, place in zip(uniform.tolist(), found.tolist(), strict=True):
        low, high = float(reached[place] - probability[0, place]), float(reached[place])
        goal = number * float(reached[-1])
        assert low - 1e-5 <= goal <= high + 1e-5
        assert probability[0, place] > 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 1e-30, 1e-8, 0.1, 1.0]), min_size=1, max_size=600), st.integers(0, 599))
def test_a_token_of_probability_0_is_never_taken(masses: list[float], sure: int):
    mass = torch.tensor(masses)
    mass[sure % len(masses)] = 1.0
    probability = mass / mass.sum()
    for number in (0.0, 1e-30, 2.0**-24, 0.5, ALMOST_1, 1.0):
        place = int(inverse_distribution(probability[None], torch.tensor([number]))[0])
        assert probability[place] > 0


def test_a_token_of_probability_0_is_not_taken_at_the_border_of_a_block():
    """Where the number falls on the border of two blocks, rounding may put it before the first place of the second."""
    generator = torch.Generator().manual_seed(0)
    mass = torch.rand(1, 40 * 256, generator=generator) * (torch.arange(40 * 256) % 256 >= 100)
    probability = mass / mass.sum()
    borders = probability.view(40, 256).sum(-1).cumsum(0)
    near = [borders.nextafter(torch.tensor(float(side))) for side in (0, 2)]
    uniform = torch.cat([borders, *near]).clamp(max=ALMOST_1)
    found = inverse_distribution(probability.expand(len(uniform), -1), uniform)[0]
    assert bool((probability[0, found] > 0).all())


def test_weights_need_not_sum_to_1_and_their_sum_is_given():
    weight = torch.tensor([[2.0, 0.0, 6.0]]).repeat(1, 100)
    place, total = inverse_distribution(weight, torch.tensor([0.5]))
    assert float(total) == 800.0
    assert int(place) == 150


def test_the_ends():
    """At 0 the first token with mass, just below 1 the last one with mass."""
    probability = torch.zeros(1, 520)
    probability[0, [3, 300, 515]] = torch.tensor([0.25, 0.5, 0.25])
    ends = {0.0: 3, 0.2499: 3, 0.25: 300, 0.7499: 300, 0.75: 515, ALMOST_1: 515}
    for number, place in ends.items():
        assert int(inverse_distribution(probability, torch.tensor([number]))[0]) == place


@pytest.mark.parametrize("size", [255, 256, 257, 50_000])
def test_rounding_near_1_stays_inside_the_vocabulary(size: int):
    """The cumulated sum of many float32 numbers is not exactly 1."""
    for seed in range(5):
        logits = torch.randn(1, size, generator=torch.Generator().manual_seed(seed)) * 3
        token, logp = choose(logits, torch.tensor([ALMOST_1]), Decoding())
        assert 0 <= int(token) < size
        assert float(logp) == pytest.approx(float(torch.log_softmax(logits, -1)[0, int(token)]), abs=1e-5)


def test_forbidden_tokens_are_not_drawn():
    logits = torch.full((GRID, 300), float("-inf"))
    logits[:, [7, 280]] = torch.tensor([0.0, 1.0])
    uniform = torch.arange(GRID) / GRID
    for decoding in (Decoding(), Decoding(top_k=50), Decoding(top_p=0.99), Decoding(temperature=0.5)):
        tokens, logps = choose(logits.clone(), uniform, decoding)
        assert set(tokens.tolist()) == {7, 280}
        assert torch.isfinite(logps).all()
