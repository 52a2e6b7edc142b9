"""`burnish denoise`: train a masked encoder or an encoder-decoder to fill in what was hidden from it.

    burnish denoise --model runs/new --data corpus.txt --objective.kind span_corruption --out runs/base

The text is read as `pretrain` reads it; longer documents become windows. Of several processes each holds all weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from burnish.batch import Tree
from burnish.config import setting, settings
from burnish.data.read import Reading
from burnish.errors import ConfigError
from burnish.models.bidirectional import load_bidirectional, save_bidirectional, untrained_bidirectional
from burnish.models.corrupted import Corrupted
from burnish.models.denoiser import Denoiser
from burnish.models.load import load_config
from burnish.models.lora import Dora, Lora
from burnish.models.save import SaveDtype
from burnish.numerics import compute_dtype, default_device
from burnish.objectives.denoising import UL2, MaskedLM, SpanCorruption, Text
from burnish.stages.ewc import EWC, adapter_mistakes, hold
from burnish.stages.fisher import drawn_examples, estimate
from burnish.stages.prepare import Prepared, prepare
from burnish.stages.row_run import RowRun
from burnish.stages.specialist_start import PART, SpecialistStart, learned_specialist, specialist_start
from burnish.stages.stage import Plan, Stage, Work
from burnish.stages.updates import CHECKPOINTS, Rounds, run_updates
from burnish.store import Code
from burnish.text.pieces import Pieces, pieces_of
from burnish.text.rendering import TemplateSettings
from burnish.text.truncate import Truncation
from burnish.training.checkpoint import remove_checkpoints
from burnish.training.corrupting import Corrupting, held_out_texts
from burnish.training.eight_bits import require
from burnish.training.parallel import Ranks, put_in_place
from burnish.training.part import Part
from burnish.training.trainer import Probe, Trainer

Goal = MaskedLM | SpanCorruption | UL2

_LEAST = 2
"""Tokens of a text in which something can be hidden and something stays."""


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Data to corrupt.

    Attributes:
        prepared: as it was read.
        pieces: the tokenizer's vocabulary.
        train, held_out: texts of two tokens and more.
        facts: counts for the record.
    """

    prepared: Prepared
    pieces: Pieces
    train: Sequence[Text]
    held_out: Sequence[Text]
    facts: Mapping[str, Any]


@settings
class DenoiseStage(Stage):
    """Train on corrupted text."""

    verb: ClassVar[str] = "denoise"
    growable: ClassVar[tuple[str, ...]] = ("steps",)
    shared: ClassVar[bool] = True

    model: str = setting(..., "BERT or T5 to start from: folder or hub name", source=True)
    data: str = setting(..., "text to train on: file, folder, run or hub name", source=True)
    objective: Goal = setting(MaskedLM(), "what is hidden: masked_lm for BERT, the others for T5", discriminator="kind")
    held_out_data: str | None = setting(None, "text to look at during training, never trained on", source=True)
    held_out: int = setting(0, "texts to take out of the data for the same purpose", unit="examples", ge=0)
    max_tokens: int = setting(512, "longest text; a longer document becomes several", unit="tokens", ge=2)
    steps: int | None = setting(None, "updates; from train.epochs if not given", unit="steps", ge=1)
    seed: int = setting(0, "of the order of the texts, what is hidden and a fresh adapter")
    adapter: Lora | Dora | None = setting(
        None, "train a low-rank adapter in place of all weights; it merges into them", usual="lora"
    )
    ewc: EWC | None = setting(None, "hold the weights where the start model's own task minds them")
    fisher: int | None = setting(
        None, "texts over which it is estimated at the end what each weight matters, for ewc", unit="examples", ge=1
    )
    train: Rounds = setting(Rounds(), "how the run goes")
    reading: Reading = setting(Reading(), "how the data is read")
    save_dtype: SaveDtype = setting("float32", "of the saved weights")

    def plan(self) -> Plan:
        """Read the data and count."""
        texts = self._texts(lambda line: None)
        lines = [f"{name}: {value}" for name, value in texts.facts.items()]
        lines.append(f"{self._num_steps(texts)} updates of {self.train.batch_size} texts")
        return Plan(lines=tuple(lines), facts=texts.facts)

    def planned(self) -> RowRun[Corrupted]:
        """What the run would train, and on what; the data are read, and no weights."""
        texts = self._texts(lambda line: None)
        return RowRun(
            model=untrained_bidirectional(self.model),
            part=Denoiser,
            goal=self.objective,
            source=self._source(texts),
            steps=self._num_steps(texts),
        )

    def run(self, work: Work) -> None:
        """Train and save."""
        texts = self._texts(work.say)
        work.record({"template_hash": texts.prepared.template_hash, "data": dict(texts.facts)})
        start, device = self._start(), default_device()
        dtype = compute_dtype(self.train.precision, device)
        put_in_place(start.part, start.plain, device=device, dtype=dtype, ranks=Ranks(), divided="nothing")
        trainer: Trainer[Corrupted] = Trainer(
            {PART: Part(module=start.part, exact=start.exact)},
            self.objective,
            self.train,
            steps=self._num_steps(texts),
            seed=self.seed,
            cost=padded,
            device=device,
        )
        if self.ewc is not None:
            free = hold(trainer, self.ewc, main=PART, module=start.part, model=start.plain, name=self.model)
            work.record({"not_held": free})
        run_updates(trainer, self._source(texts), self.train, work, verb=self.verb, probes=self._probes(texts))
        trained = learned_specialist(start, trainer, self._start)
        if trained is None:
            return
        prepared, folder, model = texts.prepared, work.out / "model", trained.plain.to("cpu")
        save_bidirectional(
            model, prepared.tokenizer, folder, template_hash=prepared.template_hash, dtype=self.save_dtype
        )
        if self.fisher is not None:
            chosen = drawn_examples(texts.train, self.fisher, seed=self.seed)
            items = [self.objective.corrupted(text, texts.pieces, self.seed, "fisher") for text in chosen]
            estimate(Denoiser(model.float()), items, work, seed=self.seed)
        remove_checkpoints(work.out / CHECKPOINTS)

    def code(self) -> tuple[Code, ...]:
        """The objective's class, and what draws."""
        return (type(self.objective), Corrupting)

    def _source(self, texts: Texts) -> Corrupting:
        """The texts, each corrupted anew."""
        return Corrupting(texts.train, self.objective, texts.pieces, batch_size=self.train.batch_size, seed=self.seed)

    def _start(self) -> SpecialistStart:
        """The start model on the CPU in float32, with what is trained marked; there is no head beside an adapter."""
        plain = load_bidirectional(self.model)
        return specialist_start(plain, (), Denoiser(plain), adapter=self.adapter, seed=self.seed)

    def _probes(self, texts: Texts) -> list[Probe[Corrupted]]:
        """A look at the loss on the held-out texts, if there are any."""
        items = held_out_texts(texts.held_out, self.objective, texts.pieces)
        if not items:
            return []

        def look(trainer: Trainer[Corrupted]) -> Mapping[str, float]:
            return {f"held_out_{name}": value for name, value in trainer.evaluate(items).items()}

        return [Probe(every=self.train.evaluate_every, look=look)]

    def _num_steps(self, texts: Texts) -> int:
        return self.steps or math.ceil((self.train.epochs or 1.0) * len(texts.train) / self.train.batch_size)

    def _texts(self, say: Callable[[str], None]) -> Texts:
        """The data as texts, checked.

        Raises:
            BurnishError: the run could not succeed on it.
        """
        self._check()
        prepared = prepare(
            self.model,
            self.data,
            reading=self.reading,
            template=TemplateSettings(),
            truncation=Truncation(longer="windows", max_tokens=self.max_tokens),
            held_out=self.held_out,
            held_out_data=self.held_out_data,
            seed=self.seed,
            say=say,
        )
        pieces = pieces_of(prepared.tokenizer)
        train, short = _texts_of(prepared.trees, pieces)
        held_out, also_short = _texts_of(prepared.held_out, pieces)
        if short + also_short:
            say(f"left out: {short + also_short} texts of fewer than {_LEAST} tokens")
        self.objective.require(pieces, (*train, *held_out))
        facts = {**prepared.facts, "texts": len(train), "held_out": len(held_out), "too_short": short + also_short}
        return Texts(prepared=prepared, pieces=pieces, train=train, held_out=held_out, facts=facts)

    def _check(self) -> None:
        """Refuse settings that contradict each other, or that the model cannot do.

        Raises:
            ConfigError: lists them.
            TrainingError: the optimiser cannot work on this device as it is set.
        """
        require(self.train.optimizer.moments, default_device())
        mistakes = adapter_mistakes(self.ewc, self.adapter)
        if self.steps is not None and self.train.epochs is not None:
            mistakes.append(f"steps is {self.steps} and train.epochs is {self.train.epochs:g}; give one of them")
        config = load_config(self.model)
        if config.is_encoder_decoder == isinstance(self.objective, MaskedLM):
            fits = "span_corruption or ul2" if config.is_encoder_decoder else "masked_lm"
            mistakes.append(f"objective.kind is {self.objective.kind}, and {self.model} is trained with {fits}")
        most = None if config.is_encoder_decoder else int(config.max_position_embeddings)
        if most is not None and self.max_tokens > most:
            mistakes.append(f"max_tokens is {self.max_tokens}, and {self.model} has {most} positions; lower it")
        if mistakes:
            raise ConfigError(mistakes)


def padded(items: Sequence[Corrupted]) -> int:
    """Tokens that a micro-batch computes: rows as long as the longest, of encoder and decoder."""
    widths = (max(len(item.tokens) for item in items), max(len(item.decoder or ()) for item in items))
    return len(items) * sum(widths)


def _texts_of(trees: Sequence[Tree], pieces: Pieces) -> tuple[list[Text], int]:
    """The texts of trees without special tokens, and how many were too short."""
    found = [Text(id=tree.id, tokens=tuple(tree.branches[0].tokens)) for tree in trees]
    plain = [replace(text, tokens=tuple(t for t in text.tokens if pieces.num_bytes[t])) for text in found]
    kept = [text for text in plain if len(text.tokens) >= _LEAST]
    return kept, len(plain) - len(kept)
