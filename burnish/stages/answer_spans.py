"""`burnish answer-spans`: fine-tune an encoder to find the answer to a question in a text.

    burnish answer-spans --model runs/bert --data squad.jsonl --held_out 200 --out runs/reader

A context that is too long becomes windows that overlap, each behind the whole question. In a window without the answer,
"not here" is right, which is read at the first token. At the end the likeliest answer over all windows counts; where
the data has questions without an answer, there may be none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from burnish.config import setting, settings
from burnish.data.labelled import Question, Rows, question, rows_at
from burnish.errors import ConfigError, DataError
from burnish.evals.answers import answer_scores
from burnish.models.labelled import Spanned, row_cost
from burnish.models.labeller import SpanReader
from burnish.models.specialist import load_specialist, save_specialist
from burnish.models.untrained import Untrained
from burnish.models.untrained_specialist import untrained_specialist
from burnish.objectives.labels import SpanLikelihood
from burnish.objectives.objective import Objective
from burnish.stages.specialist import SpecialistStage
from burnish.stages.specialist_start import Labels, chat_hash
from burnish.stages.stage import Work
from burnish.training.labelling import Window, windows
from burnish.training.predicting import predicted_spans

ANSWERS = "answers.jsonl"
"""What was predicted on the held-out rows, in the folder of the run."""


@settings
class AnswerSpansStage(SpecialistStage[Question, Spanned]):
    """Train on questions with answers in a context; measures exact match and F1."""

    verb: ClassVar[str] = "answer-spans"

    max_tokens: int = setting(384, "longest window, question and borders included", unit="tokens", ge=8)
    stride: int = setting(128, "by how much windows of one context overlap", unit="tokens", ge=0)
    longest_answer: int = setting(30, "answers that are longer are not considered", unit="tokens", ge=1)

    def goal(self) -> Objective:
        """Likelihood of the answer's borders."""
        return SpanLikelihood()

    def rows(self, path: str) -> Rows[Question]:
        """Questions with contexts."""
        return rows_at(path, self.reading, question)

    def split_key(self, row: Question) -> str:
        """The context: questions on one text stay on one side."""
        return row.context

    def labels(
        self, train: Sequence[Question], held_out: Sequence[Question], tokenizer: PreTrainedTokenizerFast
    ) -> Labels[Question, Spanned]:
        """Contexts as windows, with the borders of the first answer in each."""
        if self.stride >= self.max_tokens:
            raise ConfigError([f"stride is {self.stride}, and a window has {self.max_tokens} tokens; lower it"])
        made = [windows(row, tokenizer, stride=self.stride) for row in train]
        lost = sum(
            bool(row.answers) and not any(one.item.first for one in group)
            for row, group in zip(train, made, strict=True)
        )
        if lost == len(train):
            raise DataError(
                f"no window of the {len(train)} questions holds an answer as a whole; raise max_tokens or stride"
            )
        held = [windows(row, tokenizer, stride=self.stride) for row in held_out]
        return Labels(
            tokenizer=tokenizer,
            template_hash=chat_hash(tokenizer),
            classes=(),
            train=[one.item for group in made for one in group],
            held_out=[one.item for group in held for one in group],
            held_out_rows=held_out,
            facts={
                "windows": sum(map(len, made)),
                "without_answer": sum(not row.answers for row in train),
                "answers_in_no_window": lost,
            },
        )

    def load(self, labels: Labels[Question, Spanned]) -> tuple[PreTrainedModel, tuple[str, ...]]:
        """The model with a map to the two borders."""
        found = load_specialist("answer", self.model, classes=(), tokenizer=labels.tokenizer, seed=self.seed)
        return found.model, found.head

    def untrained(self, labels: Labels[Question, Spanned]) -> Untrained:
        """The same by its config."""
        return untrained_specialist("answer", self.model, classes=(), tokenizer=labels.tokenizer)

    def part(self, model: PreTrainedModel) -> SpanReader:
        """Log-probs of the borders."""
        return SpanReader(model)

    def cost(self, items: Sequence[Spanned]) -> int:
        """Rows as long as the longest."""
        return row_cost(items)

    def save(self, model: PreTrainedModel, labels: Labels[Question, Spanned], folder: Path) -> None:
        """A plain model for extractive question answering."""
        save_specialist(
            model, labels.tokenizer, folder, kind="answer", template_hash=labels.template_hash, dtype=self.save_dtype
        )

    def figures(self, part: nn.Module, labels: Labels[Question, Spanned], work: Work) -> dict[str, Any]:
        """Exact match and F1 of the answers, which are written down."""
        rows = labels.held_out_rows
        groups: list[Sequence[Window]] = [windows(row, labels.tokenizer, stride=self.stride) for row in rows]
        may_lack = bool(labels.facts["without_answer"])
        found = predicted_spans(
            part, groups, budget=self.train.token_budget, longest=self.longest_answer, may_lack=may_lack
        )
        texts = [
            "" if span is None else row.context[span[0] : span[1]].strip()
            for row, span in zip(rows, found, strict=True)
        ]
        with (work.out / ANSWERS).open("w", encoding="utf-8") as file:
            for row, text in zip(rows, texts, strict=True):
                file.write(json.dumps({"id": row.id, "question": row.question, "answer": text}) + "\n")
        return answer_scores([[answer.text for answer in row.answers] for row in rows], texts)
