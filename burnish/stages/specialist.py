"""What the verbs of specialists share: from labelled rows to a saved model, its figures on held-out rows and its card.

    rows ──► checked ──► items ──► update, update, ... ──► save ──► predictions on held-out rows ──► scores.json, card

One trainer and its loop, as for every other verb. A verb adds its rows, its head, its objective and its figures. During
training the held-out rows are looked at by the loss; the figures of the field are those of the saved weights, in
float32, at the end. Several processes divide the examples, and each holds all weights.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from burnish.config import dump, setting, settings
from burnish.data.labelled import RowReading, Rows
from burnish.data.split import held_out_places
from burnish.errors import ConfigError
from burnish.models.card import push, specialist_card
from burnish.models.load import load_config, load_tokenizer
from burnish.models.lora import Dora, Lora
from burnish.models.save import SaveDtype
from burnish.models.specialist import reads_types, side_of
from burnish.models.untrained import Untrained
from burnish.numerics import compute_dtype, default_device
from burnish.objectives.objective import Objective
from burnish.stages.artefact import write_scores
from burnish.stages.ewc import EWC, adapter_mistakes, hold
from burnish.stages.fisher import drawn_examples, estimate
from burnish.stages.row_run import RowRun
from burnish.stages.specialist_start import (
    PART,
    ItemT,
    Labels,
    RowT,
    SpecialistStart,
    learned_specialist,
    specialist_start,
)
from burnish.stages.stage import Plan, Stage, Work
from burnish.stages.updates import CHECKPOINTS, METRICS, Rounds, run_updates
from burnish.store import Code
from burnish.text.borders import bordered
from burnish.training.checkpoint import remove_checkpoints
from burnish.training.eight_bits import require
from burnish.training.parallel import Ranks, put_in_place
from burnish.training.part import Part
from burnish.training.source import Shuffled
from burnish.training.targets import Reader
from burnish.training.trainer import Probe, Trainer


@settings
class SpecialistStage(Stage, Generic[RowT, ItemT]):
    """The fields of every verb that trains a specialist."""

    growable: ClassVar[tuple[str, ...]] = ("steps",)
    shared: ClassVar[bool] = True

    model: str = setting(..., "model to start from: hub name, folder, .gguf file or pypi:PACKAGE", source=True)
    data: str = setting(..., "rows to train on: file, folder or hub name", source=True)
    held_out_data: str | None = setting(None, "rows to measure on, never trained on", source=True)
    held_out: int = setting(0, "rows to take out of the data for the same purpose", unit="examples", ge=0)
    max_tokens: int = setting(512, "longest row, borders included", unit="tokens", ge=8)
    steps: int | None = setting(None, "updates; from train.epochs if not given", unit="steps", ge=1)
    seed: int = setting(0, "of the order of the data, the held-out rows and a fresh head")
    adapter: Lora | Dora | None = setting(
        None, "train a low-rank adapter and the head in place of all weights; it merges into them", usual="lora"
    )
    ewc: EWC | None = setting(None, "hold the weights where the start model's own task minds them")
    fisher: int | None = setting(
        None, "rows over which it is estimated at the end what each weight matters, for ewc", unit="examples", ge=1
    )
    train: Rounds = setting(Rounds(), "how the run goes")
    reading: RowReading = setting(RowReading(), "how the data is read")
    save_dtype: SaveDtype = setting("float32", "of the saved weights; bfloat16 rounds small updates away")
    push: str | None = setting(None, "hub name to upload the finished model to")

    @abstractmethod
    def goal(self) -> Objective:
        """The objective."""

    @abstractmethod
    def rows(self, path: str) -> Rows[Any]:
        """The rows at a place."""

    @abstractmethod
    def labels(
        self, train: Sequence[RowT], held_out: Sequence[RowT], tokenizer: PreTrainedTokenizerFast
    ) -> Labels[RowT, ItemT]:
        """Rows as items, checked; `facts` holds what is peculiar to the kind."""

    @abstractmethod
    def load(self, labels: Labels[RowT, ItemT]) -> tuple[PreTrainedModel, tuple[str, ...]]:
        """The start model in float32, and the names of the parameters of its head."""

    @abstractmethod
    def untrained(self, labels: Labels[RowT, ItemT]) -> Untrained:
        """The same model by its config alone, for plans."""

    @abstractmethod
    def part(self, model: PreTrainedModel) -> Reader:
        """What is trained over the model."""

    @abstractmethod
    def cost(self, items: Sequence[ItemT]) -> int:
        """Tokens that a micro-batch of items computes."""

    @abstractmethod
    def save(self, model: PreTrainedModel, labels: Labels[RowT, ItemT], folder: Path) -> None:
        """Write the finished model."""

    @abstractmethod
    def figures(self, part: nn.Module, labels: Labels[RowT, ItemT], work: Work) -> dict[str, Any]:
        """What the field measures, on the held-out rows."""

    def plan(self) -> Plan:
        """Read the data and count."""
        labels = self._labels(lambda line: None)
        lines = [f"{name}: {value}" for name, value in labels.facts.items()]
        lines.append(f"{self._num_steps(labels)} updates of {self.train.batch_size} rows")
        return Plan(lines=tuple(lines), facts=labels.facts)

    def planned(self) -> RowRun[ItemT]:
        """What the run would train, and on what; the data are read, and no weights."""
        labels = self._labels(lambda line: None)
        return RowRun(
            model=self.untrained(labels),
            part=self.part,
            goal=self.goal(),
            source=self._source(labels),
            steps=self._num_steps(labels),
        )

    def run(self, work: Work) -> None:
        """Train, save, measure."""
        labels = self._labels(work.say)
        work.record({"template_hash": labels.template_hash, "data": dict(labels.facts)})
        start = self._start(labels)
        device = default_device()
        dtype = compute_dtype(self.train.precision, device)
        put_in_place(start.part, start.plain, device=device, dtype=dtype, ranks=Ranks(), divided="nothing")
        trainer: Trainer[ItemT] = Trainer(
            {PART: Part(module=start.part, exact=start.exact)},
            self.goal(),
            self.train,
            steps=self._num_steps(labels),
            seed=self.seed,
            cost=self.cost,
            device=device,
        )
        if self.ewc is not None:
            free = hold(trainer, self.ewc, main=PART, module=start.part, model=start.plain, name=self.model)
            work.record({"not_held": free})
        run_updates(trainer, self._source(labels), self.train, work, verb=self.verb, probes=self._probes(labels))
        trained = learned_specialist(start, trainer, lambda: self._start(labels))
        if trained is not None:
            self._finish(trained, labels, work)

    def code(self) -> tuple[Code, ...]:
        """The objective's class."""
        return (type(self.goal()),)

    def _finish(self, trained: SpecialistStart, labels: Labels[RowT, ItemT], work: Work) -> None:
        plain = trained.plain.to("cpu")
        self.save(plain, labels, work.out / "model")
        scores: dict[str, Any] = {}
        if labels.held_out_rows:
            part = self.part(plain.float()).eval().to(default_device())
            scores = self.figures(part, labels, work)
            write_scores(work, scores)
            work.say(", ".join(f"{name} {value:.3f}" for name, value in scores.items() if isinstance(value, float)))
        card = specialist_card(self.verb, dump(self), work.out / METRICS, scores=scores, facts=labels.facts)
        (work.out / "model" / "README.md").write_text(card, encoding="utf-8")
        if self.fisher is not None:
            rows = drawn_examples(labels.train, self.fisher, seed=self.seed)
            estimate(self.part(plain.float()), rows, work, seed=self.seed)
        remove_checkpoints(work.out / CHECKPOINTS)
        if self.push is not None:
            push(work.out / "model", self.push, card)
            work.say(f"uploaded to {self.push}")

    def _source(self, labels: Labels[RowT, ItemT]) -> Shuffled[ItemT]:
        """The items, in a new order every pass."""
        return Shuffled(labels.train, batch_size=self.train.batch_size, seed=self.seed)

    def _start(self, labels: Labels[RowT, ItemT]) -> SpecialistStart:
        """The start model on the CPU in float32, with what is trained marked."""
        plain, head = self.load(labels)
        return specialist_start(plain, head, self.part(plain), adapter=self.adapter, seed=self.seed)

    def _probes(self, labels: Labels[RowT, ItemT]) -> list[Probe[ItemT]]:
        """A look at the loss on the held-out rows, if there are any."""
        if not labels.held_out:
            return []

        def look(trainer: Trainer[ItemT]) -> Mapping[str, float]:
            return {f"held_out_{name}": value for name, value in trainer.evaluate(labels.held_out).items()}

        return [Probe(every=self.train.evaluate_every, look=look)]

    def _num_steps(self, labels: Labels[RowT, ItemT]) -> int:
        return self.steps or math.ceil((self.train.epochs or 1.0) * len(labels.train) / self.train.batch_size)

    def _labels(self, say: Callable[[str], None]) -> Labels[RowT, ItemT]:
        """The data as items, checked.

        Raises:
            BurnishError: the run could not succeed on it.
        """
        self._check()
        found = self.rows(self.data)
        train, held_out = list(found.rows), []
        if self.held_out:
            keys = [self.split_key(row) for row in train]
            places = held_out_places(keys, count=self.held_out, seed=self.seed, what="text")
            held_out = [train[place] for place in sorted(places)]
            train = [row for place, row in enumerate(train) if place not in places]
        if self.held_out_data is not None:
            other = self.rows(self.held_out_data)
            held_out += list(other.rows)
            found = replace(found, bad=(*found.bad, *other.bad))
        config = load_config(self.model)
        side = side_of(config, name=self.model)
        tokenizer = bordered(load_tokenizer(self.model), side, max_tokens=self.max_tokens, types=reads_types(config))
        labels = self.labels(train, held_out, tokenizer)
        for error in found.bad:
            say(str(error))
        bad = [str(error) for error in found.bad]
        facts = {"rows": len(train), "held_out_rows": len(held_out), "bad_rows": bad, **labels.facts}
        return replace(labels, facts=facts)

    @abstractmethod
    def split_key(self, row: RowT) -> str:
        """What must not stand on both sides of a split."""

    def _check(self) -> None:
        """Refuse settings that contradict each other, or that the model cannot do.

        Raises:
            ConfigError: lists them.
            TrainingError: the optimiser cannot work on this device as it is set.
        """
        require(self.train.optimizer.moments, default_device())
        mistakes = []
        if self.steps is not None and self.train.epochs is not None:
            mistakes.append(f"steps is {self.steps} and train.epochs is {self.train.epochs:g}; give one of them")
        most = load_config(self.model).to_dict().get("max_position_embeddings")
        if most is not None and self.max_tokens > most:
            mistakes.append(f"max_tokens is {self.max_tokens}, and {self.model} has {most} positions; lower it")
        mistakes += adapter_mistakes(self.ewc, self.adapter)
        if self.max_tokens > self.train.token_budget:
            mistakes.append(
                f"max_tokens is {self.max_tokens}, and a micro-batch may hold {self.train.token_budget}; raise "
                "train.token_budget or lower max_tokens"
            )
        if mistakes:
            raise ConfigError(mistakes)
