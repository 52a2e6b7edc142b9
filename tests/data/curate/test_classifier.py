"""The classifier: features, loss and measures by hand, and training on planted texts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize

from burnish.data.curate import classifier
from burnish.data.curate.classifier import Classifier, auc, balance, ece, features, learned, sigmoid
from burnish.data.curate.examples import example_of
from burnish.data.curate.words import Words
from burnish.errors import DataError

GOOD = ["calm", "clear", "exact", "study", "proof", "theory"]
BAD = ["click", "buy", "now", "cheap", "free", "win"]
SHARED = ["the", "of", "and", "a", "to", "in", "is", "it", "for", "on"]


def texts(own: list[str], seed: int, count: int, share: float = 0.2) -> list[str]:
    """Texts of 12 words, some of which tell the class."""
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(own if draw.random() < share else SHARED) for _ in range(12)) for _ in range(count)]


def words(*found: str) -> Words:
    return Words([text.split() for text in found])


def test_features_are_words_and_pairs_of_one_text():
    x = features(words("a b a b", "b", "", "a b"), 20).toarray()
    assert (x > 0).sum(axis=1).tolist() == [4, 1, 0, 3], "a, b, ab, ba; b; nothing; a, b, ab"
    assert np.linalg.norm(x, axis=1) == pytest.approx([1, 1, 0, 1])
    twice, once = math.log(3), math.log(2)
    norm = math.sqrt(3 * twice**2 + once**2)
    assert sorted(x[0][x[0] > 0]) == pytest.approx([once / norm, *[twice / norm] * 3])


def test_features_of_a_text_are_the_same_beside_others():
    alone = features(words("to be or not to be"), 12).toarray()
    assert np.array_equal(features(words("x", "to be or not to be", "be to"), 12).toarray()[1:2], alone)


def test_measures_by_hand():
    y = np.array([1.0, 1.0, 0.0, 0.0])
    p = np.array([0.95, 0.42, 0.48, 0.05])
    assert auc(p, y) == pytest.approx(3 / 4)
    assert auc(np.full(4, 0.5), y) == 0.5
    expected = 0.25 * (1 - 0.95) + 0.25 * abs(0.42 + 0.48 - 1) + 0.25 * 0.05
    assert ece(p, y) == pytest.approx(expected)
    assert balance(np.array([1.0, 0, 0, 0])) == pytest.approx([1 / 2, 1 / 6, 1 / 6, 1 / 6])
    assert ece(np.full(4, 0.5), np.array([1.0, 0, 0, 0])) == pytest.approx(0), "classes weigh the same"


def test_the_loss_has_its_gradient():
    draw = np.random.default_rng(0)
    y, share, z = (draw.random(5) > 0.5).astype(float), draw.random(5), draw.normal(size=5) * 3
    loss = classifier._loss
    error = scipy.optimize.check_grad(lambda at: loss(at, y, share)[0], lambda at: loss(at, y, share)[1], z)
    assert error < 1e-6
    assert sigmoid(np.array([-800.0, 0.0, 800.0])).tolist() == [0, 0.5, 1]


def test_training_stops_where_the_gradient_is_nothing():
    x = features(words(*texts(GOOD, 1, 60), *texts(BAD, 2, 60)), 10)
    y, l2 = np.repeat([1.0, 0.0], 60), 0.01
    found = classifier._minimum(x, y, balance(y), l2)
    slope = balance(y) * (sigmoid(x @ found[:-1] + found[-1]) - y)
    assert np.abs(x.T @ slope + l2 * found[:-1]).max() < 1e-5
    assert abs(slope.sum()) < 1e-5


@pytest.fixture(scope="module")
def trained():
    examples = [list(map(example_of, texts(own, seed, 1500))) for seed, own in enumerate((GOOD, BAD))]
    return learned(*examples, bits=14, l2=1e-4)


def test_planted_classes_are_told_apart_and_calibrated(trained):
    made, measured = trained
    assert measured.auc > 0.95
    assert measured.accuracy > 0.9
    assert measured.ece < 0.06
    assert 250 < measured.held_out < 350 < 2200 < measured.trained_on < 2600
    fresh = words(*texts(GOOD, 7, 1000), *texts(BAD, 8, 1000))
    p, y = made.probabilities(fresh), np.repeat([1.0, 0.0], 1000)
    assert ece(p, y) < 0.05
    assert np.isnan(made.probabilities(words("", "x"))).tolist() == [True, False]


def test_an_unlike_number_of_examples_moves_no_probability(trained):
    few = list(map(example_of, texts(GOOD, 0, 400)))
    made, measured = learned(few, list(map(example_of, texts(BAD, 1, 1500))), bits=14, l2=1e-4)
    p = made.probabilities(words(*texts(GOOD, 7, 1000), *texts(BAD, 8, 1000)))
    assert p.mean() == pytest.approx(0.5, abs=0.05)
    assert measured.auc > 0.95


def test_the_order_of_a_save_and_the_bytes(trained, tmp_path):
    made, measured = trained
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made.save(tmp_path / name, measured)
    assert (tmp_path / "a" / "weights.npz").read_bytes() == (tmp_path / "b" / "weights.npz").read_bytes()
    read = Classifier.load(tmp_path / "a")
    some = words(*texts(GOOD, 3, 5))
    assert read.probabilities(some).tolist() == made.probabilities(some).tolist()


def test_too_few_examples_are_refused():
    enough = list(map(example_of, texts(GOOD, 0, 200)))
    with pytest.raises(DataError, match="49 bad examples"):
        learned(enough, enough[:49], bits=10, l2=1)
    with pytest.raises(DataError, match="200 good examples"):
        learned(enough[:1] * 200, enough, bits=10, l2=1)
