"""`burnish studio-priorities`: show first the items on which an ensemble of reward models disagrees most.

    next: {use: studio-priorities, project: gems, model: "@reward"}

The priority of an item with answers i, j, ... under members k = 1..K is

    mean over pairs (i, j) of  std_k sigmoid(s_k(i) - s_k(j))

the spread of the predicted preference, from 0 (all agree) to 0.5 (Christiano et al. 2017, section 2.2.4). It needs no
common origin of the members' scores. The queue hands out high priorities first. Items that are too long keep theirs.

Writes the waiting items with the members' scores into examples.jsonl, and the priorities into scores.json. The artefact
is known by the waiting items and the models; where it exists, the priorities were set already and are not set again.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from statistics import fmean
from typing import ClassVar

from burnish.config import setting, settings
from burnish.errors import ConfigError, DataError
from burnish.example import Example
from burnish.graders.learned import Combination, deviation
from burnish.models.classifier import load_reward_model
from burnish.numerics import Precision, cast_weights, compute_dtype, default_device
from burnish.stages.artefact import write_examples, write_scores
from burnish.stages.evaluate_reward import MEMBER_SCORES, Models, members_of
from burnish.stages.prepare import load_text
from burnish.stages.stage import Plan, Stage, Work
from burnish.stages.studio_export import PLACE, digest, require_studio
from burnish.store import Code
from burnish.text.rendering import TemplateSettings
from burnish.text.truncate import Truncation, truncated
from burnish.training.columns import completion_scores
from burnish.training.plan import packed_cost, padded_cost

_SHOWN = 3


@settings
class StudioPrioritiesStage(Stage):
    """Set the priorities of a project's waiting items by the disagreement of an ensemble."""

    verb: ClassVar[str] = "studio-priorities"

    studio: str = setting("runs/studio", PLACE, source=True)
    project: str = setting(..., "name of the project, as it stands in addresses", min_length=1)
    model: Models = setting(..., "reward models of the ensemble, or a folder that holds several", source=True)
    apply: bool = setting(True, "set the priorities in the studio; if not, they are only written down")
    longest: int = setting(2048, "longest prompt with one answer; longer ones are left alone", unit="tokens", ge=2)
    token_budget: int = setting(8192, "tokens computed together", unit="tokens", ge=1)
    precision: Precision = setting("auto", "compute dtype")
    template: TemplateSettings = setting(TemplateSettings(), "how messages become text")

    def plan(self) -> Plan:
        """Count the members and the items that wait."""
        members, waiting = self._members(), self._waiting
        line = (
            f"{len(waiting)} items of the project '{self.project}' wait, and {len(members)} reward models look at them"
        )
        return Plan(lines=(line,), facts={"items": len(waiting), "members": len(members)})

    def run(self, work: Work) -> None:
        """Score the waiting items and set their priorities."""
        if not self._waiting:
            raise DataError(
                f"no items of the project '{self.project}' in {self.studio} wait for judgements; import some"
            )
        found = [self._scores(member) for member in self._members()]
        scored = [example for example in self._waiting if all(example.id in rows for rows in found)]
        looked = [_with_scores(example, [rows[example.id] for rows in found]) for example in scored]
        priorities = {one.id: disagreement(one.columns[MEMBER_SCORES]) for one in looked}
        write_examples(work, looked)
        write_scores(
            work, {"members": len(found), "left_alone": len(self._waiting) - len(scored), "priorities": priorities}
        )
        if self.apply and priorities:
            self._set(priorities)
        for line in self._lines(priorities):
            work.say(line)

    def contents(self) -> Mapping[str, str]:
        """The key of the items that wait."""
        return {"studio": digest(self._waiting)}

    def code(self) -> tuple[Code, ...]:
        """What makes the priorities, besides this file: `deviation`, which stands beside this class."""
        return (Combination,)

    @cached_property
    def _waiting(self) -> tuple[Example, ...]:
        """The items of the one state that is read."""
        require_studio()
        from burnish.studio.place import studio_at
        from burnish.studio.projects import project_named
        from burnish.studio.waiting import waiting

        with studio_at(self.studio) as database, database.read() as session:
            return tuple(waiting(session, project_named(session, self.project)))

    def _set(self, priorities: Mapping[str, float]) -> None:
        from burnish.studio.importing import set_priorities
        from burnish.studio.place import studio_at
        from burnish.studio.projects import project_named

        with studio_at(self.studio) as database, database.write() as session:
            set_priorities(session, project_named(session, self.project), priorities)

    def _members(self) -> tuple[str, ...]:
        members = members_of(self.model)
        if len(members) < 2:
            raise ConfigError(
                [f"model names one reward model, {members[0]}, which cannot disagree with itself; train several heads"]
            )
        return members

    def _scores(self, member: str) -> Mapping[str, Sequence[float]]:
        """One member's score of each answer, by the item's key; items that are too long are left out."""
        text = load_text(member, self.template)
        trees = [tree for example in self._waiting for tree in text.trees(example)]
        kept, _ = truncated(trees, Truncation(max_tokens=self.longest), begin_token=text.begin_token)
        device = default_device()
        part = load_reward_model(member).to(device)
        cast_weights(part.language, compute_dtype(self.precision, device))
        cost = packed_cost if part.layout == "tree" else padded_cost
        rows = completion_scores(part, kept, budget=self.token_budget, cost=cost, device=device)
        return {tree.id: row for tree, row in zip(kept, rows, strict=True)}

    def _lines(self, priorities: Mapping[str, float]) -> list[str]:
        if not priorities:
            return [f"all {len(self._waiting)} items are longer than {self.longest} tokens; raise longest"]
        first = sorted(priorities, key=lambda key: (-priorities[key], key))[:_SHOWN]
        shown = ", ".join(f"{key} ({priorities[key]:.3f})" for key in first)
        said = "shown first" if self.apply else "would be shown first"
        left = len(self._waiting) - len(priorities)
        return [f"{len(priorities)} items; {said}: {shown}", *([f"{left} are too long and left alone"] if left else [])]


def disagreement(scores: Sequence[Sequence[float]]) -> float:
    """How much members differ in which answer they prefer: 0 if not at all, at most 0.5.

    Args:
        scores: for each of two answers or more, its score by every member.
    """
    return fmean(
        deviation([_sigmoid(one - other) for one, other in zip(left, right, strict=True)])
        for left, right in itertools.combinations(scores, 2)
    )


def _sigmoid(margin: float) -> float:
    small = math.exp(-abs(margin))
    return 1 / (1 + small) if margin >= 0 else small / (1 + small)


def _with_scores(example: Example, rows: Sequence[Sequence[float]]) -> Example:
    """The example with each member's score of every answer in a column."""
    by_answer = [list(scores) for scores in zip(*rows, strict=True)]
    return dataclasses.replace(example, columns={**example.columns, MEMBER_SCORES: by_answer})
