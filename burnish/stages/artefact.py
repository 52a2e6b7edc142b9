"""What data stages read from and write into an artefact's folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from burnish.errors import DataError
from burnish.example import Example, read_jsonl, write_jsonl
from burnish.stages.stage import Work

EXAMPLES = "examples.jsonl"
SCORES = "scores.json"


def examples_in(path: str | Path) -> list[Example]:
    """The examples of a run's folder, or of a .jsonl file, in the library's own format.

    They come back as they were written: ids, columns, scores and token ids included. Data in other formats has neither
    constraints nor samples; `burnish.data.read` reads it for training.

    Raises:
        DataError: nothing is there, or it holds no examples; `BadRow` names the row that cannot be read.
    """
    place = Path(path)
    file = place / EXAMPLES if place.is_dir() else place
    if not file.is_file():
        raise DataError(
            f"found no file {file}; expected a run's folder with {EXAMPLES}, or a .jsonl file of that format"
        )
    examples = list(read_jsonl(file))
    if not examples:
        raise DataError(f"{file} is empty; expected at least one example")
    return examples


def answered_in(path: str | Path) -> list[Example]:
    """The examples of `path`, some of which have completions.

    Raises:
        DataError: none of them has.
    """
    examples = examples_in(path)
    if not any(example.completions for example in examples):
        raise DataError(
            f"{path} holds {len(examples)} prompts and no completions; expected sampled answers: "
            "run `burnish sample` first"
        )
    return examples


def write_examples(work: Work, examples: Iterable[Example]) -> int:
    """Write `examples.jsonl` into the folder of the artefact, whole or not at all, and return how many they are."""
    work.out.mkdir(parents=True, exist_ok=True)
    return write_jsonl(work.out / EXAMPLES, examples)


def write_scores(work: Work, scores: Mapping[str, Any]) -> None:
    """Write `scores.json` into the folder of the artefact, whole or not at all."""
    work.out.mkdir(parents=True, exist_ok=True)
    beside = work.out / f".{SCORES}.part"
    beside.write_text(json.dumps(scores, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    beside.replace(work.out / SCORES)
