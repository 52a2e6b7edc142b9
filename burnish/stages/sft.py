"""`burnish sft`: supervised fine-tuning on demonstrations and chats, or training with an objective of your own.

    burnish sft --model runs/base --data runs/mix --out runs/tuned \
        --held_out_tasks.data runs/mix/zero_shot runs/mix/few_shot

Questions of tasks that training never sees may be answered and scored during the run (`burnish.stages.task_looks`).
With `conditioning empty_turn` or `header` the instructions are left out: response tuning (`burnish.data.responses`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from burnish.batch import Tree
from burnish.config import imported, load, setting, settings
from burnish.data.responses import Conditioning, conditioned
from burnish.errors import ConfigError
from burnish.example import Example
from burnish.models.adapters import virtual_tokens
from burnish.models.language import LanguageModel
from burnish.models.routed import RoutedLanguageModel
from burnish.numerics import compute_dtype
from burnish.objectives.objective import Objective
from burnish.objectives.sft import SFT
from burnish.stages.held_out_tasks import HeldOutTasks
from burnish.stages.likelihood import LikelihoodStage
from burnish.stages.prepare import Prepared, load_text
from burnish.stages.stage import Work
from burnish.stages.start import Module, Start, started
from burnish.store import Code
from burnish.training.trainer import Probe, Trainer


@settings
class SFTStage(LikelihoodStage):
    """Fine-tune a model on completions.

    `objective: {use: my_loss.py:MyLoss, ...}` trains with a loss of your own in place of SFT's; its other settings are
    those of your class.
    """

    verb: ClassVar[str] = "sft"

    objective: dict[str, Any] | None = setting(
        None, "a loss of your own: {use: file.py:Class, its settings}; SFT if not given"
    )
    conditioning: Conditioning = setting(
        "prompt",
        "what a response is learned behind; response tuning leaves the instruction out: empty_turn empties the user's "
        "turns, header keeps the header of the answer alone",
    )
    held_out_tasks: HeldOutTasks | None = setting(None, "tasks that training never sees, answered during the run")

    def goal(self) -> Objective:
        """SFT, or the user's own."""
        return own_objective(self.objective) if self.objective else SFT()

    def code(self) -> tuple[Code, ...]:
        """What scores answers to held-out tasks belongs to the identity of the run."""
        if self.held_out_tasks is None:
            return super().code()
        from burnish.stages.task_looks import metric_code  # a sampler and graders: other runs do without

        return (*super().code(), *metric_code())

    def learned_from(
        self, examples: Sequence[Example], say: Callable[[str], None]
    ) -> tuple[Sequence[Example], Mapping[str, Any]]:
        """The examples, without their instructions if so set.

        Raises:
            DataError: a held-out task is among them, or an instruction cannot be left out.
        """
        facts: dict[str, Any] = {}
        if self.held_out_tasks is not None:
            from burnish.stages.task_questions import shared_with

            facts["shared_with_held_out_tasks"] = shared_with(self.held_out_tasks, examples, say)
        if self.conditioning != "prompt":
            examples = [conditioned(example, self.conditioning) for example in examples]
        return examples, facts

    def header_alone(self) -> bool:
        """As set."""
        return self.conditioning == "header"

    def prepared(self, say: Callable[[str], None]) -> Prepared:
        """The data as trees, with the questions of held-out tasks.

        Raises:
            BurnishError: the run could not succeed on it.
        """
        found = super().prepared(say)
        if self.held_out_tasks is None:
            return found
        from burnish.stages.task_questions import questioned

        text, virtual = load_text(self.model, self.template), virtual_tokens(self.adapter)
        return questioned(found, self.held_out_tasks, text, model=self.model, virtual=virtual)

    def probes(self, prepared: Prepared, trainer: Trainer[Tree], start: Start, work: Work) -> list[Probe[Tree]]:
        """Looks at held-out data, and at held-out tasks."""
        probes = super().probes(prepared, trainer, start, work)
        if self.held_out_tasks is None:
            return probes
        from burnish.stages.task_looks import TaskLook, task_engine, task_probe
        from burnish.stages.task_questions import Questioned

        def again() -> LanguageModel:
            loaded = started(self.model, self.module, adapter=self.adapter, seed=self.seed)
            return _language(loaded.put(trainer.device, self.train.precision, "nothing").module)

        assert isinstance(prepared, Questioned)
        dtype, policy = compute_dtype(self.train.precision, trainer.device), _language(start.module)
        engine = task_engine(self.held_out_tasks, prepared, policy, again, dtype=dtype, ranks=trainer.ranks)
        look = TaskLook(asked=prepared, engine=engine, answer_tokens=self.held_out_tasks.answer_tokens)
        return [*probes, task_probe(look, every=self.train.evaluate_every, work=work)]


def _language(module: Module) -> LanguageModel:
    """What answers are sampled from; of a mixture of experts as it is evaluated, without noise."""
    found = module.language if isinstance(module, RoutedLanguageModel) else module
    assert isinstance(found, LanguageModel)
    return found


def own_objective(values: dict[str, Any]) -> Objective:
    """Build the objective that `values` name.

    Raises:
        ConfigError: there is no such class, or its settings are wrong.
    """
    chosen = dict(values)
    cls = imported(str(chosen.pop("use", "")))
    if not issubclass(cls, Objective):
        raise ConfigError(
            [f"objective.use: {cls.__name__} is no Objective; subclass burnish.objectives.objective.Objective"]
        )
    return load(cls, chosen, source="objective")
