"""`burnish ngram`: an n-gram model on token files, and how probable it finds others: what a small model has to beat.

    burnish ngram --data runs/tokens --held_out_data runs/held_out_tokens --out runs/ngram

`burnish.models.ngrams` has the formula. `scores.json` and `documents.jsonl` are those of `burnish evaluate-text`, so
that a report shows both side by side; the model itself is not kept, it is counted again in seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any, ClassVar, cast

import numpy as np

from burnish.config import setting, settings
from burnish.data.tokens.files import TokenFiles
from burnish.errors import DataError
from burnish.evals.texts import Measured, Text, document_rows, text_scores
from burnish.models.ngrams import TokenNGrams, trained_ngrams
from burnish.stages.artefact import write_scores
from burnish.stages.stage import Plan, Stage, Work
from burnish.store import Code

DOCUMENTS = "documents.jsonl"


@settings
class NGramStage(Stage):
    """Train an n-gram model and measure it."""

    verb: ClassVar[str] = "ngram"

    data: str = setting(..., "token files to count", source=True)
    held_out_data: str = setting(..., "token files to measure on", source=True)
    order: int = setting(5, "tokens in the longest n-gram", unit="tokens", ge=1)

    def plan(self) -> Plan:
        """Find both, and see that they mean the same tokens."""
        train, held_out = self._files()
        line = f"{train.num_tokens:,} tokens to count, {held_out.num_tokens:,} to measure on"
        return Plan(lines=(line,), facts={"tokens": train.num_tokens, "held_out_tokens": held_out.num_tokens})

    def run(self, work: Work) -> None:
        """Count, measure, and write documents.jsonl and scores.json."""
        train, held_out = self._files()
        documents = [text.tokens for text in texts_of(train)]
        model = trained_ngrams(documents, order=self.order, vocabulary=train.spelling.vocabulary)
        texts = texts_of(held_out)
        logps = model.log_likelihoods([text.tokens for text in texts])
        found = [
            Measured(id=text.id, num_bytes=text.num_bytes, nats=-row, seen=np.arange(len(row)) + 1)
            for text, row in zip(texts, logps, strict=True)
        ]
        scores = {**text_scores(found), "order": model.order, "ngrams": model.num_ngrams}
        scores["discounts"] = [list(level.discounts) for level in model.levels]
        write_rows(work.out / DOCUMENTS, document_rows(found))
        write_scores(work, scores)
        work.say(said(scores))

    def code(self) -> tuple[Code, ...]:
        """What counts and what adds up."""
        return (TokenNGrams, *(cast(FunctionType, function) for function in (trained_ngrams, text_scores)))

    def _files(self) -> tuple[TokenFiles, TokenFiles]:
        """Both folders.

        Raises:
            DataError: one is no folder of token files, or they were made with different tokenizers.
        """
        train, held_out = (TokenFiles(Path(path).expanduser()) for path in (self.data, self.held_out_data))
        if train.spelling != held_out.spelling:
            raise DataError(
                f"{self.data} and {self.held_out_data} were made with different tokenizers; make one of them anew with "
                "burnish tokenise and the other's model"
            )
        return train, held_out


def texts_of(files: TokenFiles) -> list[Text]:
    """All documents of token files, in their order."""
    return [
        Text(id=one.id, tokens=np.asarray(one.tokens), first=files.spelling.first, num_bytes=one.num_bytes)
        for one in files.documents()
    ]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, whole or not at all."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    beside.replace(path)


def said(scores: Mapping[str, Any]) -> str:
    """The figures in a line."""
    bits = scores["bits_per_byte"]
    return (
        f"{bits['estimate']:.4f} bits per byte ({bits['low']:.4f} to {bits['high']:.4f}), perplexity "
        f"{scores['perplexity']:.2f} per token, over {scores['tokens']:,} tokens of {scores['documents']:,} documents"
    )
