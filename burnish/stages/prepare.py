"""From data on disk to trees: read, convert by the model's template, truncate, hold out.

What a training stage, a dry run and an inspection share. Everything found on the way is said and recorded: the
recognised format, bad rows, what truncation cut and dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from transformers import PreTrainedTokenizerFast

from burnish.batch import Tree
from burnish.data.read import Reading, Report, data_at, read
from burnish.data.split import Split, held_out_split
from burnish.errors import DataError, shown
from burnish.example import Example
from burnish.models.load import load_tokenizer, stored_template_hash
from burnish.text.rendering import TemplateSettings
from burnish.text.template import ChatText
from burnish.text.truncate import Truncation, TruncationReport, truncated


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Data as the trainer takes it.

    Attributes:
        tokenizer: of the model.
        template_hash: of the template that made the trees.
        trees: to train on.
        held_out: to look at during training.
        facts: counts for the record.
    """

    tokenizer: PreTrainedTokenizerFast
    template_hash: str
    trees: Sequence[Tree]
    held_out: Sequence[Tree]
    facts: Mapping[str, Any]


Recast = Callable[[Sequence[Example]], tuple[Sequence[Example], Mapping[str, Any]]]
"""Examples as they are to be learned from, and facts for the record."""


def as_they_are(examples: Sequence[Example]) -> tuple[Sequence[Example], Mapping[str, Any]]:
    """The examples, and nothing to record."""
    return examples, {}


def load_text(model: str, template: TemplateSettings) -> ChatText:
    """The text side of a model; its template must be the one that the model was trained with.

    Raises:
        TemplateError: the model was saved with another template.
    """
    text = ChatText(load_tokenizer(model), template)
    if stored := stored_template_hash(model):
        text.check_same(stored, other=model)
    return text


def prepare(
    model: str,
    data: str,
    *,
    reading: Reading,
    template: TemplateSettings,
    truncation: Truncation,
    say: Callable[[str], None],
    held_out: int = 0,
    held_out_data: str | None = None,
    seed: int = 0,
    recast: Recast = as_they_are,
    header_alone: bool = False,
) -> Prepared:
    """Make the trees of a training run.

    Args:
        model: whose tokenizer and template are used.
        data: what to train on.
        reading, template, truncation: how.
        say: hears what was found.
        held_out: examples to take out of the data.
        held_out_data: other data to hold out.
        seed: of the split.
        recast: what is trained on as messages, and facts for the record; held-out examples stay as they are.
        header_alone: put the template's header of an answer in place of every prompt that is trained on.

    Raises:
        DataError: the data cannot be read or nothing is left of it.
        TemplateError: the template cannot render it.
    """
    text = load_text(model, template)
    split, read_report = read_divided(data, reading=reading, held_out=held_out, held_out_data=held_out_data, seed=seed)
    train, recast_facts = recast(split.train)
    trees, cut = _trees(train, text, truncation, header_alone=header_alone)
    held_trees, held_cut = _trees(split.held_out, text, truncation)
    for line in (*read_report.notes, *map(str, read_report.bad)):
        say(line)
    for name, report in (("data", cut), ("held-out data", held_cut)):
        if report.cut or report.dropped:
            say(f"truncation of the {name}: {report}")
    facts = {**read_report.facts(), "trees": len(trees), "held_out": len(held_trees), "truncation": asdict(cut)}
    facts |= recast_facts
    return Prepared(tokenizer=text.tokenizer, template_hash=text.hash, trees=trees, held_out=held_trees, facts=facts)


def read_divided(
    data: str, *, reading: Reading, held_out: int, held_out_data: str | None, seed: int
) -> tuple[Split, Report]:
    """The examples of some data with those that are held out of it or stand beside it, and what reading it found.

    Args:
        data, reading: what is read, and how.
        held_out: examples to take out of it.
        held_out_data: other data to hold out.
        seed: of the split.

    Raises:
        DataError: the data cannot be read, or one side would be empty.
    """
    dataset = read(data_at(data, reading))
    split = Split(train=dataset.examples, held_out=())
    if held_out:
        split = held_out_split(dataset.examples, count=held_out, seed=seed)
    if held_out_data is not None:
        split = replace(split, held_out=(*split.held_out, *read(data_at(held_out_data, reading)).examples))
    return split, dataset.report


def _trees(
    examples: Sequence[Example], text: ChatText, truncation: Truncation, *, header_alone: bool = False
) -> tuple[list[Tree], TruncationReport]:
    for example in examples:
        _check_tokens(example, text)
    trees = [tree for example in examples for tree in text.trees(example)]
    if header_alone:
        trees = [replace(tree, prompt=text.header) for tree in trees]
    return truncated(trees, truncation, begin_token=text.begin_token)


def _check_tokens(example: Example, text: ChatText) -> None:
    """Refuse sampled answers of a model with another tokenizer: trained on as sampled, they would say something else.

    Raises:
        DataError: the token ids of a completion do not spell its message.
    """
    for completion in example.completions:
        if completion.token_ids is None or len(completion.messages) != 1:
            continue
        spelled = text.answer(completion.token_ids).content
        if spelled != completion.text:
            raise DataError(
                f"example '{example.id}': the token ids of an answer spell {shown(spelled)}, and its message is "
                f"{shown(completion.text)}; they were sampled with another tokenizer, or one of the two was changed. "
                "Remove token_ids and logps from the data to train on the text"
            )
