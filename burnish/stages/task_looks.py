"""Looks at tasks that training never sees: answered while a model is tuned, and scored by each task's own metric.

    questions ──► before the first update ──► every `train.evaluate_every` updates ──► after the last one
                      the most likely answers, by the weights that are being trained

    looks/000000.jsonl     answers before the first update, with scores; their figures are "before" in run.json
    looks/000050.jsonl     answers after update 50; their figures stand in that line of metrics.jsonl

`burnish.evals.tasks` says how answers are scored and what the figures are called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from burnish.batch import Tree
from burnish.evals.tasks import METRICS, Scored, task_figures
from burnish.example import Example, write_jsonl
from burnish.graders.registry import GRADERS, graded_all, grader_named
from burnish.models.language import LanguageModel
from burnish.protocols import Answer, Decoding, Request
from burnish.sampling.engine import InProcessEngine
from burnish.stages.held_out_tasks import HeldOutTasks
from burnish.stages.sampling import completion_of
from burnish.stages.shared_sampling import SharedEngine, whole_policy
from burnish.stages.stage import Work
from burnish.stages.task_questions import Questioned
from burnish.store import Code
from burnish.training.parallel import Ranks
from burnish.training.rollouts import Sampler, version
from burnish.training.trainer import Probe


@dataclass(frozen=True, kw_only=True)
class TaskLook:
    """What a look needs.

    Attributes:
        asked: the data with its questions, of every task and number of shots two or more.
        engine: samples from the weights that are being trained.
        answer_tokens: longest answer.
    """

    asked: Questioned
    engine: Sampler
    answer_tokens: int

    def taken(self, update: int) -> tuple[dict[str, float], list[Example]]:
        """Figures of the policy as it is after `update` updates, and its answers with their scores."""
        self.engine.policy_version = version(update)
        requests = [Request(id=one.example.id, prompt=one.tokens) for one in self.asked.questions]
        samples = self.engine.sample(requests, Decoding(temperature=0.0, max_tokens=self.answer_tokens), seed=0)
        pairs = zip(self.asked.questions, samples, strict=True)
        answers = [(question.example, completion_of(sample, self.asked.text)) for question, (sample,) in pairs]
        scores = task_scores(answers)
        given = [(example, replace(one, score=score)) for (example, one), score in zip(answers, scores, strict=True)]
        found = [_scored(example, score) for (example, _), score in zip(answers, scores, strict=True)]
        return task_figures(found), [replace(example, completions=(one,)) for example, one in given]


def task_engine(
    held_out: HeldOutTasks,
    asked: Questioned,
    policy: LanguageModel,
    again: Callable[[], LanguageModel],
    *,
    dtype: torch.dtype,
    ranks: Ranks,
) -> SharedEngine:
    """An engine over the weights that are being trained, whose work all ranks share.

    Args:
        held_out: how much it may hold.
        asked: brings the tokens that end an answer.
        policy: is being trained.
        again, dtype: as `whole_policy` takes them.
        ranks: who shares the work.

    Raises:
        ModelError: the model cannot run the tree layout, which cached decoding needs.
    """
    part, refresh = whole_policy(policy, again, dtype=dtype, samples=True)
    assert part is not None
    own = InProcessEngine(
        part,
        stop_tokens=asked.text.stop_tokens,
        policy_version=version(0),
        cache_tokens=held_out.cache_tokens,
        max_rows=held_out.max_rows,
    )
    return SharedEngine(own, samplers=ranks.count, ranks=ranks, refresh=refresh)


def task_probe(look: TaskLook, *, every: int, work: Work) -> Probe[Tree]:
    """Looks at the tasks every so many updates; the first is taken here, unless an earlier try of the run has.

    Args:
        look: with the engine over the weights as the run starts.
        every: updates between two looks.
        work: of the running stage; all ranks call this.
    """
    if not _file(work, 0).is_file():
        figures, answers = look.taken(0)
        work.record({"before": figures})
        _write(work, 0, answers)

    def after(update: int) -> Mapping[str, float]:
        figures, answers = look.taken(update)
        _write(work, update, answers)
        return figures

    return Probe(every=every, look=lambda trainer: after(trainer.num_updates))


def task_scores(answers: Sequence[Answer]) -> list[float]:
    """The score of each answer by its task's metric; the example is the question with its right answer.

    Raises:
        GraderError: the metric is a grader, and the question lacks what it reads.
    """
    scores = [0.0] * len(answers)
    graded: dict[str, list[int]] = {}
    for place, (example, answer) in enumerate(answers):
        name = str(example.columns["metric"])
        if name in METRICS:
            scores[place] = METRICS[name](example.completions[0].text, answer.text)
        else:
            graded.setdefault(name, []).append(place)
    for name, places in graded.items():
        grades = graded_all(grader_named(name), [answers[place] for place in places])
        for place, grade in zip(places, grades, strict=True):
            scores[place] = grade.score
    return scores


def metric_code() -> tuple[Code, ...]:
    """What scores answers: belongs to the identity of a run that has held-out tasks."""
    return (Scored, *(part for grader in GRADERS.values() for part in grader.code))


def _scored(example: Example, score: float) -> Scored:
    return Scored(task=str(example.columns["task"]), shots=int(example.columns["shots"]), score=score)


def _file(work: Work, update: int) -> Path:
    return work.out / "looks" / f"{update:06d}.jsonl"


def _write(work: Work, update: int, answers: Sequence[Example]) -> None:
    """Keep the answers of a look, for people and for comparisons."""
    if work.leads:
        _file(work, update).parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(_file(work, update), answers)
