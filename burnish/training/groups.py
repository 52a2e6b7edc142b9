"""Groups: one prompt with its sampled answers, graded; and the figures of many of them.

The tokens of an answer are trained on as they were sampled; the text beside them is for graders and people.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from burnish.batch import Branch, Tree
from burnish.example import Example
from burnish.graders.verdicts import FAILED
from burnish.protocols import Grade, Request, Sample


@dataclass(frozen=True, kw_only=True)
class Group:
    """One prompt with its answers, graded.

    Attributes:
        tree: the tokens as sampled, every one with weight 1 and with `sampler_logp`.
        example: the same as text, with scores and reasons, for people.
        grades: of each answer.
    """

    tree: Tree
    example: Example
    grades: tuple[Grade, ...]

    @property
    def scores(self) -> list[float]:
        """The score of each answer."""
        return [grade.score for grade in self.grades]

    @property
    def all_equal(self) -> bool:
        """Whether every answer has the same score, so that none is better than the others."""
        return len(set(self.scores)) == 1


def group_of(request: Request, example: Example, samples: Sequence[Sample], grades: Sequence[Grade]) -> Group:
    """The group of a prompt.

    Args:
        request: that was sampled; its id becomes the tree's.
        example: the prompt with its answers as text, in the order of the samples.
        samples: its answers.
        grades: of each.
    """
    branches = tuple(
        Branch(
            tokens=sample.tokens,
            weights=(1.0,) * len(sample.tokens),
            token_columns={"sampler_logp": sample.logps},
        )
        for sample in samples
    )
    completions = tuple(
        replace(completion, score=grade.score, reasons=grade.reasons)
        for completion, grade in zip(example.completions, grades, strict=True)
    )
    tree = Tree(id=request.id, prompt=tuple(request.prompt), branches=branches)
    return Group(tree=tree, example=replace(example, completions=completions), grades=tuple(grades))


def figures_of(groups: Sequence[Group], samples: Sequence[Sample]) -> dict[str, float]:
    """Figures of all answers of a rollout, those of groups that were left out too.

    Args:
        groups: of the rollout.
        samples: all of them.
    """
    scores = [score for group in groups for score in group.scores]
    lengths = [len(sample.tokens) for sample in samples]
    spreads = [statistics.pstdev(group.scores) for group in groups]
    return {
        "reward": statistics.fmean(scores),
        "reward_spread": statistics.pstdev(scores),
        "reward_spread_in_group": statistics.fmean(spreads),
        "groups_equal": sum(group.all_equal for group in groups) / len(groups),
        "answer_length": statistics.fmean(lengths),
        "answers_cut": sum(sample.finish == "length" for sample in samples) / len(samples),
        "answers": len(samples),
        **_parts(groups),
    }


def _parts(groups: Sequence[Group]) -> dict[str, float]:
    """The mean of each part of the grades, over the answers that have it; that of failures over all answers."""
    found: dict[str, list[float]] = {}
    grades = [grade for group in groups for grade in group.grades]
    for grade in grades:
        for name, value in grade.parts.items():
            found.setdefault(name, []).append(value)
    means = {f"reward_{name}": statistics.fmean(values) for name, values in found.items()}
    return means | {f"reward_{FAILED}": math.fsum(found[name]) / len(grades) for name in (FAILED,) if name in found}
