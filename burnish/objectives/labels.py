"""Cross-entropy of classes, of the borders of an answer, and of the tokens of a target.

    classes    L = - sum_n w(y_n) log p(y_n | x)  /  sum_n w(y_n)

over rows or over words; w is the weight of a class, 1 unless weights are given. A "balanced" weight is N / (C N_c) for
N_c of N targets of class c among C, so that every class has the same share of the loss (King and Zeng 2001).

    answers    L = - sum_b ( log p_first(f_b | x) + log p_last(l_b | x) ) / 2  /  B

A window without the answer has its borders at the first token, CLS (Devlin et al. 2019, section 4.2 and 4.3).

    targets    L = - sum_n log p(y_n | x, y_<n)  /  N        over the tokens of all targets, their ends included
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from burnish.config import setting, settings
from burnish.errors import ConfigError
from burnish.metrics import Mean, Number
from burnish.models.corrupted import CorruptedBatch
from burnish.models.labelled import LabelledBatch, SpannedBatch
from burnish.objectives.objective import Loss, Objective, Outputs


@settings
class CrossEntropy(Objective):
    """Negative log-likelihood of classes, by the weight of each target."""

    kind: Literal["cross_entropy"] = setting("cross_entropy", "classes of rows or of words")

    @property
    def reads(self) -> tuple[str, ...]:
        """Log-probs of all classes."""
        return ("class_logps",)

    def weights(self, batch: LabelledBatch) -> Mapping[str, float]:
        """The sum of the targets' weights."""
        return {"nll": float(batch.weight_N.sum())}

    def loss(self, outputs: Outputs, batch: LabelledBatch, statistics: Mapping[str, Number]) -> Loss:
        """The weighted sum, and how many targets the likeliest class gets right."""
        logps_NC = outputs["class_logps"]
        logp_N = _chosen(logps_NC, batch.target_N)
        right = float((logps_NC.detach().argmax(-1) == batch.target_N).sum())
        accuracy = Mean(right, float(len(batch.target_N)))
        return Loss(terms={"nll": -(batch.weight_N * logp_N).sum()}, metrics={"accuracy": accuracy})


@settings
class SpanLikelihood(Objective):
    """Negative log-likelihood of an answer's first and last token, their mean."""

    kind: Literal["span_likelihood"] = setting("span_likelihood", "where an answer begins and ends")

    @property
    def reads(self) -> tuple[str, ...]:
        """Log-probs of all places."""
        return ("first_logps", "last_logps")

    def weights(self, batch: SpannedBatch) -> Mapping[str, float]:
        """The number of rows."""
        return {"nll": float(len(batch.first_B))}

    def loss(self, outputs: Outputs, batch: SpannedBatch, statistics: Mapping[str, Number]) -> Loss:
        """The sum over rows, and how many have both borders right."""
        first_BL, last_BL = outputs["first_logps"], outputs["last_logps"]
        logp_B = (_chosen(first_BL, batch.first_B) + _chosen(last_BL, batch.last_B)) / 2
        right_B = (first_BL.detach().argmax(-1) == batch.first_B) & (last_BL.detach().argmax(-1) == batch.last_B)
        metrics = {"windows_right": Mean(float(right_B.sum()), float(len(batch.first_B)))}
        return Loss(terms={"nll": -logp_B.sum()}, metrics=metrics)


@settings
class TargetLikelihood(Objective):
    """Negative log-likelihood of the tokens of a target, per token."""

    kind: Literal["target_likelihood"] = setting("target_likelihood", "a target, given its source")

    def weights(self, batch: CorruptedBatch) -> Mapping[str, float]:
        """The number of tokens."""
        return {"nll": float(len(batch.target_N))}

    def loss(self, outputs: Outputs, batch: CorruptedBatch, statistics: Mapping[str, Number]) -> Loss:
        """The sum over tokens."""
        return Loss(terms={"nll": -outputs["logp"].sum()})


def _chosen(logps_NC: Tensor, target_N: Tensor) -> Tensor:
    return logps_NC.gather(1, target_N[:, None])[:, 0]


def class_weights(
    targets: Sequence[int], classes: Sequence[str], *, balanced: bool, given: Mapping[str, float] | None
) -> tuple[float, ...]:
    """What a target of each class counts.

    Args:
        targets: of the training data.
        classes: by number.
        balanced: N / (C N_c); a class that the data lacks counts nothing, as nothing has it.
        given: by name; classes that are not named count 1.

    Raises:
        ConfigError: a name is no class.
    """
    if given and (unknown := [name for name in given if name not in classes]):
        raise ConfigError([f"class_weights names '{unknown[0]}', and the classes are {', '.join(classes)}"])
    if not balanced:
        return tuple(float((given or {}).get(name, 1.0)) for name in classes)
    counts = Counter(targets)
    there = len(counts)
    return tuple(len(targets) / (there * counts[place]) if counts[place] else 0.0 for place in range(len(classes)))
