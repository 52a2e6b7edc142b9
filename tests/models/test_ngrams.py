"""The n-gram model over tokens: numbers by hand, the definition in plain Python, sums of one."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.models.ngrams import TokenNGrams, _discounts, trained_ngrams

A, B, C, D = range(4)


def ids(*tokens: int) -> np.ndarray:
    return np.array(tokens, np.uint32)


def p(model: TokenNGrams, *tokens: int) -> float:
    """Probability of the last token."""
    return math.exp(model.log_likelihoods([ids(*tokens)])[0][-1])


def test_numbers_computed_by_hand():
    """Documents ab, ab, ac over {a, b, c, d}: too few for estimated discounts, so 1/2 off a count of one, 1 off two.

    Pairs: #a 3, ab 2, ac 1. In front of a stands one thing, in front of b one, in front of c one.
    """
    model = trained_ngrams([ids(A, B), ids(A, B), ids(A, C)], order=2, vocabulary=4)
    left_1 = 3 * 0.5 / 3
    one = dict.fromkeys((A, B, C), (1 - 0.5) / 3 + left_1 / 4) | {D: left_1 / 4}
    assert p(model, A) == pytest.approx((3 - 1.5) / 3 + 1.5 / 3 * one[A])
    assert p(model, B) == pytest.approx(0 + 1.5 / 3 * one[B])
    left_a = (1.0 + 0.5) / 3
    assert p(model, A, B) == pytest.approx((2 - 1) / 3 + left_a * one[B])
    assert p(model, A, C) == pytest.approx((1 - 0.5) / 3 + left_a * one[C])
    assert p(model, A, D) == pytest.approx(left_a * one[D])
    assert p(model, A, B, A) == pytest.approx(one[A]), "nothing was seen after b"


def test_the_discounts_are_chen_and_goodmans():
    """n1 = 10, n2 = 4, n3 = 2, n4 = 1: Y = 10 / 18."""
    counts = np.repeat([1, 2, 3, 4, 9], [10, 4, 2, 1, 3])
    y = 10 / 18
    assert _discounts(counts).tolist() == pytest.approx([0, 1 - 2 * y * 4 / 10, 2 - 3 * y * 2 / 4, 3 - 4 * y * 1 / 2])
    assert _discounts(np.array([1, 1, 2, 4])).tolist() == [0, 0.5, 1, 1.5], "no count of three"
    assert _discounts(np.repeat([1, 2, 3], [4, 1, 9])).tolist() == [0, 0.5, 1, 1.5], "a discount below 0"


class Plain:
    """The definition, n-gram by n-gram."""

    def __init__(self, documents: list[list[int]], order: int, vocabulary: int) -> None:
        self.order, self.vocabulary = order, vocabulary
        self.counts = [Counter[tuple[int | None, ...]]() for _ in range(order + 1)]
        for document in documents:
            row = [None] * (order - 1) + document
            for end in range(order, len(row) + 1):
                self.counts[order][tuple(row[end - order : end])] += 1
        for size in range(order - 1, 0, -1):
            self.counts[size] = Counter(gram[1:] for gram in self.counts[size + 1])
        self.follow = [defaultdict(list) for _ in range(order + 1)]
        for size in range(1, order + 1):
            for gram, count in self.counts[size].items():
                self.follow[size][gram[:-1]].append(count)
        self.taken = [_discounts(np.array(list(counts.values()) or [0])) for counts in self.counts]

    def p(self, context: tuple[int | None, ...], token: int) -> float:
        size = len(context) + 1
        below = 1 / self.vocabulary if size == 1 else self.p(context[1:], token)
        counts = self.follow[size][context]
        if not counts:
            return below
        off = self.taken[size]
        count = self.counts[size][(*context, token)]
        left = sum(off[min(one, 3)] for one in counts) / sum(counts)
        return (count - off[min(count, 3)]) / sum(counts) + left * below


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 3), max_size=30), min_size=1, max_size=5).filter(any),
    st.lists(st.integers(0, 4), min_size=1, max_size=12),
    st.integers(1, 4),
)
def test_it_is_the_definition(documents: list[list[int]], text: list[int], order: int):
    model = trained_ngrams([np.array(one, np.int64) for one in documents], order=order, vocabulary=5)
    plain = Plain(documents, order, 5)
    row = [None] * (order - 1) + text
    expected = [plain.p(tuple(row[at : at + order - 1]), text[at]) for at in range(len(text))]
    assert np.exp(model.log_likelihoods([np.array(text)])[0]) == pytest.approx(expected)


@pytest.mark.parametrize("order", [1, 2, 5])
def test_the_next_token_has_some_value(order: int):
    """The probabilities of all tokens sum to one, after contexts that were seen, half seen, or never."""
    draw = np.random.default_rng(0)
    documents = [draw.zipf(1.6, 300).clip(max=40) - 1 for _ in range(20)]
    model = trained_ngrams(documents, order=order, vocabulary=50)
    for context in ([], documents[0][:7].tolist(), [49, 0, 0, 1], [0, 0, 48]):
        every = [np.array([*context, token]) for token in range(50)]
        total = sum(math.exp(row[-1]) for row in model.log_likelihoods(every))
        assert total == pytest.approx(1, abs=1e-9)


def test_documents_do_not_see_each_other_and_a_vocabulary_may_be_large():
    """Alone or beside others a document costs the same, and ids beyond 16 bits are as good as small ones."""
    documents = [ids(A, B, C, A, B), ids(C, A), ids(B)]
    model = trained_ngrams(documents, order=5, vocabulary=4)
    together = model.log_likelihoods(documents)
    assert [row.tolist() for row in together] == [model.log_likelihoods([one])[0].tolist() for one in documents]
    far = [one.astype(np.int64) + 150_000 for one in documents]
    other = trained_ngrams(far, order=5, vocabulary=150_004)
    assert other.num_ngrams == model.num_ngrams
    assert (1 - 0.5) / 3 < p(other, 150_000 + A) < p(model, A), "one document of three begins with it"


def test_longer_contexts_fit_text_better():
    """On bytes of a text that says related things again and again."""
    words = ["the old river", "a walked house", "to town", "and with that", "is in the house"]
    draw = np.random.default_rng(1)
    texts = [" ".join(draw.choice(words, 40)) for _ in range(30)]
    data = [np.frombuffer(text.encode(), np.uint8) for text in texts]
    found = []
    for order in (1, 2, 5):
        rows = trained_ngrams(data[:25], order=order, vocabulary=256).log_likelihoods(data[25:])
        found.append(-float(np.concatenate(rows).mean()) / math.log(2))
    assert found[0] > found[1] > found[2] > 0
    assert found[2] < 0.6 < 3 < found[0], "bits per byte"
