"""`burnish evaluate-reward`: measure a reward model, or an ensemble of them, on held-out preferences.

    burnish evaluate-reward --model runs/reward --data held_out.jsonl --out runs/reward_scores

The data is pairs or rankings; a ranking counts as all its pairs. So do graded samples (`burnish grade`): their scores
rank them, and the figures say how well the reward model orders them as that grader does. Writes the examples with the
score of every completion, and `scores.json` with the figures of `burnish.evals.reward`; `burnish report` draws them. A
folder that holds an ensemble stands for all its members. Each member reads the answers with its own tokenizer and
template.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pydantic

from burnish.batch import Tree
from burnish.config import setting, settings
from burnish.data.read import Reading, data_at, read
from burnish.errors import DataError
from burnish.evals.calibration import Calibration
from burnish.evals.reward import Comparison, reward_scores
from burnish.example import Example
from burnish.graders.learned import Combination, combined
from burnish.models.classifier import load_reward_model
from burnish.numerics import Precision, cast_weights, compute_dtype, default_device
from burnish.stages.artefact import write_examples, write_scores
from burnish.stages.prepare import Prepared, prepare
from burnish.stages.stage import Plan, Stage, Work
from burnish.synth.preferences import scores_of
from burnish.text.rendering import TemplateSettings
from burnish.text.truncate import Truncation
from burnish.training.columns import completion_scores
from burnish.training.plan import packed_cost, padded_cost

MEMBER_SCORES = "member_scores"
"""Column of an example that holds the scores of each completion by every member of an ensemble."""


def _listed(value: Any) -> Any:
    """One word as a list of one."""
    return (value,) if isinstance(value, str) else value


Models = Annotated[tuple[str, ...], pydantic.BeforeValidator(_listed), pydantic.Field(min_length=1)]


@settings
class EvaluateRewardStage(Stage):
    """Measure a reward model on held-out preferences."""

    verb: ClassVar[str] = "evaluate-reward"

    model: Models = setting(..., "reward model to measure; several are an ensemble", source=True)
    data: str = setting(..., "held-out pairs, rankings or graded samples", source=True)
    combination: Combination = setting(Combination(), "how the scores of an ensemble become one")
    centre: bool = setting(False, "take its mean over this data off each member's scores before they are combined")
    token_budget: int = setting(8192, "tokens computed together", unit="tokens", ge=1)
    precision: Precision = setting("auto", "compute dtype")
    reading: Reading = setting(Reading(), "how the data is read")
    template: TemplateSettings = setting(TemplateSettings(), "how messages become text")
    text: Truncation = setting(Truncation(), "what happens to long examples")

    def plan(self) -> Plan:
        """Read the data, convert it for every member, and count."""
        members, examples = members_of(self.model), self._examples()
        sizes = {member: len(self._prepared(member, lambda line: None).trees) for member in members}
        answers = sum(len(example.completions) for example in examples)
        lines = [f"{answers} answers to {len(examples)} prompts", *(f"{m}: scores {n}" for m, n in sizes.items())]
        return Plan(lines=tuple(lines), facts={"prompts": len(examples), "answers": answers, "members": len(members)})

    def run(self, work: Work) -> None:
        """Score, and write examples.jsonl and scores.json."""
        members, examples = members_of(self.model), self._examples()
        scored = [self._scored(member, work) for member in members]
        shared = [example for example in examples if all(example.id in found for found in scored)]
        if len(shared) < len(examples):
            work.say(f"{len(examples) - len(shared)} examples are not scored, because truncation dropped them")
        if not shared:
            raise DataError(f"{self.data}: truncation dropped all {len(examples)} examples; raise text.max_tokens")
        columns = [_scores_by(found, shared, centre=self.centre) for found in scored]
        judged = [
            _with_scores(example, [column[example.id] for column in columns], self.combination) for example in shared
        ]
        lengths = {name: tuple(branch.num_scored for branch in tree.branches) for name, (tree, _) in scored[0].items()}
        scores = self._figures(members, columns, judged, lengths)
        write_examples(work, judged)
        write_scores(work, scores)
        for line in _lines(scores):
            work.say(line)

    def code(self) -> tuple[type, ...]:
        """What makes the figures."""
        return (Calibration, Combination, Comparison)

    def _examples(self) -> Sequence[Example]:
        examples = read(data_at(self.data, self.reading)).examples
        return [_ranked(example) if _is_graded(example) else self._checked(example) for example in examples]

    def _checked(self, example: Example) -> Example:
        ranks = [completion.rank for completion in example.completions]
        if len({*ranks} - {None}) < 2:
            raise DataError(
                f"{self.data}: example '{example.id}' has no two completions of different rank; "
                "expected preference pairs, rankings, or graded samples"
            )
        if None in ranks:
            raise DataError(f"{self.data}: example '{example.id}' has a completion without a rank")
        return example

    def _prepared(self, member: str, say: Any) -> Prepared:
        return prepare(
            member,
            self.data,
            reading=self.reading,
            template=self.template,
            truncation=self.text,
            say=say,
        )

    def _scored(self, member: str, work: Work) -> Mapping[str, tuple[Tree, Sequence[float]]]:
        """The trees of a member with the scores of their completions, by example."""
        prepared = self._prepared(member, work.say)
        work.record({"template_hash": prepared.template_hash, "data": dict(prepared.facts)})
        device = default_device()
        part = load_reward_model(member).to(device)
        cast_weights(part.language, compute_dtype(self.precision, device))
        cost = packed_cost if part.layout == "tree" else padded_cost
        rows = completion_scores(part, prepared.trees, budget=self.token_budget, cost=cost, device=device)
        return {tree.id: (tree, row) for tree, row in zip(prepared.trees, rows, strict=True)}

    def _figures(
        self,
        members: Sequence[str],
        columns: Sequence[Mapping[str, Sequence[float]]],
        judged: Sequence[Example],
        lengths: Mapping[str, Sequence[int]],
    ) -> dict[str, Any]:
        together = {example.id: [c.score or 0.0 for c in example.completions] for example in judged}
        figures = reward_scores(_comparisons(judged, together, lengths))
        if len(members) == 1:
            return figures
        alone = [
            {"model": member, "accuracy": reward_scores(_comparisons(judged, column, lengths))["accuracy"]}
            for member, column in zip(members, columns, strict=True)
        ]
        return {**figures, "combination": dataclasses.asdict(self.combination), "members": alone}


def _is_graded(example: Example) -> bool:
    """Whether its completions have scores and no ranks."""
    return bool(example.completions) and all(one.rank is None and one.score is not None for one in example.completions)


def _ranked(example: Example) -> Example:
    """The example with its graded completions ranked by their scores, 0 the best; equal scores have equal ranks."""
    scores = scores_of(example)
    place = {score: number for number, score in enumerate(sorted(set(scores), reverse=True))}
    ranked = [
        dataclasses.replace(one, rank=place[score]) for one, score in zip(example.completions, scores, strict=True)
    ]
    return dataclasses.replace(example, completions=tuple(ranked))


def members_of(models: Sequence[str]) -> tuple[str, ...]:
    """The reward models that `models` name; a folder that holds an ensemble stands for its members, in their order."""
    return tuple(member for model in models for member in _members(model) or [model])


def _members(model: str) -> list[str]:
    for folder in (Path(model).expanduser(), Path(model).expanduser() / "model"):
        heads = [config.parent for config in folder.glob("head-*/config.json")]
        if heads:
            return [str(head) for head in sorted(heads, key=lambda head: int(head.name.removeprefix("head-")))]
    return []


def _scores_by(
    found: Mapping[str, tuple[Tree, Sequence[float]]], examples: Sequence[Example], *, centre: bool
) -> dict[str, Sequence[float]]:
    """One member's scores of the examples, its mean taken off if `centre`."""
    rows = {example.id: found[example.id][1] for example in examples}
    values = [score for row in rows.values() for score in row]
    mean = sum(values) / len(values) if centre else 0.0
    return {name: [score - mean for score in row] for name, row in rows.items()}


def _with_scores(example: Example, members: Sequence[Sequence[float]], how: Combination) -> Example:
    """The example with the combined score on each completion, and those of the members if there are several."""
    completions = tuple(
        dataclasses.replace(completion, score=combined(scores, how))
        for completion, scores in zip(example.completions, zip(*members, strict=True), strict=True)
    )
    more = {MEMBER_SCORES: [list(scores) for scores in zip(*members, strict=True)]} if len(members) > 1 else {}
    return dataclasses.replace(example, completions=completions, columns={**example.columns, **more})


def _comparisons(
    examples: Sequence[Example], scores: Mapping[str, Sequence[float]], lengths: Mapping[str, Sequence[int]]
) -> list[Comparison]:
    return [
        Comparison(
            id=example.id,
            scores=scores[example.id],
            ranks=[completion.rank or 0 for completion in example.completions],
            lengths=lengths[example.id],
        )
        for example in examples
    ]


def _lines(scores: Mapping[str, Any]) -> list[str]:
    right, rules = scores["accuracy"], scores["rules"]
    lines = [
        f"{right['accuracy']:.1%} of {right['count']} pairs right ({right['low']:.1%} to {right['high']:.1%}); "
        f"the longer one wins: {rules['longer_wins']['accuracy']:.1%}"
    ]
    before = scores["as_scored"]
    lines.append(f"calibration error {before['ece']:.3f}, NLL {before['nll']:.4g} nats, Brier {before['brier']:.3f}")
    if scores["temperature"] is not None:
        lines.append(f"fitted temperature {scores['temperature']:.4g}")
    return lines
