"""`burnish tokenizer`: train a tokenizer on documents, and say how well it compresses others.

    burnish tokenizer --data docs=runs/curated/documents --algorithm.kind bpe --vocabulary 8192 --out runs/tokenizer
    burnish new-model --depth 6 --tokenizer runs/tokenizer --out runs/new

`scores.json` holds its compression of texts that it was not trained on, beside that of known tokenizers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from types import FunctionType
from typing import Annotated, Any, ClassVar, cast

import pydantic

from burnish.config import setting, settings
from burnish.data.curate.gathering import inputs_of
from burnish.data.curate.intake import Document, Intake
from burnish.data.curate.reading import documents_in
from burnish.errors import DataError
from burnish.models.vocabulary import FOLDER, tokenizer_at
from burnish.stages.artefact import write_scores
from burnish.stages.curate import Paths
from burnish.stages.named_paths import named_paths
from burnish.stages.stage import Plan, Stage, Work
from burnish.store import Code
from burnish.text.compression import Compression, compression
from burnish.text.training import BPE, Algorithm, Special, trained_tokenizer
from burnish.text.unigram import learned_pieces


def named_tokenizers(value: Any) -> Any:
    """Tokenizers by name; one without is called by itself."""
    return named_paths(value, called=lambda path: path, expected="NAME=TOKENIZER or TOKENIZER, every name once")


Tokenizers = Annotated[dict[str, str], pydantic.BeforeValidator(named_tokenizers)]


@settings
class TokenizerStage(Stage):
    """Train a tokenizer."""

    verb: ClassVar[str] = "tokenizer"

    data: Paths = setting(..., "files or folders of documents to learn from, by source", source=True)
    algorithm: Algorithm = setting(BPE(), "which pieces, and how many", discriminator="kind")
    special: Special = setting(Special(), "special tokens by role")
    held_out_data: Paths | None = setting(None, "documents to measure compression on", source=True)
    held_out_every: int = setting(50, "without them, one document in so many is kept out", unit="documents", ge=2)
    against: Tokenizers | None = setting(None, "tokenizers or models to compare with, by name", source=True)
    intake: Intake = setting(Intake(), "how files are read as documents")

    def plan(self) -> Plan:
        """Find the files and the tokenizers to compare with."""
        inputs = inputs_of(self.data)
        others = {name: len(tokenizer_at(where)) for name, where in (self.against or {}).items()}
        size = sum(item.path.stat().st_size for item in inputs) / 1e6
        lines = (
            f"{len(inputs)} files of {size:,.1f} MB",
            *(f"{name}: {count:,} tokens" for name, count in others.items()),
        )
        return Plan(lines=lines, facts={"files": len(inputs), "against": others})

    def run(self, work: Work) -> None:
        """Train, measure, and write `tokenizer/` and `scores.json`."""
        others = {name: tokenizer_at(where) for name, where in (self.against or {}).items()}
        tokenizer = trained_tokenizer(self._texts(held_out=False), self.algorithm, self.special)
        tokenizer.save_pretrained(work.out / FOLDER)
        found = {
            name: compression(one, self._texts(held_out=True))
            for name, one in {"trained": tokenizer_at(str(work.out / FOLDER)), **others}.items()
        }
        write_scores(work, {"tokenizers": {name: asdict(one) for name, one in found.items()}})
        work.record({"tokens": len(tokenizer), "special_tokens": list(self.special.all)})
        for name, one in found.items():
            work.say(_line(name, one))

    def code(self) -> tuple[Code, ...]:
        """What reads documents and learns from them."""
        return (Intake, *(cast(FunctionType, part) for part in (documents_in, trained_tokenizer, learned_pieces)))

    def _texts(self, *, held_out: bool) -> Iterator[str]:
        """The documents to learn from, or those that are kept out; flawed ones are left out of both.

        Raises:
            DataError: there is none.
        """
        whole = self.held_out_data is not None
        data = self.held_out_data if held_out and self.held_out_data is not None else self.data
        number = count = 0
        for item in inputs_of(data):
            for document in documents_in(item.path, self.intake):
                if not isinstance(document, Document) or not document.text or document.flaw:
                    continue
                number += 1
                if whole or (number % self.held_out_every == 0) == held_out:
                    count += 1
                    yield document.text
        if not count:
            what = "to measure compression on" if held_out else "to learn from"
            raise DataError(
                f"there is no document {what}: {number} were found, and every {self.held_out_every}th is held out; "
                "give more of them, or held_out_data"
            )


def _line(name: str, one: Compression) -> str:
    """For people."""
    back = "" if one.returned == 1 else f"; {1 - one.returned:.1%} of the texts do not come back as they were"
    figures = f"{one.bytes_per_token:.3f} bytes per token, {one.tokens_per_word:.3f} tokens per word"
    return f"{name}: {figures}, {one.vocabulary:,} tokens in the vocabulary{back}"
