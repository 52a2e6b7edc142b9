"""What every training stage shares: from data on disk to a saved model, with checkpoints in between.

    read ──► messages to trees ──► truncate ──► rows ──► check ──► columns ──► update, update, ... ──► save

    prepare.py     data on disk -> trees
    start.py       the model, what is trained over it, its adapter
    updates.py     the loop, its checkpoints and its record
    policy.py      the training stages whose result is a language model

A stage kind adds its verb and its objective, what it trains over the model (`module`) and how that is saved (`save`).
It may extend the data (`rows`), compute a column (`column`) and train further parts (`parts`).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from transformers import PretrainedConfig, PreTrainedModel

from burnish.batch import Tree
from burnish.config import dump, setting, settings
from burnish.data.read import Reading
from burnish.errors import ConfigError, DataError
from burnish.example import Example
from burnish.models.adapters import Adapter
from burnish.models.card import model_card, push
from burnish.models.flex import attention_by, attention_for
from burnish.models.load import require_whole
from burnish.models.save import SaveDtype
from burnish.numerics import default_device
from burnish.objectives.objective import Objective
from burnish.stages.ewc import EWC, adapter_mistakes, hold
from burnish.stages.prepare import Prepared, as_they_are, prepare
from burnish.stages.stage import Plan, Stage, Work
from burnish.stages.start import Module, Start, learned, started
from burnish.stages.updates import CHECKPOINTS, Training, held_out_probes, run_updates
from burnish.store import Code
from burnish.text.rendering import TemplateSettings
from burnish.text.truncate import Truncation
from burnish.training.checkpoint import remove_checkpoints
from burnish.training.columns import with_shared_columns
from burnish.training.eight_bits import require
from burnish.training.optimizer import AdamW
from burnish.training.part import Part
from burnish.training.source import Shuffled, Source
from burnish.training.trainer import Probe, Trainer


@settings
class TrainingStage(Stage):
    """The fields of every training verb.

    Class attributes:
        main: name of the part that is trained over the start model.
    """

    model: str = setting(..., "model to start from: hub name, folder, .gguf file or pypi:PACKAGE", source=True)
    data: str = setting(..., "examples to train on: file, folder, run or hub name", source=True)
    held_out_data: str | None = setting(None, "examples to look at during training, never trained on", source=True)
    held_out: int = setting(0, "examples to take out of the data for the same purpose", unit="examples", ge=0)
    steps: int | None = setting(None, "updates; from train.epochs if not given", unit="steps", ge=1)
    seed: int = setting(0, "of the order of the data, fresh adapters and dropout")
    adapter: Adapter | None = setting(None, "train an adapter in place of all weights", usual="lora")
    ewc: EWC | None = setting(None, "hold the weights where the start model's own task minds them")
    train: Training = setting(Training(), "how the run goes")
    reading: Reading = setting(Reading(), "how the data is read")
    template: TemplateSettings = setting(TemplateSettings(), "how messages become text")
    text: Truncation = setting(Truncation(), "what happens to long examples")
    save_dtype: SaveDtype = setting("float32", "of the saved weights; bfloat16 rounds small updates away")
    push: str | None = setting(None, "hub name to upload the finished model to")

    growable: ClassVar[tuple[str, ...]] = ("steps",)
    shared: ClassVar[bool] = True
    main: ClassVar[str] = "policy"

    @abstractmethod
    def goal(self) -> Objective:
        """The objective."""

    @abstractmethod
    def module(self, model: PreTrainedModel) -> Module:
        """What is trained over the start model, in float32: it gives the objective its outputs."""

    @abstractmethod
    def save(self, trained: Start, prepared: Prepared, folder: Path) -> None:
        """Write the finished model into `folder`; `trained` holds the float32 weights."""

    def goal_over(self, config: PretrainedConfig) -> Objective:
        """What the trainer is given: the goal, with what a model of this config adds to it."""
        return self.goal()

    def fed(self, source: Source[Tree], config: PretrainedConfig) -> Source[Tree]:
        """The batches as a model of this config takes them."""
        return source

    def learned_from(
        self, examples: Sequence[Example], say: Callable[[str], None]
    ) -> tuple[Sequence[Example], Mapping[str, Any]]:
        """The examples as they are trained on, and facts for the record; a stage may change or refuse them."""
        return as_they_are(examples)

    def header_alone(self) -> bool:
        """Whether the template's header of an answer stands in place of every prompt that is trained on."""
        return False

    def rows(self, trees: Sequence[Tree]) -> Sequence[Tree]:
        """The trees that the objective is computed on; a stage may extend them before any column is filled."""
        return trees

    def column(self, name: str, trees: Sequence[Tree], prepared: Prepared, start: Start, work: Work) -> Sequence[Tree]:
        """The trees with a column that the objective needs.

        Raises:
            DataError: the data does not bring it, and this stage cannot compute it.
        """
        if any(name not in branch.columns for tree in trees for branch in tree.branches):
            kind = type(self.goal()).__name__
            raise DataError(f"{kind} needs the column '{name}' on every completion, and the data does not have it")
        return trees

    def parts(self, start: Start) -> Mapping[str, Part]:
        """What is trained, by name; `main` is the part over the start model."""
        return {self.main: start.part}

    def code(self) -> tuple[Code, ...]:
        """The objective's class belongs to the identity of the run."""
        return (type(self.goal()),)

    def plan(self) -> Plan:
        """Read and convert the data, and count."""
        self._check()
        prepared = self.prepared(lambda line: None)
        lines = [f"{name}: {value}" for name, value in prepared.facts.items()]
        lines.append(f"{self.num_steps(prepared)} updates of {self.train.batch_size} examples")
        return Plan(lines=tuple(lines), facts=prepared.facts)

    def run(self, work: Work) -> None:
        """Train and save."""
        with attention_by(self.train.attention):
            self._train(work)

    def _train(self, work: Work) -> None:
        self._check()
        prepared = self.prepared(work.say)
        work.record({"template_hash": prepared.template_hash, "data": dict(prepared.facts)})
        start = self._start(work)
        prepared = self._with_columns(prepared, start, work)
        trainer: Trainer[Tree] = Trainer(
            self.parts(start),
            self.goal_over(start.plain.config),
            self.train,
            steps=self.num_steps(prepared),
            seed=self.seed,
            cost=start.cost,
            device=default_device(),
        )
        if self.ewc is not None:
            free = hold(trainer, self.ewc, main=self.main, module=start.module, model=start.plain, name=self.model)
            work.record({"not_held": free})
        self.train_on(prepared, trainer, start, work)
        masters = trainer.optimizers[self.main].masters
        trained = learned(start, masters, self.module, adapter=self.adapter, seed=self.seed, ranks=trainer.ranks)
        if trained is not None:
            self._finish(trained, prepared, work)

    def optimizers(self) -> Sequence[AdamW]:
        """The numbers of AdamW that the parts train with."""
        return (self.train.optimizer,)

    def _check(self) -> None:
        """Refuse a penalty that would hold nothing, and moments that this device cannot hold.

        Raises:
            ConfigError: an adapter is trained, and its start would be held.
            TrainingError: an optimiser cannot work here as it is set.
        """
        for one in self.optimizers():
            require(one.moments, default_device())
        if mistakes := adapter_mistakes(self.ewc, self.adapter):
            raise ConfigError(mistakes)

    def _finish(self, trained: Start, prepared: Prepared, work: Work) -> None:
        """Save the model, and upload it if that is asked for."""
        self.save(trained, prepared, work.out / "model")
        remove_checkpoints(work.out / CHECKPOINTS)
        if self.push is not None:
            push(work.out / "model", self.push, model_card(self.verb, dump(self), work.out / "metrics.jsonl"))
            work.say(f"uploaded to {self.push}")

    def prepared(self, say: Callable[[str], None]) -> Prepared:
        """The data as trees, checked.

        Raises:
            BurnishError: the run could not succeed on it.
        """
        if self.steps is not None and self.train.epochs is not None:
            raise ConfigError([f"steps is {self.steps} and train.epochs is {self.train.epochs:g}; give one of them"])
        require_whole(self.model)
        prepared = prepare(
            self.model,
            self.data,
            reading=self.reading,
            template=self.template,
            truncation=self.text,
            held_out=self.held_out,
            held_out_data=self.held_out_data,
            seed=self.seed,
            say=say,
            recast=lambda examples: self.learned_from(examples, say),
            header_alone=self.header_alone(),
        )
        prepared = replace(prepared, trees=self.rows(prepared.trees), held_out=self.rows(prepared.held_out))
        for trees in (prepared.trees, prepared.held_out):
            self.goal().check(trees)
        return prepared

    def train_on(self, prepared: Prepared, trainer: Trainer[Tree], start: Start, work: Work) -> None:
        """The updates, on what the source yields."""
        probes = self.probes(prepared, trainer, start, work)
        source = self.fed(self.source(prepared), start.plain.config)
        run_updates(trainer, source, self.train, work, verb=self.verb, probes=probes)

    def probes(self, prepared: Prepared, trainer: Trainer[Tree], start: Start, work: Work) -> list[Probe[Tree]]:
        """Looks at the training; the model may be looked at here too, as it is before the first update."""
        return held_out_probes(prepared, self.train)

    def source(self, prepared: Prepared) -> Source[Tree]:
        """What is trained on: the trees, in a new order every pass."""
        return Shuffled(prepared.trees, batch_size=self.train.batch_size, seed=self.seed)

    def num_steps(self, prepared: Prepared) -> int:
        """Updates of the whole run."""
        return self.steps or math.ceil((self.train.epochs or 1.0) * len(prepared.trees) / self.train.batch_size)

    def _start(self, work: Work) -> Start:
        """The start model, checked in float32 and then put to the compute dtype."""
        require_whole(self.model)
        start = started(self.model, self.module, adapter=self.adapter, seed=self.seed)
        if self.train.gradient_checkpointing:
            start.plain.activation_checkpointing_enable({"use_reentrant": False})
        start = start.put(default_device(), self.train.precision, self.train.divide)
        module = start.module
        work.record({"layout": module.layout, "layout_reason": module.reason, "dtype": str(start.plain.dtype)})
        kind, reason = attention_for(default_device())
        work.record({"attention": kind, "attention_reason": reason} if module.layout == "tree" else {})
        work.record({"activations": "computed twice" if self.train.gradient_checkpointing else "kept"})
        if module.reason and self.train.layout == "auto":
            work.say(f"padded layout: {module.reason}")
        return start

    def _with_columns(self, prepared: Prepared, start: Start, work: Work) -> Prepared:
        """Fill the columns that the objective needs and the data does not bring."""
        trees: Sequence[Tree] = with_shared_columns([*prepared.trees, *prepared.held_out])
        for name in self.goal().needs:
            trees = self.column(name, trees, prepared, start, work)
        count = len(prepared.trees)
        return replace(prepared, trees=trees[:count], held_out=trees[count:])
