"""Rollouts as a source: sample from the policy as it is now, grade the answers, value them, train on them.

    prompts ──► engine ──► answers ──► judge ──► groups ──► valuation ──► batches, each trained on `passes` times

A *group* (groups.py) is one prompt with its sampled answers and their scores. What a method makes of groups is its
*valuation* (valuation.py): advantages for policy gradients, pairs for online DPO. The tokens are trained on as they
were sampled; the text that a judge reads is never turned back into tokens.

The prompts come in a new order every time they have all been used. Which prompts a rollout asks, and what is drawn, is
a function of the seed and the rollout's number. The batches of a rollout that are still to be trained on are in
`state()`, so a run killed between two of its updates goes on with the very same answers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

from burnish.batch import Tree
from burnish.config import setting, settings
from burnish.errors import DataError, TrainingError
from burnish.example import Completion, Example
from burnish.numerics import generator_from, seed_from
from burnish.protocols import Answer, Decoding, Grade, Request, Sample, TokenEngine
from burnish.sampling.place import InProcess, Place
from burnish.training.groups import Group, figures_of, group_of
from burnish.training.source import Feedback
from burnish.training.tree_json import tree_dict, tree_from


@settings
class Rollout:
    """How a rollout is sampled."""

    num_samples: int = setting(8, "answers to each prompt", ge=1)
    decoding: Decoding = setting(Decoding(), "how the next token is drawn")
    drop_equal: bool = setting(
        False, "leave out groups whose answers all have the same score, and ask other prompts in their place"
    )
    most_draws: int = setting(4, "draws of prompts that one rollout may take when groups are left out", ge=1)
    cache_tokens: int = setting(32768, "tokens that the sampler's cache may hold", unit="tokens", ge=1)
    max_rows: int = setting(128, "answers decoded at a time", ge=1)
    engine: Place = setting(InProcess(), "where answers are sampled", discriminator="kind")


@settings
class ReusedRollout(Rollout):
    """How a rollout is sampled, and how many updates it is worth."""

    batches: int = setting(1, "updates that one pass over a rollout makes", ge=1)
    passes: int = setting(1, "times that a rollout is trained on", ge=1)


@dataclass(frozen=True, kw_only=True)
class Worth:
    """How many updates a rollout is worth.

    Attributes:
        batch_size: prompts in one update.
        batches: updates that one pass over it makes.
        passes: times that it is trained on.
    """

    batch_size: int
    batches: int = 1
    passes: int = 1

    @property
    def num_prompts(self) -> int:
        """Prompts that a rollout asks."""
        return self.batch_size * self.batches

    @property
    def num_updates(self) -> int:
        """Updates that a rollout is trained on in."""
        return self.batches * self.passes


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt as the engine takes it, and the example that a judge reads."""

    example: Example
    tokens: tuple[int, ...]


GradeAnswers = Callable[[Sequence[Answer]], Sequence[Grade]]
"""Grades many answers, one grade each, in order."""


class Valuation(Protocol):
    """What a method makes of graded groups."""

    def valued(self, batches: Sequence[Sequence[Group]]) -> tuple[list[list[Tree]], dict[str, float]]:
        """The trees that each batch trains on, and figures of the rollout; a batch may come out empty."""

    def spent(self) -> str:
        """Why the rollout just valued must not be trained on, and the run ends; "" if it may go on."""

    def state(self) -> dict[str, Any]:
        """What it has to remember, as JSON."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""


class Sampler(TokenEngine, Protocol):
    """A token engine over weights that change."""

    policy_version: str


def version(num_updates: int) -> str:
    """What the policy's weights are called after so many updates."""
    return f"update-{num_updates}"


class Rollouts:
    """The source of online training.

    Args:
        prompts: what is asked.
        engine: samples from the weights that are being trained.
        answer: a sample as a completion with its text.
        judge: grades answers.
        valuation: the method.
        check: refuses trees that the objective cannot be computed on.
        rollout: how it is sampled.
        worth: how many updates it is worth.
        seed: of the order of prompts and of the draws.
        seen: called with the number of each new rollout and its graded examples.

    Attributes:
        facts: figures of the rollout that is being trained on.
        ended: why the source ended before the run did, "" if it did not.

    Raises:
        DataError: there are no prompts, or fewer than one rollout asks.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        engine: Sampler,
        *,
        answer: Callable[[Sample], Completion],
        judge: GradeAnswers,
        valuation: Valuation,
        check: Callable[[Sequence[Tree]], None] = lambda trees: None,
        rollout: Rollout,
        worth: Worth,
        seed: int,
        seen: Callable[[int, Sequence[Example]], None] = lambda number, examples: None,
    ) -> None:
        self.size = worth.num_prompts
        if len(prompts) < self.size:
            raise DataError(
                f"a rollout asks {self.size} prompts ({worth.batches} x train.batch_size {worth.batch_size}), and the "
                f"data has {len(prompts)}; lower train.batch_size, or give more prompts"
            )
        self.prompts = prompts
        self.engine = engine
        self.answer = answer
        self.judge = judge
        self.valuation = valuation
        self.check = check
        self.rollout = rollout
        self.worth = worth
        self.seed = seed
        self.seen = seen
        self.number = 0
        self.drawn = 0
        self.updates = 0
        self.batches: list[list[Tree]] = []
        self.queue: list[int] = []
        self.facts: dict[str, float] = {}
        self.ended = ""
        self._order: tuple[int, list[int]] = (-1, [])

    def next(self, feedback: Feedback) -> Sequence[Tree] | None:
        """The next batch: of the rollout at hand, or of a new one; None when the method may not go on.

        Raises:
            TrainingError: no answer is better than another, in one rollout where equal groups are left out, or in
                `most_draws` rollouts one after the other of which the method made nothing.
        """
        for draws in itertools.count():
            if self.queue:
                break
            if draws == self.rollout.most_draws:
                raise TrainingError(_nothing_to_learn(f"{draws} rollouts up to number {self.number - 1}", self.size))
            self._collect()
            if reason := self.valuation.spent():
                self.ended, self.queue = reason, []
                return None
        self.updates += 1
        return self.batches[self.queue.pop(0)]

    def state(self) -> dict[str, Any]:
        """The rollout at hand with the updates it is still worth, and what is remembered."""
        return {
            "number": self.number,
            "drawn": self.drawn,
            "updates": self.updates,
            "batches": [[tree_dict(tree) for tree in batch] for batch in self.batches] if self.queue else [],
            "queue": self.queue,
            "facts": self.facts,
            "valuation": self.valuation.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.number, self.drawn, self.updates = (int(state[name]) for name in ("number", "drawn", "updates"))
        self.batches = [[tree_from(row) for row in batch] for batch in state["batches"]]
        self.queue = list(state["queue"])
        self.facts = dict(state["facts"])
        self.valuation.restore(state["valuation"])

    def _collect(self) -> None:
        """A new rollout: its batches, their order over all passes, and its figures."""
        groups, sampled = self._groups()
        kept = [group for group in groups if not (self.rollout.drop_equal and group.all_equal)][: self.size]
        if not kept:
            raise TrainingError(_nothing_to_learn(f"rollout {self.number}", len(groups)))
        each = self.worth.batch_size
        cut = [kept[start : start + each] for start in range(0, len(kept), each)]
        trees, figures = self.valuation.valued(cut)
        self.batches = [batch for batch in trees if batch]
        self.check([tree for batch in self.batches for tree in batch])
        self.queue = [index for number in range(self.worth.passes) for index in self._pass(number)]
        self.facts = {**figures_of(groups, sampled), **figures, "rollout": self.number, "groups_trained": len(kept)}
        self.seen(self.number, [group.example for group in groups])
        self.number += 1

    def _groups(self) -> tuple[list[Group], list[Sample]]:
        """Graded groups, more than one rollout asks where groups without a difference are to be left out."""
        groups: list[Group] = []
        samples: list[Sample] = []
        useful = 0
        for _ in range(self.rollout.most_draws if self.rollout.drop_equal else 1):
            found = self._draw(self.size - useful, samples)
            groups.extend(found)
            useful = sum(not group.all_equal for group in groups) if self.rollout.drop_equal else len(groups)
            if useful >= self.size:
                break
        return groups, samples

    def _draw(self, count: int, samples: list[Sample]) -> list[Group]:
        """Groups of the next prompts; the samples are added to `samples`."""
        places = range(self.drawn, self.drawn + count)
        prompts = [self._prompt(place) for place in places]
        requests = [
            Request(id=f"{place}:{prompt.example.id}", prompt=prompt.tokens, num_samples=self.rollout.num_samples)
            for place, prompt in zip(places, prompts, strict=True)
        ]
        self.drawn += count
        self.engine.policy_version = version(self.updates)
        found = self.engine.sample(requests, self.rollout.decoding, seed=seed_from(self.seed, "rollout"))
        samples.extend(sample for group in found for sample in group)
        answered = [
            replace(prompt.example, completions=tuple(self.answer(sample) for sample in group))
            for prompt, group in zip(prompts, found, strict=True)
        ]
        grades = iter(self._graded(answered))
        return [
            group_of(request, example, group, [next(grades) for _ in group])
            for request, example, group in zip(requests, answered, found, strict=True)
        ]

    def _graded(self, answered: Sequence[Example]) -> Sequence[Grade]:
        """A finite grade for every answer.

        Raises:
            TrainingError: a score is not finite or one is missing; nothing was trained on it.
        """
        answers = [(example, completion) for example in answered for completion in example.completions]
        grades = self.judge(answers)
        if len(grades) != len(answers):
            raise TrainingError(f"the grader gave {len(grades)} grades for {len(answers)} answers; one each is needed")
        for (example, _), grade in zip(answers, grades, strict=True):
            if not math.isfinite(grade.score):
                raise TrainingError(f"the grader scored an answer to example '{example.id}' as {grade.score}")
        return grades

    def _prompt(self, place: int) -> Prompt:
        """The prompt at this place of the endless order."""
        lap, index = divmod(place, len(self.prompts))
        if self._order[0] != lap:
            generator = generator_from(self.seed, "prompts", lap)
            self._order = (lap, torch.randperm(len(self.prompts), generator=generator).tolist())
        return self.prompts[self._order[1][index]]

    def _pass(self, number: int) -> list[int]:
        """The order of the batches in one pass; their composition stays, so that their numbers do too."""
        if number == 0:
            return list(range(len(self.batches)))
        generator = generator_from(self.seed, "pass", self.number, number)
        return torch.randperm(len(self.batches), generator=generator).tolist()


def _nothing_to_learn(where: str, num_prompts: int) -> str:
    """What to say where no group has a difference."""
    return (
        f"{where}: all answers to each of {num_prompts} prompts got the same score, so no answer is better than "
        "another and there is nothing to learn; use a finer grader, easier or harder prompts, a higher temperature, or "
        "more num_samples"
    )
