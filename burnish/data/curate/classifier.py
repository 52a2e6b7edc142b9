"""A text classifier: hashed words and pairs of words, logistic regression, calibrated; the same bytes every time.

    x       log(1 + count) of each word and each pair of neighbours, in one of 2^bits places, scaled to length 1
    train   min over w, b of  mean loss(w·x + b) + l2/2 |w|²        each class has half of the weight
    p       sigmoid(slope (w·x + b) + offset)                       Platt 1999, on texts that training did not see

The objective is convex and solved by L-BFGS from zero, so nothing is drawn at random. It is written here rather than
taken from scikit-learn, which would call the same optimiser of SciPy (a dependency already) for one matrix product and
bring three packages. Hashing needs no vocabulary: a model is one array, whatever the corpus.

Of the examples, told apart by a hash of their text, eight in ten train, one calibrates and one measures. The measures
are of the last: accuracy at 1/2, the area under the ROC curve, and the expected calibration error (Naeini et al. 2015)
in ten bins of equal width, classes weighing the same. So p means: the share of good texts among texts with this score,
if good and bad ones were equally many. Words are the units of `burnish.data.curate.words`, so characters in scripts
without spaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy.optimize
import scipy.sparse

from burnish.data.curate.atomic import whole, write_json
from burnish.data.curate.examples import HELD_OUT, Example
from burnish.data.curate.words import Words, split_words
from burnish.errors import DataError

WEIGHTS, MEASURED = "weights.npz", "measured.json"
FEWEST = 50
"""Examples of each class."""

_LEFT, _RIGHT, _SPREAD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0xD6E8FEB86659FD93))
_BINS = 10
_CHUNK = 512


@dataclass(frozen=True)
class Measured:
    """How good a classifier is on examples that it did not see.

    Attributes:
        trained_on, held_out: number of examples.
        accuracy: at a probability of 1/2, classes weighing the same.
        auc: chance that a good example has a higher score than a bad one.
        ece: expected calibration error.
    """

    trained_on: int
    held_out: int
    accuracy: float
    auc: float
    ece: float

    def __str__(self) -> str:
        return (
            f"trained on {self.trained_on:,} texts; of {self.held_out:,} others: accuracy {self.accuracy:.3f}, "
            f"area under the ROC curve {self.auc:.3f}, calibration error {self.ece:.3f}"
        )


@dataclass(frozen=True)
class Classifier:
    """A trained classifier.

    Attributes:
        weights: (2^bits,) float32.
        bias, slope, offset: see the head of the file.
    """

    weights: np.ndarray
    bias: float
    slope: float
    offset: float

    def probabilities(self, words: Words) -> np.ndarray:
        """How probably each text is good, (n,) float64; NaN for a text without words."""
        found = sigmoid(self.slope * self.logits(features(words, self.bits)) + self.offset)
        return np.where(words.counts > 0, found, np.nan)

    @property
    def bits(self) -> int:
        """Of a place."""
        return len(self.weights).bit_length() - 1

    def logits(self, x: scipy.sparse.csr_array) -> np.ndarray:
        """w·x + b, (n,); summed in the order of the places, so the same beside any other texts."""
        rows = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
        return np.bincount(rows, weights=x.data * self.weights[x.indices], minlength=x.shape[0]) + self.bias

    def save(self, folder: Path, measured: Measured) -> None:
        """Write the classifier and what was measured of it."""
        with whole(folder / WEIGHTS) as beside, beside.open("wb") as file:
            np.savez(file, allow_pickle=False, weights=self.weights, line=[self.bias, self.slope, self.offset])
        write_json(folder / MEASURED, asdict(measured))

    @classmethod
    def load(cls, folder: Path) -> Classifier:
        """Read what `save` wrote."""
        with np.load(folder / WEIGHTS, allow_pickle=False) as held:
            return cls(held["weights"], *map(float, held["line"]))


def learned(
    good: Sequence[Example],
    bad: Sequence[Example],
    *,
    bits: int,
    l2: float,
    names: tuple[str, str] = ("good", "bad"),
) -> tuple[Classifier, Measured]:
    """Train, calibrate and measure a classifier.

    Args:
        good, bad: examples of each class.
        bits: of a place; 2^bits weights.
        l2: strength of the pull of the weights towards zero.
        names: how the two classes are called in messages.

    Raises:
        DataError: there are too few examples of a class.
    """
    for name, found in zip(names, (good, bad), strict=True):
        if len(found) < FEWEST or len({example.draw % HELD_OUT for example in found}) < HELD_OUT:
            least = f"at least {FEWEST}, and more if copies are among them"
            raise DataError(f"there are {len(found):,} {name} examples to learn from; name files with {least}")
    examples = [*good, *bad]
    y = np.repeat([1.0, 0.0], [len(good), len(bad)])
    fold = np.array([example.draw % HELD_OUT for example in examples])
    x = _features_of([example.text for example in examples], bits)
    train, tune, test = fold > 1, fold == 1, fold == 0
    minimum = _minimum(x[train], y[train], balance(y[train]), l2)
    raw = Classifier(minimum[:-1].astype(np.float32), float(minimum[-1]), 1.0, 0.0)
    slope, offset = _platt(raw.logits(x[tune]), y[tune])
    made = Classifier(raw.weights, raw.bias, slope, offset)
    p = sigmoid(slope * made.logits(x[test]) + offset)
    measured = Measured(
        trained_on=int(train.sum()),
        held_out=int(test.sum()),
        accuracy=float(np.mean([(p[y[test] > 0.5] > 0.5).mean(), (p[y[test] < 0.5] <= 0.5).mean()])),
        auc=auc(p, y[test]),
        ece=ece(p, y[test]),
    )
    return made, measured


def features(words: Words, bits: int) -> scipy.sparse.csr_array:
    """The features of each text, (n, 2^bits), of length 1; all 0 for a text without words."""
    words = words.units
    first, second = words.hashes[:-1], words.hashes[1:]
    together = words.texts[:-1] == words.texts[1:]
    pairs = ((first * _LEFT) ^ (second * _RIGHT))[together]
    rows = np.concatenate([words.texts, words.texts[:-1][together]])
    mixed = np.concatenate([words.hashes, pairs]) * _SPREAD
    places = (mixed >> np.uint64(64 - bits)).astype(np.int64)
    keys, counts = np.unique((rows << bits) | places, return_counts=True)
    rows, values = keys >> bits, np.log1p(counts)
    number = len(words.counts)
    values = values / np.sqrt(np.bincount(rows, weights=values**2, minlength=number))[rows]
    starts = np.searchsorted(rows, np.arange(number + 1))
    return scipy.sparse.csr_array((values, keys & ((1 << bits) - 1), starts), shape=(number, 1 << bits))


def _features_of(texts: Sequence[str], bits: int) -> scipy.sparse.csr_array:
    """The features of many texts, some at a time."""
    chunks = [texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK)]
    return scipy.sparse.csr_array(
        scipy.sparse.vstack([features(Words([split_words(text) for text in chunk]), bits) for chunk in chunks])
    )


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)) without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * z))


def balance(y: np.ndarray) -> np.ndarray:
    """A weight for each example so that each class has half, (n,); sums to 1."""
    good, bad = float(y.sum()), float((1 - y).sum())
    return np.where(y > 0.5, 0.5 / max(good, 1.0), 0.5 / max(bad, 1.0))


def _loss(z: np.ndarray, y: np.ndarray, share: np.ndarray) -> tuple[float, np.ndarray]:
    """The weighted cross entropy of logits, and its gradient by each logit, (n,)."""
    return float(share @ (np.logaddexp(0, z) - y * z)), share * (sigmoid(z) - y)


def _minimum(x: scipy.sparse.csr_array, y: np.ndarray, share: np.ndarray, l2: float) -> np.ndarray:
    """The weights and, last, the bias at the minimum of the objective."""
    turned = x.T.tocsr()

    def objective(at: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _loss(x @ at[:-1] + at[-1], y, share)
        gradient = np.append(turned @ slope + l2 * at[:-1], slope.sum())
        return value + 0.5 * l2 * float(at[:-1] @ at[:-1]), gradient

    start = np.zeros(x.shape[1] + 1)
    options = {"maxiter": 500, "ftol": 1e-10, "gtol": 1e-7}
    found: np.ndarray = scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x
    return found


def _platt(logits: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and offset that calibrate; the targets are Platt's, a little off 0 and 1, so that they are finite."""
    good, bad = y.sum(), (1 - y).sum()
    targets = np.where(y > 0.5, (good + 1) / (good + 2), 1 / (bad + 2))
    share = balance(y)

    def objective(at: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _loss(at[0] * logits + at[1], targets, share)
        return value, np.array([slope @ logits, slope.sum()])

    found = scipy.optimize.minimize(objective, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B").x
    return float(found[0]), float(found[1])


def auc(p: np.ndarray, y: np.ndarray) -> float:
    """The chance that a good example has a higher score than a bad one, a tie counting half."""
    good, bad = p[y > 0.5], np.sort(p[y < 0.5])
    below = np.searchsorted(bad, good, side="left") + np.searchsorted(bad, good, side="right")
    return float(below.sum() / (2 * len(good) * len(bad)))


def ece(p: np.ndarray, y: np.ndarray) -> float:
    """Expected calibration error: |mean of p - share of good ones| in each bin, weighted by the bin."""
    share = balance(y)
    bins = np.minimum((p * _BINS).astype(int), _BINS - 1)
    return float(np.abs(np.bincount(bins, weights=share * (p - y), minlength=_BINS)).sum())
