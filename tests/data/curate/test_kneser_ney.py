"""The byte n-gram model: numbers by hand, sums of one, and texts in any pieces."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.curate import kneser_ney
from burnish.data.curate.kneser_ney import NGrams, trained

TEXTS = ["ab", "ab", "ac"]


def p(model: NGrams, text: str) -> float:
    return math.exp(model.log_likelihoods([text])[0])


def test_numbers_computed_by_hand():
    """Pairs: #a 3, ab 2, ac 1, so D2 = 1 / (1 + 2 * 1); a, b, c each follow one byte, so D1 = 1/2."""
    model = trained(TEXTS, 2)
    unigram = (1 - 1 / 2) / 3 + (1 / 2 * 3 / 3) / 256
    unseen = (1 / 2 * 3 / 3) / 256
    a_begins = (3 - 1 / 3) / 3 + (1 / 3 * 1 / 3) * unigram
    b_after_a = (2 - 1 / 3) / 3 + (1 / 3 * 2 / 3) * unigram
    c_after_a = (1 - 1 / 3) / 3 + (1 / 3 * 2 / 3) * unigram
    d_after_a = (1 / 3 * 2 / 3) * unseen
    assert p(model, "a") == pytest.approx(a_begins, rel=1e-6)
    assert p(model, "ab") == pytest.approx(a_begins * b_after_a, rel=1e-6)
    assert p(model, "ac") == pytest.approx(a_begins * c_after_a, rel=1e-6)
    assert p(model, "ad") == pytest.approx(a_begins * d_after_a, rel=1e-6)
    assert p(model, "aba") == pytest.approx(a_begins * b_after_a * unigram, rel=1e-6), "nothing was seen after b"


@pytest.mark.parametrize("order", [1, 3, 8])
def test_the_next_byte_has_some_value(order):
    """Over ASCII and the bytes that begin or continue a longer character, the probabilities sum to 1."""
    model = trained(["the cat sat on the mat", "the hat", "ä"], order)
    for context in ["", "the ", "zzz", "t"]:
        windows = np.array([_window(context.encode() + bytes([byte]), order) for byte in range(256)], np.uint64)
        assert np.exp(model._log_p(windows)).sum() == pytest.approx(1, abs=1e-5)


def _window(data: bytes, order: int) -> int:
    return int.from_bytes((b"\xff" * order + data)[-order:], "big")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=5), st.integers(3, 60))
def test_pieces_and_neighbours_change_nothing(texts, piece):
    model = trained(["the cat sat on the mat", "le garçon est là"], 4)
    alone = [model.log_likelihoods([text])[0] for text in texts]
    assert model.log_likelihoods(texts).tolist() == alone
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kneser_ney, "_PIECE", piece)
        in_pieces = model.log_likelihoods(texts)
    assert in_pieces == pytest.approx(alone, rel=1e-12)
    assert model.log_likelihoods([""])[0] == 0


def test_a_saved_model_is_the_same_and_has_the_same_bytes(tmp_path):
    model = trained(["the cat sat on the mat"], 5)
    model.save(tmp_path / "a.npz")
    trained(["the cat sat on the mat"], 5).save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    read = NGrams.load(tmp_path / "a.npz")
    assert read.order == 5
    assert read.log_likelihoods(["the dog"]).tolist() == model.log_likelihoods(["the dog"]).tolist()


def test_longer_contexts_fit_real_text_better(real):
    text = (real / "text" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    seen, unseen = [text[:200_000]], [text[-20_000:]]
    found = [-trained(seen, order).log_likelihoods(unseen)[0] / 20_000 / math.log(2) for order in (1, 2, 4, 6)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 3 < 4.5 < found[0], "bits per byte"
