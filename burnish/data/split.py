"""A held-out part of a data set that depends on the seed and the prompts alone.

Examples are ordered by a hash of the seed and their prompt, and the first are held out, prompt by prompt: the same
prompt never stands on both sides, whatever its id, and neither the order of the file nor the number of workers matters.
Plain text has no prompt; its own text takes the place, so a document that occurs twice stays on one side too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from burnish.errors import DataError
from burnish.example import Example
from burnish.numerics import seed_from


@dataclass(frozen=True, kw_only=True)
class Split:
    """The two sides, each in the order of the data."""

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]


def held_out_split(
    examples: Sequence[Example], *, seed: int, count: int | None = None, fraction: float | None = None
) -> Split:
    """Split off a held-out part.

    Args:
        examples: the data.
        seed: another seed gives another split.
        count: how many examples to hold out. Prompts stay whole, so it can be missed, from below, by fewer than the
            examples of one prompt.
        fraction: the same as a part of the data, above 0 and below 1; at least one example.

    Raises:
        DataError: one side would be empty.
        ValueError: not exactly one of `count` and `fraction` is given, or the fraction is out of range.
    """
    keys = [split_key(example) for example in examples]
    chosen = held_out_places(keys, seed=seed, count=_wanted(len(examples), count, fraction), what="prompt")
    return Split(
        train=tuple(example for i, example in enumerate(examples) if i not in chosen),
        held_out=tuple(example for i, example in enumerate(examples) if i in chosen),
    )


def held_out_places(keys: Sequence[str], *, seed: int, count: int, what: str) -> set[int]:
    """Places of the rows that are held out: rows of one key stay on one side.

    Args:
        keys: of the rows.
        seed: another seed gives another split.
        count: how many rows to hold out; missed from below where keys stay whole.
        what: a key is called so in the message.

    Raises:
        DataError: one side would be empty.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        groups[key].append(i)
    chosen: set[int] = set()
    for key in sorted(groups, key=lambda key: (seed_from("held out", seed, key), key)):
        if len(chosen) + len(groups[key]) <= count:
            chosen.update(groups[key])
    if not chosen or len(chosen) == len(keys):
        raise DataError(
            f"cannot hold out {count} of {len(keys)} examples with {len(groups)} different {what}s: a {what} "
            "stays on one side and neither side may be empty; ask for fewer or more, or give more data"
        )
    return chosen


def split_key(example: Example) -> str:
    """What must not stand on both sides: the text of the prompt, or of the completions where there is no prompt."""
    messages = example.prompt or tuple(message for c in example.completions for message in c.messages)
    return "\n".join(f"{message.role}: {message.content}" for message in messages)


def _wanted(total: int, count: int | None, fraction: float | None) -> int:
    if (count is None) == (fraction is None):
        raise ValueError("give either count or fraction")
    if count is not None:
        return count
    assert fraction is not None
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction}; expected a number above 0 and below 1")
    return max(1, round(fraction * total))
