"""What every training stage shares: from data on disk to a saved model, with checkpoints in between.

    read ──► messages to trees ──► truncate ──► check ──► hold out ──► columns ──► update, update, ... ──► save

A stage kind adds its verb and its objective. Killed at any moment, the same command goes on from the newest checkpoint
and ends with the same bytes; what is not in the checkpoint is a function of the settings and the data.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from burnish.batch import Tree
from burnish.config import dump, setting, settings
from burnish.data.read import Reading
from burnish.errors import ConfigError, DataError, Stopped
from burnish.models.adapters import Lora, adapter_off, add_lora, merged
from burnish.models.card import model_card, push
from burnish.models.language import LanguageModel, LayoutName, language_model
from burnish.models.load import load_model
from burnish.models.save import SaveDtype, save_adapter, save_model
from burnish.numerics import Precision, cast_weights, compute_dtype, default_device
from burnish.objectives.objective import Objective
from burnish.stages.prepare import Prepared, prepare
from burnish.stages.stage import Plan, Stage, Work
from burnish.text.rendering import TemplateSettings
from burnish.text.truncate import Truncation
from burnish.training.checkpoint import remove_checkpoints, restore_checkpoint, save_checkpoint
from burnish.training.columns import completion_logps, kept, trees_digest, with_column
from burnish.training.interrupt import Interrupt
from burnish.training.optimizer import put
from burnish.training.part import Part, trainable_parameters
from burnish.training.plan import packed_cost, padded_cost
from burnish.training.progress import ProgressBar
from burnish.training.record import Record, TrackerName, tracker_named
from burnish.training.source import Shuffled
from burnish.training.trainer import Probe, Trainer, Updates


@settings
class Training(Updates):
    """How a run goes."""

    batch_size: int = setting(16, "examples per update", unit="examples", ge=1)
    epochs: float | None = setting(None, "passes over the data in place of steps; 1 if neither is given", gt=0)
    precision: Precision = setting("auto", "of matrix products; weights are updated in float32 either way")
    layout: LayoutName = setting("auto", "tree computes every prompt once; padded runs any model")
    gradient_checkpointing: bool = setting(False, "compute activations twice and keep fewer")
    checkpoint_every: int = setting(50, "updates between checkpoints; 0 writes none", unit="steps", ge=0)
    evaluate_every: int = setting(50, "updates between looks at the held-out data", unit="steps", ge=1)
    trackers: tuple[TrackerName, ...] = setting((), "draw the metrics elsewhere too")


@settings
class TrainingStage(Stage):
    """The fields of every training verb."""

    model: str = setting(..., "model to start from: hub name, folder, .gguf file or pypi:PACKAGE", source=True)
    data: str = setting(..., "examples to train on: file, folder, run or hub name", source=True)
    held_out_data: str | None = setting(None, "examples to look at during training, never trained on", source=True)
    held_out: int = setting(0, "examples to take out of the data for the same purpose", unit="examples", ge=0)
    steps: int | None = setting(None, "updates; from train.epochs if not given", unit="steps", ge=1)
    seed: int = setting(0, "of the order of the data, fresh adapters and dropout")
    adapter: Lora | None = setting(None, "train a low-rank adapter in place of all weights")
    train: Training = setting(Training(), "how the run goes")
    reading: Reading = setting(Reading(), "how the data is read")
    template: TemplateSettings = setting(TemplateSettings(), "how messages become text")
    text: Truncation = setting(Truncation(), "what happens to long examples")
    save_dtype: SaveDtype = setting("float32", "of the saved weights; bfloat16 rounds small updates away")
    adapter_only: bool = setting(False, "save the adapter and not the merged model")
    push: str | None = setting(None, "hub name to upload the finished model to")

    growable: ClassVar[tuple[str, ...]] = ("steps",)

    def __post_init__(self) -> None:
        if self.adapter_only and self.adapter is None:
            raise ValueError("adapter_only needs an adapter; add --adapter.rank 16, or leave adapter_only out")

    @abstractmethod
    def goal(self) -> Objective:
        """The objective."""

    def code(self) -> tuple[type, ...]:
        """The objective's class belongs to the identity of the run."""
        return (type(self.goal()),)

    def plan(self) -> Plan:
        """Read and convert the data, and count."""
        prepared = self._prepared(lambda line: None)
        lines = [f"{name}: {value}" for name, value in prepared.facts.items()]
        lines.append(f"{self._num_steps(prepared)} updates of {self.train.batch_size} examples")
        return Plan(lines=tuple(lines), facts=prepared.facts)

    def run(self, work: Work) -> None:
        """Train and save."""
        prepared = self._prepared(work.say)
        work.record({"template_hash": prepared.template_hash, "data": dict(prepared.facts)})
        device = default_device()
        model, part, exact = self._model(device)
        work.record({"layout": part.layout, "layout_reason": part.reason, "dtype": str(model.dtype)})
        work.record({"activations": "computed twice" if self.train.gradient_checkpointing else "kept"})
        if part.reason and self.train.layout == "auto":
            work.say(f"padded layout: {part.reason}")
        prepared = self._with_columns(prepared, part, model, work)
        trainer = Trainer(
            {"policy": Part(module=part, exact=exact)},
            self.goal(),
            self.train,
            steps=self._num_steps(prepared),
            seed=self.seed,
            cost=_cost(part),
            device=device,
        )
        self._updates(trainer, prepared, work)
        self._save(model, trainer, prepared, work)

    def _prepared(self, say: Callable[[str], None]) -> Prepared:
        if self.steps is not None and self.train.epochs is not None:
            raise ConfigError([f"steps is {self.steps} and train.epochs is {self.train.epochs:g}; give one of them"])
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
        )
        for trees in (prepared.trees, prepared.held_out):
            self.goal().check(trees)
        return prepared

    def _num_steps(self, prepared: Prepared) -> int:
        return self.steps or math.ceil((self.train.epochs or 1.0) * len(prepared.trees) / self.train.batch_size)

    def _model(
        self, device: torch.device
    ) -> tuple[PreTrainedModel | PeftModel, LanguageModel, Mapping[str, torch.Tensor]]:
        """The start model as a part, checked in float32 and then put to the compute dtype, and its float32 values."""
        plain = load_model(self.model)
        part = language_model(plain, layout=self.train.layout)
        model = add_lora(plain, self.adapter, seed=self.seed) if self.adapter else plain.requires_grad_(True)
        if self.train.gradient_checkpointing:
            plain.activation_checkpointing_enable({"use_reentrant": False})
        exact = {name: value.detach() for name, value in trainable_parameters(part).items()}
        cast_weights(part.to(device), compute_dtype(self.train.precision, device))
        return model, part, exact

    def _with_columns(
        self, prepared: Prepared, part: LanguageModel, model: PreTrainedModel | PeftModel, work: Work
    ) -> Prepared:
        """Fill the columns that the objective needs and the data does not bring."""
        trees = [*prepared.trees, *prepared.held_out]
        for name in self.goal().needs:
            if name == "reference_logp":
                trees = with_column(trees, name, self._reference_logps(trees, part, model, work))
            elif name == "num_bytes":
                trees = with_column(trees, name, _num_bytes(trees, prepared.tokenizer))
            elif any(name not in branch.columns for tree in trees for branch in tree.branches):
                kind = type(self.goal()).__name__
                raise DataError(f"{kind} needs the column '{name}' on every completion, and the data does not have it")
        count = len(prepared.trees)
        return replace(prepared, trees=trees[:count], held_out=trees[count:])

    def _reference_logps(
        self, trees: Sequence[Tree], part: LanguageModel, model: PreTrainedModel | PeftModel, work: Work
    ) -> Sequence[Sequence[float]]:
        """Log-probs under the model that the run starts from, computed once and kept beside the run."""
        device, dtype = next(part.parameters()).device, next(part.parameters()).dtype
        identity = {"trees": trees_digest(trees), "layout": part.layout, "dtype": str(dtype), "device": device.type}

        def compute() -> list[tuple[float, ...]]:
            work.say(f"computing reference log-probs of {len(trees)} examples with the start model")
            with adapter_off(model):
                budget = self.train.token_budget
                return completion_logps(part, trees, budget=budget, cost=_cost(part), device=device)

        return kept(work.out / "reference.json", identity, compute)

    def _updates(self, trainer: Trainer[Tree], prepared: Prepared, work: Work) -> None:
        """The loop, with checkpoints and the record around it."""
        source = Shuffled(prepared.trees, batch_size=self.train.batch_size, seed=self.seed)
        checkpoints = work.out / "checkpoints"
        found = restore_checkpoint(checkpoints, trainer, source)
        if found:
            work.say(f"going on after update {found.num_updates}")
        trackers = [tracker_named(name, folder=work.out, run=work.out.name) for name in self.train.trackers]
        keep = found.metrics_bytes if found else 0
        with (
            Record(work.out / "metrics.jsonl", keep_bytes=keep, trackers=trackers) as record,
            ProgressBar(self.verb, total=trainer.steps, done=trainer.num_updates) as bar,
            Interrupt() as interrupt,
        ):

            def after(metrics: Mapping[str, float]) -> bool:
                step, every = trainer.num_updates, self.train.checkpoint_every
                record.write(step, metrics)
                bar.show(step, metrics)
                if interrupt.asked or (every and (step % every == 0 or step == trainer.steps)):
                    save_checkpoint(checkpoints, trainer, source, metrics, metrics_bytes=record.num_bytes)
                return interrupt.asked

            trainer.run(source, probes=self._probes(prepared), after=after, feedback=found.feedback if found else None)
        if interrupt.asked and trainer.num_updates < trainer.steps:
            raise Stopped(
                f"stopped after update {trainer.num_updates} of {trainer.steps}; run the same command to go on"
            )

    def _probes(self, prepared: Prepared) -> list[Probe[Tree]]:
        if not prepared.held_out:
            return []

        def look(trainer: Trainer[Tree]) -> Mapping[str, float]:
            return {f"held_out_{name}": value for name, value in trainer.evaluate(prepared.held_out).items()}

        return [Probe(every=self.train.evaluate_every, look=look)]

    def _save(self, model: PreTrainedModel | PeftModel, trainer: Trainer[Tree], prepared: Prepared, work: Work) -> None:
        """Save the float32 masters, not the rounded weights that were computed with."""
        masters = trainer.optimizers["policy"].masters
        if isinstance(model, PeftModel):
            plain = load_model(self.model)
            assert self.adapter is not None
            model = add_lora(plain, self.adapter, seed=self.seed)
        else:
            model.float()
            plain = model
        put(masters, LanguageModel(plain))
        folder = work.out / "model"
        if self.adapter_only:
            save_adapter(model, prepared.tokenizer, folder, template_hash=prepared.template_hash, base=self.model)
        else:
            finished = merged(model) if isinstance(model, PeftModel) else model
            save_model(
                finished, prepared.tokenizer, folder, template_hash=prepared.template_hash, dtype=self.save_dtype
            )
        remove_checkpoints(work.out / "checkpoints")
        if self.push is not None:
            push(folder, self.push, model_card(self.verb, dump(self), work.out / "metrics.jsonl"))
            work.say(f"uploaded to {self.push}")


def _num_bytes(trees: Sequence[Tree], tokenizer: PreTrainedTokenizerFast) -> list[list[float]]:
    """Bytes of each completion's text in UTF-8."""
    return [
        [float(len(tokenizer.decode(branch.tokens, skip_special_tokens=True).encode())) for branch in tree.branches]
        for tree in trees
    ]


def _cost(part: LanguageModel) -> Callable[[Sequence[Tree]], int]:
    return packed_cost if part.layout == "tree" else padded_cost
