"""Questions of tasks that training never sees: read, checked, and as token ids.

A question is an example with its right answer and the columns `task`, `shots` (0 if there is none) and `metric` (exact
if there is none), as `burnish instructions` writes them. Worked examples are turns of its prompt. A metric is one of
`burnish.evals.tasks` or a grader of the library by its name, never a file: data must not name code that is run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from burnish.config import nearest
from burnish.data.contamination import kept_apart, shared_text
from burnish.data.read import Reading, data_at, read
from burnish.data.wordings import EXACT
from burnish.errors import DataError, shown
from burnish.evals.tasks import METRICS
from burnish.example import Example
from burnish.graders.registry import GRADERS, grader_named
from burnish.graders.verdicts import NO_ANSWER, verdict
from burnish.models.load import load_config
from burnish.stages.held_out_tasks import HeldOutTasks
from burnish.stages.prepare import Prepared
from burnish.text.template import ChatText
from burnish.training.rollouts import Prompt


@dataclass(frozen=True, kw_only=True)
class Questioned(Prepared):
    """Data with questions of held-out tasks.

    Attributes:
        questions: as the engine takes them.
        text: of the model.
    """

    questions: Sequence[Prompt]
    text: ChatText


def questioned(prepared: Prepared, held_out: HeldOutTasks, text: ChatText, *, model: str, virtual: int) -> Questioned:
    """The data with the questions beside it.

    Args:
        prepared: what is trained on.
        held_out: which questions.
        text: of the model.
        model: its name, for the context that it has.
        virtual: tokens that the adapter puts in front of each prompt.

    Raises:
        DataError: a question cannot be read, or leaves no room for an answer.
    """
    context = int(load_config(model).max_position_embeddings)
    prompts = prompts_of(questions_in(held_out), text, held_out, context=context, virtual=virtual)
    facts = {**prepared.facts, "questions": len(prompts)}
    return Questioned(
        tokenizer=prepared.tokenizer,
        template_hash=prepared.template_hash,
        trees=prepared.trees,
        held_out=prepared.held_out,
        facts=facts,
        questions=prompts,
        text=text,
    )


def shared_with(held_out: HeldOutTasks, training: Sequence[Example], say: Callable[[str], None]) -> dict[str, int]:
    """How many questions share a run of words with what is trained on, by task; said if there are any.

    Raises:
        DataError: a held-out task is trained on (`burnish.data.contamination`).
    """
    sharing = dict(kept_apart(questions_in(held_out), training))
    if sharing:
        say(shared_text(sharing))
    return sharing


def questions_in(held_out: HeldOutTasks) -> list[Example]:
    """The questions, with all their columns and the right answer in the column `answer`.

    Raises:
        DataError: one is no question with one right answer, there is a single one for a task and a number of shots, or
            a task has two metrics.
        GraderError: a task's metric is a grader, and a question lacks what it reads.
    """
    found = [_question(one) for path in held_out.data for one in read(data_at(path, Reading())).examples]
    for one in found:
        if (metric := str(one.columns["metric"])) not in METRICS:
            verdict(grader_named(metric), one, NO_ANSWER)
    counts = Counter((str(one.columns["task"]), int(one.columns["shots"])) for one in found)
    for (task, shots), count in counts.items():
        if count < 2:
            raise DataError(
                f"the held-out task '{task}' has one question with {shots} shots, and a score of one has no interval; "
                "hold out 2 or more"
            )
    metrics: dict[str, str] = {}
    for one in found:
        task, metric = str(one.columns["task"]), str(one.columns["metric"])
        if metrics.setdefault(task, metric) != metric:
            raise DataError(
                f"the held-out task '{task}' has questions of the metrics {metrics[task]} and {metric}, whose scores "
                "have no mean in common; give them different names in the column task"
            )
    return found


def prompts_of(
    questions: Sequence[Example], text: ChatText, held_out: HeldOutTasks, *, context: int, virtual: int
) -> list[Prompt]:
    """The questions as token ids.

    Args:
        questions: from `questions_in`.
        text: of the model.
        held_out: how long an answer may be, and what the cache holds.
        context: tokens that the model may see.
        virtual: tokens that the adapter puts in front of each prompt.

    Raises:
        DataError: one leaves no room for an answer; names it, and what there is.
    """
    limit = min(context, held_out.cache_tokens) - virtual
    prompts = []
    for example in questions:
        tokens = tuple(text.prompt(replace(example, completions=())))
        if len(tokens) + held_out.answer_tokens > limit:
            raise DataError(
                f"held-out question '{example.id}' has {len(tokens)} tokens and an answer may have "
                f"{held_out.answer_tokens}; the model's context holds {context}, the sampler's cache "
                f"(held_out_tasks.cache_tokens) {held_out.cache_tokens}. Lower held_out_tasks.answer_tokens, or shots "
                "where the questions are made"
            )
        prompts.append(Prompt(example=example, tokens=tokens))
    return prompts


def metric_fault(name: str) -> str | None:
    """What is wrong with the name of a metric, None if there is one of that name."""
    known = [*METRICS, *GRADERS]
    return None if name in known else f"there is no metric '{name}'; {nearest(name, known)}"


def _question(example: Example) -> Example:
    """The example as a question; its id says how many worked examples it has, so that no two have one id.

    Raises:
        DataError: it lacks a column or a right answer.
    """
    task, shots = example.columns.get("task"), example.columns.get("shots", 0)
    metric, what = str(example.columns.get("metric", EXACT)), f"held-out question '{example.id}'"
    if not isinstance(task, str) or not task:
        raise DataError(
            f"{what} has the column task {shown(task)}; expected the name of its task, as `burnish instructions` "
            "writes it"
        )
    if not isinstance(shots, int) or isinstance(shots, bool) or shots < 0:
        raise DataError(f"{what} has the column shots {shown(shots)}; expected the number of its worked examples")
    if fault := metric_fault(metric):
        raise DataError(f"{what}: {fault}")
    roles = [[message.role for message in answer.messages] for answer in example.completions]
    if roles != [["assistant"]]:
        raise DataError(f"{what} has {len(roles)} completions; expected one right answer, a message of the assistant")
    own = {"task": task, "shots": shots, "metric": metric}
    columns = {"answer": example.completions[0].text, **example.columns, **own}
    end = f"/{shots}-shot"
    return replace(example, id=example.id.removesuffix(end) + end, columns=columns)
