"""Truncation: what happens to a prompt with a completion that is longer than the model may see.

Nothing is cut in silence: every call reports how many trees were cut and which were dropped, by name. A tree that
loses all supervised tokens of a completion is dropped, never trained on, and counted apart from those that were
dropped for their length. A tree is dropped whole, so a preference pair never loses one of its two answers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from burnish.batch import Branch, Tree
from burnish.config import setting, settings
from burnish.errors import DataError


@settings
class Truncation:
    """How long a prompt with one completion may be, and what happens to longer ones."""

    max_tokens: int = setting(2048, "longest prompt with one completion", unit="tokens", ge=2)
    longer: Literal["drop", "cut_completion", "cut_prompt", "windows"] = setting(
        "drop",
        "what happens to longer ones: drop leaves the example out, cut_completion keeps the beginning of the "
        "completion, cut_prompt keeps the end of the prompt, windows makes several examples of a long text",
    )


@dataclass(frozen=True, kw_only=True)
class TruncationReport:
    """What truncation did.

    Attributes:
        kept: trees that go on, cut ones included.
        cut: trees of which something was cut, or that became several windows.
        too_long: ids of trees dropped for their length.
        emptied: ids of trees dropped because no supervised token of a completion was left.
    """

    kept: int = 0
    cut: int = 0
    too_long: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()

    @property
    def dropped(self) -> int:
        """Trees that were dropped."""
        return len(self.too_long) + len(self.emptied)

    def merge(self, other: TruncationReport) -> TruncationReport:
        """Both reports together."""
        return TruncationReport(
            kept=self.kept + other.kept,
            cut=self.cut + other.cut,
            too_long=self.too_long + other.too_long,
            emptied=self.emptied + other.emptied,
        )

    def __str__(self) -> str:
        lines = [f"{self.kept} kept, {self.cut} of them cut; {self.dropped} dropped"]
        for why, ids in (("too long", self.too_long), ("emptied by the cut", self.emptied)):
            if ids:
                more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
                lines.append(f"{why} ({len(ids)}): {', '.join(ids[:5])}{more}")
        return "; ".join(lines)


def truncated(
    trees: Iterable[Tree], rule: Truncation, *, begin_token: int | None = None
) -> tuple[list[Tree], TruncationReport]:
    """Apply `rule` to each tree.

    Args:
        trees: as `ChatText.trees` makes them.
        rule: the settings.
        begin_token: kept at the front when a prompt that begins with it loses its start.

    Returns:
        The trees that go on, in order, and the report.

    Raises:
        DataError: windows are asked of an example with several completions.
    """
    kept: list[Tree] = []
    cut = 0
    too_long: list[str] = []
    emptied: list[str] = []
    for tree in trees:
        if _longest(tree) + len(tree.prompt) <= rule.max_tokens:
            kept.append(tree)
            continue
        if rule.longer == "windows":
            kept.extend(_windows(tree, rule.max_tokens))
            cut += 1
            continue
        shorter = _cut(tree, rule, begin_token)
        if shorter is None:
            too_long.append(tree.id)
        elif any(branch.num_scored == 0 for branch in shorter.branches):
            emptied.append(tree.id)
        else:
            kept.append(shorter)
            cut += 1
    return kept, TruncationReport(kept=len(kept), cut=cut, too_long=tuple(too_long), emptied=tuple(emptied))


def _cut(tree: Tree, rule: Truncation, begin_token: int | None) -> Tree | None:
    """The tree within the limit, None if the rule cannot bring it there."""
    if rule.longer == "cut_completion":
        room = max(rule.max_tokens - len(tree.prompt), 0)
        return replace(tree, branches=tuple(_beginning(branch, room) for branch in tree.branches))
    room = rule.max_tokens - _longest(tree)
    kept_begin = tuple(tree.prompt[:1]) if begin_token is not None and tree.prompt[0] == begin_token else ()
    if rule.longer == "drop" or room <= len(kept_begin):
        return None
    return replace(tree, prompt=kept_begin + _last(tree.prompt, room - len(kept_begin)))


def _windows(tree: Tree, length: int) -> Iterator[Tree]:
    """A long text as several trees; the last token of a window begins the next one, so every token is predicted once.

    Raises:
        DataError: there are several completions, which windows would tear apart.
    """
    if len(tree.branches) != 1:
        raise DataError(
            f"example '{tree.id}' has {len(tree.branches)} completions; text.longer=windows is for plain text"
        )
    (branch,) = tree.branches
    prompt, start = tuple(tree.prompt), 0
    for number in itertools.count():
        stop = start + max(length - len(prompt), 1)
        yield replace(tree, id=f"{tree.id}[{number}]", prompt=prompt, branches=(_part(branch, start, stop),))
        if stop >= len(branch.tokens):
            return
        prompt, start = (branch.tokens[stop - 1],), stop


def _beginning(branch: Branch, length: int) -> Branch:
    return _part(branch, 0, length)


def _part(branch: Branch, start: int, stop: int) -> Branch:
    return replace(
        branch,
        tokens=branch.tokens[start:stop],
        weights=branch.weights[start:stop],
        token_columns={name: values[start:stop] for name, values in branch.token_columns.items()},
    )


def _last(tokens: Sequence[int], length: int) -> tuple[int, ...]:
    return tuple(tokens[len(tokens) - length :])


def _longest(tree: Tree) -> int:
    return max((len(branch.tokens) for branch in tree.branches), default=0)
