"""`burnish seq2seq`: fine-tune an encoder-decoder (T5) to turn a text into another: translate, summarise, correct.

    burnish seq2seq --model runs/t5 --data translations.jsonl --held_out 200 --out runs/translator

The encoder reads the source, the decoder learns every token of the target and its end. At the end the held-out sources
are decoded greedily and compared with their targets. One process trains or several; one decodes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from burnish.config import setting, settings
from burnish.data.labelled import Rows, SourceTarget, rows_at, source_target
from burnish.errors import DataError, ModelError
from burnish.evals.generated import generation_scores
from burnish.models.bidirectional import load_bidirectional, save_bidirectional, untrained_bidirectional
from burnish.models.corrupted import Corrupted
from burnish.models.denoiser import Denoiser
from burnish.models.load import load_config
from burnish.models.untrained import Untrained
from burnish.objectives.labels import TargetLikelihood
from burnish.objectives.objective import Objective
from burnish.stages.denoise import padded
from burnish.stages.specialist import SpecialistStage
from burnish.stages.specialist_start import Labels, chat_hash
from burnish.stages.stage import Work

GENERATED = "generated.jsonl"
"""What was generated from the held-out sources, in the folder of the run."""


@settings
class Seq2seqStage(SpecialistStage[SourceTarget, Corrupted]):
    """Train on sources with targets; measures ROUGE, BLEU and chrF."""

    verb: ClassVar[str] = "seq2seq"

    max_target_tokens: int = setting(128, "longest target, its end included", unit="tokens", ge=2)
    prefix: str = setting("", "put in front of every source, such as 'translate English to German: '")

    def goal(self) -> Objective:
        """Likelihood of the target."""
        return TargetLikelihood()

    def rows(self, path: str) -> Rows[SourceTarget]:
        """Sources with targets."""
        return rows_at(path, self.reading, source_target)

    def split_key(self, row: SourceTarget) -> str:
        """The source: one that occurs twice stays on one side."""
        return row.source

    def labels(
        self, train: Sequence[SourceTarget], held_out: Sequence[SourceTarget], tokenizer: PreTrainedTokenizerFast
    ) -> Labels[SourceTarget, Corrupted]:
        """Pairs as rows of the encoder and of the decoder."""
        config = load_config(self.model)
        if not config.is_encoder_decoder:
            raise ModelError(f"'{self.model}' is no encoder-decoder; start from a T5, or use burnish sft")
        start = config.decoder_start_token_id
        if start is None:
            raise ModelError(f"the config.json of '{self.model}' lacks decoder_start_token_id; write it there")
        made = [self._item(row, tokenizer, int(start)) for row in (*train, *held_out)]
        items = [item for item, _ in made]
        return Labels(
            tokenizer=tokenizer,
            template_hash=chat_hash(tokenizer),
            classes=(),
            train=items[: len(train)],
            held_out=items[len(train) :],
            held_out_rows=held_out,
            facts={"cut": sum(cut for _, cut in made)},
        )

    def load(self, labels: Labels[SourceTarget, Corrupted]) -> tuple[PreTrainedModel, tuple[str, ...]]:
        """The model; it has its head already."""
        return load_bidirectional(self.model), ()

    def untrained(self, labels: Labels[SourceTarget, Corrupted]) -> Untrained:
        """The same by its config."""
        return untrained_bidirectional(self.model)

    def part(self, model: PreTrainedModel) -> Denoiser:
        """Log-probs of the targets' tokens."""
        return Denoiser(model)

    def cost(self, items: Sequence[Corrupted]) -> int:
        """Rows of encoder and decoder as long as the longest."""
        return padded(items)

    def save(self, model: PreTrainedModel, labels: Labels[SourceTarget, Corrupted], folder: Path) -> None:
        """A plain encoder-decoder."""
        save_bidirectional(model, labels.tokenizer, folder, template_hash=labels.template_hash, dtype=self.save_dtype)

    def figures(self, part: nn.Module, labels: Labels[SourceTarget, Corrupted], work: Work) -> dict[str, Any]:
        """ROUGE, BLEU and chrF of greedy decoding, whose texts are written down."""
        assert isinstance(part, Denoiser)
        texts = [self._decoded(part.model, item, labels.tokenizer) for item in labels.held_out]
        rows = labels.held_out_rows
        with (work.out / GENERATED).open("w", encoding="utf-8") as file:
            for row, text in zip(rows, texts, strict=True):
                file.write(json.dumps({"id": row.id, "source": row.source, "generated": text}) + "\n")
        return generation_scores([row.target for row in rows], texts)

    @torch.no_grad()
    def _decoded(self, model: PreTrainedModel, item: Corrupted, tokenizer: PreTrainedTokenizerFast) -> str:
        """The likeliest token at each step until the end or the limit; one text at a time, so none hangs on others."""
        device = next(model.parameters()).device
        found = model.generate(
            input_ids=torch.tensor([item.tokens], device=device),
            attention_mask=torch.ones((1, len(item.tokens)), dtype=torch.long, device=device),
            max_new_tokens=self.max_target_tokens,
            do_sample=False,
            num_beams=1,
        )
        return str(tokenizer.decode(found[0], skip_special_tokens=True)).strip()

    def _item(self, row: SourceTarget, tokenizer: PreTrainedTokenizerFast, start: int) -> tuple[Corrupted, bool]:
        """A pair as an item, and whether either side was cut."""
        source = tokenizer(self.prefix + row.source, truncation=False, verbose=False)["input_ids"]
        target = tokenizer(row.target, truncation=False, verbose=False)["input_ids"]
        end = tokenizer.eos_token_id
        if end is None or target[-1] != end:
            raise DataError(
                "the tokenizer does not end texts with its end token, so the decoder could not learn to stop"
            )
        cut = len(source) > self.max_tokens or len(target) > self.max_target_tokens
        if len(source) > self.max_tokens:
            source = [*source[: self.max_tokens - 1], end]
        target = target[: self.max_target_tokens]  # a target that was cut does not end
        item = Corrupted(
            id=row.id,
            tokens=tuple(source),
            decoder=(start, *target[:-1]),
            places=tuple(range(len(target))),
            targets=tuple(target),
            target_bytes=(0,) * len(target),
        )
        return item, cut
