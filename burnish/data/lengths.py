"""How long the examples of a data set are, in tokens or characters: quantiles and a histogram for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from burnish.errors import DataError, TemplateError
from burnish.example import Example

if TYPE_CHECKING:
    from burnish.text.template import ChatText

_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


@dataclass(kw_only=True)
class Lengths:
    """Lengths of the examples that were measured, in tokens or characters.

    Attributes:
        unit: "tokens" or "characters".
        prompts: one per prompt.
        completions: one per completion.
        examples: a prompt once and all its completions.
        supervised: how many tokens carry loss; None where no tokens were counted.
        refused: what the chat template or the tokenizer refused, one message per example.
    """

    unit: str
    prompts: list[int] = field(default_factory=list)
    completions: list[int] = field(default_factory=list)
    examples: list[int] = field(default_factory=list)
    supervised: int | None = None
    refused: list[str] = field(default_factory=list)


def measured(examples: Sequence[Example], text: ChatText | None) -> Lengths:
    """The lengths of examples; one that the template refuses is counted with its reason."""
    if text is None:
        lengths = Lengths(unit="characters")
        for example in examples:
            _measure_characters(example, lengths)
        return lengths
    lengths = Lengths(unit="tokens", supervised=0)
    for example in examples:
        try:
            _measure_tokens(example, text, lengths)
        except (TemplateError, DataError) as error:
            lengths.refused.append(str(error))
    return lengths


def length_table(lengths: Lengths, total: int) -> RenderableType:
    """Quantiles of the lengths; `total` is how many examples there are, measured or not."""
    table = Table(title=f"lengths in {lengths.unit}", title_justify="left", box=None)
    names = [("shortest" if q == 0 else "longest" if q == 1 else f"{q:.0%}") for q in _QUANTILES]
    for name in ("", *names, "sum"):
        table.add_column(name, justify="right")
    for name, values in (("prompt", lengths.prompts), ("completion", lengths.completions)):
        if values:
            quantiles = np.quantile(values, _QUANTILES, method="nearest")
            table.add_row(name, *(f"{int(value):,}" for value in quantiles), f"{sum(values):,}")
    lines: list[RenderableType] = [table]
    count = len(lengths.examples) + len(lengths.refused)
    if count < total:
        lines.append(Text(f"measured on {count:,} examples, spread evenly over {total:,}", style="dim"))
    if lengths.supervised is not None and lengths.examples:
        share = lengths.supervised / max(sum(lengths.examples), 1)
        lines.append(Text(f"{lengths.supervised:,} tokens carry loss ({share:.0%})"))
    if lengths.refused:
        lines.append(Text(f"{len(lengths.refused)} examples cannot be laid out: {lengths.refused[0]}", style="red"))
    return Group(*lines)


def histogram(lengths: Lengths, *, width: int = 40) -> Table:
    """How many examples are how long; each bar covers a doubling of the length."""
    bins = Counter(max(value, 1).bit_length() - 1 for value in lengths.examples)
    table = Table(title=f"length of an example, {lengths.unit}", title_justify="left", box=None, show_header=False)
    most = max(bins.values(), default=1)
    for power in range(min(bins, default=0), max(bins, default=-1) + 1):
        count = bins[power]
        bar = "█" * max(round(width * count / most), 1 if count else 0)
        table.add_row(f"{2**power:,} to {2 ** (power + 1) - 1:,}", Text(bar, style="blue"), f"{count:,}")
    return table


def spread(examples: Sequence[Example], most: int) -> Sequence[Example]:
    """At most `most` examples, spread evenly."""
    if len(examples) <= most:
        return examples
    return [examples[i * len(examples) // most] for i in range(most)]


def _measure_characters(example: Example, lengths: Lengths) -> None:
    prompt = sum(len(message.content) for message in example.prompt)
    completions = [sum(len(message.content) for message in c.messages) for c in example.completions]
    _add(lengths, prompt, completions)


def _measure_tokens(example: Example, text: ChatText, lengths: Lengths) -> None:
    if not example.completions:
        _add(lengths, len(text.prompt(example)), [])
        return
    for tree in text.trees(example):
        _add(lengths, len(tree.prompt), [len(branch.tokens) for branch in tree.branches])
        lengths.supervised = (lengths.supervised or 0) + sum(branch.num_scored for branch in tree.branches)


def _add(lengths: Lengths, prompt: int, completions: Sequence[int]) -> None:
    lengths.prompts.append(prompt)
    lengths.completions.extend(completions)
    lengths.examples.append(prompt + sum(completions))
