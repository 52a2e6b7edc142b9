"""What stages that sample share: answers of a model to prompts, block by block; a killed run loses one block at most.

Blocks are sampled independently of each other, each with a call of the engine of its own, so a run that was stopped and
went on gives the same bytes as one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from burnish.config import setting, settings
from burnish.data.read import Reading, data_at, read
from burnish.errors import BadRow
from burnish.example import Completion, Example, example_dict, example_from
from burnish.models.language import language_model
from burnish.models.load import load_model
from burnish.numerics import Precision, cast_weights, compute_dtype, default_device
from burnish.protocols import Decoding, Request, Sample, TokenEngine
from burnish.sampling.engine import InProcessEngine
from burnish.stages.stage import Plan, Work
from burnish.store import content_key
from burnish.text.template import ChatText


@settings
class Sampling:
    """How answers are sampled."""

    num_samples: int = setting(1, "answers to each prompt", ge=1)
    decoding: Decoding = setting(Decoding(), "how the next token is drawn")
    precision: Precision = setting("auto", "of matrix products")
    cache_tokens: int = setting(32768, "tokens that the cache may hold over all rows", unit="tokens", ge=1)
    max_rows: int = setting(128, "answers decoded at a time", ge=1)
    block: int = setting(256, "prompts between two saves of the work", unit="prompts", ge=1)


def answers_planned(data: str, reading: Reading, sampling: Sampling) -> Plan:
    """How many prompts the data has and how many answers they will get."""
    count = len(read(data_at(data, reading)).examples)
    return Plan(lines=(f"{count} prompts, {count * sampling.num_samples} answers",), facts={"prompts": count})


def load_engine(model: str, text: ChatText, sampling: Sampling) -> InProcessEngine:
    """The engine of a model, stamped with the key of its weights."""
    device = default_device()
    part = language_model(load_model(model))
    cast_weights(part.to(device), compute_dtype(sampling.precision, device))
    return InProcessEngine(
        part,
        stop_tokens=text.stop_tokens,
        policy_version=content_key(model)[:16],
        cache_tokens=sampling.cache_tokens,
        max_rows=sampling.max_rows,
    )


def sampled(
    engine: TokenEngine, text: ChatText, examples: Sequence[Example], sampling: Sampling, *, seed: int, work: Work
) -> list[Example]:
    """The examples with sampled completions in place of whatever they had.

    Args:
        engine: of the model.
        text: of the model.
        examples: whose prompts are answered.
        sampling: how.
        seed: of the draws; each answer's own stream is keyed by it, the example's id and the number of the answer.
        work: whose folder keeps finished blocks in `samples.part.jsonl`.
    """
    path = work.out / "samples.part.jsonl"
    done = _finished_blocks(path, sampling.block) if work.resume else []
    if done:
        work.say(f"going on after {len(done)} of {len(examples)} prompts")
    with path.open("w", encoding="utf-8") as file:
        for example in done:
            file.write(json.dumps(example_dict(example), ensure_ascii=False) + "\n")
        for start in range(len(done), len(examples), sampling.block):
            for example in _sampled_block(engine, text, examples[start : start + sampling.block], sampling, seed):
                done.append(example)
                file.write(json.dumps(example_dict(example), ensure_ascii=False) + "\n")
            file.flush()
            work.say(f"sampled {len(done)} of {len(examples)} prompts")
    return done


def _sampled_block(
    engine: TokenEngine, text: ChatText, examples: Sequence[Example], sampling: Sampling, seed: int
) -> list[Example]:
    requests = [
        Request(id=example.id, prompt=text.prompt(example), num_samples=sampling.num_samples) for example in examples
    ]
    groups = engine.sample(requests, sampling.decoding, seed=seed)
    return [
        replace(example, completions=tuple(completion_of(sample, text) for sample in group))
        for example, group in zip(examples, groups, strict=True)
    ]


def completion_of(sample: Sample, text: ChatText) -> Completion:
    """A sample with its text."""
    return Completion(
        messages=(text.answer(sample.tokens),),
        token_ids=sample.tokens,
        logps=sample.logps,
        finish=sample.finish,
        policy_version=sample.policy_version,
    )


def _finished_blocks(path: Path, block: int) -> list[Example]:
    """The whole blocks that an interrupted try has left; a block cut in the middle is sampled again."""
    found: list[Example] = []
    if path.is_file():
        for line, row in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                found.append(example_from(json.loads(row), file=str(path), line=line))
            except (json.JSONDecodeError, BadRow):
                break
    return found[: len(found) // block * block]
