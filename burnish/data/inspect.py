"""What a data set looks like, for a terminal: format, counts, bad rows, lengths, and one example with its loss mask.

With a tokenizer, lengths are in tokens and the example is shown as the model will see it: each run of tokens under its
role, those that carry loss marked. Without one, lengths are in characters and the example is shown as messages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from burnish.data.formats import format_named
from burnish.data.lengths import histogram, length_table, measured, spread
from burnish.data.read import Dataset, Report
from burnish.errors import DataError, TemplateError
from burnish.example import Completion, Example, Message

if TYPE_CHECKING:
    from burnish.text.template import ChatText

ROLE_STYLES = {
    "system": "magenta",
    "developer": "magenta",
    "user": "cyan",
    "assistant": "green",
    "tool": "yellow",
    "text": "green",
}
_LOSS, _NO_LOSS = "bold black on green", "dim"
_MOST_MEASURED = 2000
_MOST_BAD_ROWS = 10
_MOST_CHARACTERS = 4000


def inspection(dataset: Dataset, text: ChatText | None = None, *, index: int = 0) -> RenderableType:
    """What `rich.print` shows of a data set.

    Args:
        dataset: what `read` returned.
        text: the tokenizer with its chat template; without it there are no token lengths and no loss mask.
        index: which example to show.
    """
    sample = spread(dataset.examples, _MOST_MEASURED)
    lengths = measured(sample, text)
    parts: list[RenderableType] = [_facts(dataset), *_bad_rows(dataset.report)]
    parts += [length_table(lengths, len(dataset.examples)), histogram(lengths)]
    parts.append(shown_example(dataset.examples[index], text))
    return Group(*parts)


def shown_example(example: Example, text: ChatText | None) -> RenderableType:
    """One example, each completion with its roles and, given a tokenizer, its loss mask."""
    title = f"example {example.id}"
    reason = "no tokenizer given, so no loss mask"
    if text is not None and example.completions:
        try:
            masks = [_masked(example, i, text) for i in range(len(example.completions))]
            legend = Text.assemble(("tokens with loss", _LOSS), "  ", ("tokens without", _NO_LOSS))
            return Panel(Group(*masks, legend), title=title, title_align="left")
        except (TemplateError, DataError) as error:
            reason = f"no loss mask: {error}"
    if text is not None and not example.completions:
        reason = "a prompt that waits for its completions, so no loss mask"
    heads = [] if len(example.completions) < 2 else [_head(c, i) for i, c in enumerate(example.completions)]
    lines = _message_lines(example.prompt)
    for i, completion in enumerate(example.completions):
        lines += [*heads[i : i + 1], *_message_lines(completion.messages)]
    if example.columns:
        lines.append(Text(_cut(f"columns: {dict(example.columns)}", 400), style="dim"))
    return Panel(Group(*lines, Text(f"({reason})", style="italic dim")), title=title, title_align="left")


def _facts(dataset: Dataset) -> Table:
    report, examples = dataset.report, dataset.examples
    table = Table(box=None, show_header=False)
    table.add_row("data", Text(_files(report)))
    table.add_row("format", Text(f"{report.format}: {format_named(report.format).meaning}"))
    table.add_row("rows", f"{report.rows:,} read, {report.examples:,} examples, {len(report.bad):,} bad")
    table.add_row("completions", _counts(Counter(len(example.completions) for example in examples)))
    table.add_row("turns", _counts(Counter(_turns(example) for example in examples)))
    labels = [completion.label for example in examples for completion in example.completions]
    if any(label is not None for label in labels):
        table.add_row("labels", f"{labels.count(True):,} desirable, {labels.count(False):,} not")
    columns = sorted({name for example in examples for name in example.columns})
    if columns:
        table.add_row("columns", Text(", ".join(columns)))
    for note in report.notes:
        table.add_row("note", Text(note))
    return table


def _files(report: Report) -> str:
    return report.source if len(report.files) == 1 else f"{report.source} ({len(report.files)} files)"


def _turns(example: Example) -> int:
    """Messages of the prompt and of the longest completion."""
    return len(example.prompt) + max((len(c.messages) for c in example.completions), default=0)


def _counts(counts: Counter[int]) -> str:
    """`3 in 1,200 examples, 5 in 87`: each number with how many have it, the most frequent first."""
    (value, count), *others = counts.most_common(6)
    more = ", ..." if len(counts) > 6 else ""
    return f"{value} in {count:,} examples" + "".join(f", {v} in {c:,}" for v, c in others) + more


def _bad_rows(report: Report) -> list[RenderableType]:
    if not report.bad:
        return []
    lines = [Text(f"{len(report.bad)} bad rows, left out:", style="bold red")]
    lines += [Text(f"  {error}") for error in report.bad[:_MOST_BAD_ROWS]]
    if len(report.bad) > _MOST_BAD_ROWS:
        lines.append(Text(f"  and {len(report.bad) - _MOST_BAD_ROWS} more"))
    return list(lines)


def _masked(example: Example, index: int, text: ChatText) -> Text:
    lines = Text()
    if len(example.completions) > 1:
        lines.append_text(_head(example.completions[index], index)).append("\n")
    role = ""
    for span in text.segments(example, index):
        if span.role not in (role, "template"):
            role = span.role
            lines.append(f"\n{role}: ", style=ROLE_STYLES.get(role, "white"))
        lines.append(_cut(span.text, _MOST_CHARACTERS), style=_LOSS if span.supervised else _NO_LOSS)
    return lines.append("\n")


def _head(completion: Completion, index: int) -> Text:
    values = (("rank", completion.rank), ("score", completion.score))
    marks = [f"{name} {value}" for name, value in values if value is not None]
    return Text(", ".join([f"── completion {index}", *marks]), style="bold")


def _message_lines(messages: Sequence[Message]) -> list[Text]:
    lines = []
    for message in messages:
        said = " ".join([*([f"({message.thinking})"] if message.thinking else []), message.content])
        said += f" {list(message.tool_calls)}" if message.tool_calls else ""
        style = ROLE_STYLES[message.role]
        lines.append(Text.assemble((f"{message.role}: ", f"bold {style}"), (_cut(said, _MOST_CHARACTERS), style)))
    return lines


def _cut(text: str, limit: int) -> str:
    """`text` cut to `limit` characters; escape characters would be obeyed by the terminal, so they are shown."""
    shown = text.replace("\x1b", "␛")
    return shown if len(shown) <= limit else f"{shown[:limit]}… ({len(shown) - limit:,} more characters)"
