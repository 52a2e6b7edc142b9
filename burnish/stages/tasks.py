"""`burnish tasks`: make prompts from a task of reasoning-gym, for the graders `reasoning` and `answer-format`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from burnish.config import setting, settings
from burnish.example import Example
from burnish.graders.extraction import Rule
from burnish.graders.verifiers import Task, library_version, task_named
from burnish.stages.artefact import write_examples
from burnish.stages.stage import Plan, Stage, Work
from burnish.synth.reasoning_tasks import Split, reasoning_tasks


@settings
class TasksStage(Stage):
    """Make prompts that a verifier can judge; how the splits are kept apart is in `synth/reasoning_tasks.py`."""

    verb: ClassVar[str] = "tasks"

    task: str = setting(..., "a task of reasoning-gym, such as chain_sum")
    task_settings: Mapping[str, Any] | None = setting(None, "the task's own settings, such as max_terms: 3")
    count: int = setting(512, "different questions", unit="prompts", ge=1)
    split: Split = setting("train", "training questions, or test questions, which are never training ones")
    answer_in: Rule = setting("tag", "where the prompt asks for the answer, and the graders look for it")
    instruction: str | None = setting(None, "asks for that in other words; empty leaves the bare question")
    demonstrate: bool = setting(False, "answer each prompt rightly, in the form asked for: data for SFT")
    seed: int = setting(0, "another seed gives other questions", ge=0)

    def plan(self) -> Plan:
        """Draw the questions and show one."""
        drawn = self._drawn()
        shown = drawn[0]
        lines = (
            f"{len(drawn)} {self.split} questions of the task '{self.task}', such as: {shown.prompt[0].content}",
            f"the right answer to that: {shown.columns['answer']}",
        )
        return Plan(lines=lines, facts={"prompts": len(drawn)})

    def run(self, work: Work) -> None:
        """Write the prompts, and which version of reasoning-gym made them."""
        drawn = self._drawn()
        work.record({"reasoning_gym": library_version()})
        count = write_examples(work, drawn)
        work.say(f"{count} prompts in {work.out}")

    def code(self) -> tuple[type, ...]:
        """What draws the questions: the task's own class."""
        return (Task, type(task_named(self.task, self.task_settings or {})))

    def _drawn(self) -> list[Example]:
        return reasoning_tasks(
            task=self.task,
            task_settings=self.task_settings or {},
            count=self.count,
            split=self.split,
            seed=self.seed,
            answer_in=self.answer_in,
            instruction=self.instruction,
            demonstrate=self.demonstrate,
        )
