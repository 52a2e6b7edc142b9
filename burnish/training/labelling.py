"""Rows of specialists as items: tokens with targets, long ones cut into windows.

    text       one row, cut at `max_tokens`; how many were cut is counted
    words      a word's target is read at its first token; a longer text is halved until each part fits
    answers    windows of the context that overlap by `stride` tokens, each behind the whole question

Every text is encoded by the tokenizer that is saved with the model, so a pipeline reads what training read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerFast

from burnish.data.labelled import LabelledText, Question, TaggedWords
from burnish.errors import DataError
from burnish.models.labelled import Labelled, Spanned


def class_number(label: str, classes: Sequence[str], *, row: str) -> int:
    """The number of a class.

    Raises:
        DataError: there is no such class.
    """
    if label not in classes:
        shown = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
        raise DataError(
            f"example '{row}' has the label '{label}', which is none of the {len(classes)} classes: {shown}"
        )
    return list(classes).index(label)


def classes_in(labels: Sequence[str]) -> tuple[str, ...]:
    """The classes of a data set, in the order of their names; whole numbers in that of their size.

    Raises:
        DataError: there is one alone.
    """
    found = set(labels)
    if len(found) < 2:
        raise DataError(f"all {len(labels)} labels are '{labels[0]}'; there is nothing to tell apart")
    numbers = all(label.isdecimal() for label in found)
    return tuple(sorted(found, key=int) if numbers else sorted(found))


def text_item(
    row: LabelledText, tokenizer: PreTrainedTokenizerFast, target: int, weight: float
) -> tuple[Labelled, bool]:
    """A text as an item, and whether it was cut."""
    whole = _encoded(tokenizer, row.text, row.pair)
    cut = len(whole["input_ids"]) > tokenizer.model_max_length
    found = _encoded(tokenizer, row.text, row.pair, truncation=True) if cut else whole
    item = Labelled(
        id=row.id,
        tokens=tuple(found["input_ids"]),
        types=tuple(found["token_type_ids"]),
        places=None,
        targets=(target,),
        weights=(weight,),
    )
    if not item.tokens:
        raise DataError(f"example '{row.id}' has no tokens; leave it out")
    return item, cut


def word_items(
    row: TaggedWords, tokenizer: PreTrainedTokenizerFast, targets: Sequence[int], weights: Sequence[float]
) -> list[Labelled]:
    """The words of a text as one item or, of a longer one, several, in order.

    Raises:
        DataError: a word alone is too long, or has no token.
    """
    text = " ".join(row.words)
    found = _encoded(tokenizer, text, None, return_offsets_mapping=True)
    if len(found["input_ids"]) <= tokenizer.model_max_length:
        places = _first_places(row, found["offset_mapping"])
        item = Labelled(
            id=row.id,
            tokens=tuple(found["input_ids"]),
            types=tuple(found["token_type_ids"]),
            places=places,
            targets=tuple(targets),
            weights=tuple(weights),
        )
        return [item]
    if len(row.words) == 1:
        raise DataError(
            f"example '{row.id}' has the word '{text[:30]}…' of {len(found['input_ids'])} tokens, and a row holds "
            f"{tokenizer.model_max_length}; raise max_tokens or leave the example out"
        )
    half = len(row.words) // 2
    parts = (slice(0, half), slice(half, None))
    halves = [
        (TaggedWords(id=row.id, words=row.words[part], tags=row.tags[part]), targets[part], weights[part])
        for part in parts
    ]
    return [item for one in halves for item in word_items(one[0], tokenizer, one[1], one[2])]


def _first_places(row: TaggedWords, offsets: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """The first token of each word: the first that reaches beyond the word's beginning."""
    places, token, start = [], 0, 0
    for word in row.words:
        while token < len(offsets) and offsets[token][1] <= start:
            token += 1
        if token == len(offsets) or offsets[token][0] >= start + len(word):
            raise DataError(f"example '{row.id}': the tokenizer has no token for the word '{word}'; leave it out")
        places.append(token)
        start += len(word) + 1
    return tuple(places)


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of a context, behind its question.

    Attributes:
        item: its tokens, with the answer's borders or (0, 0).
        starts, stops: of each token that is of the context, its characters there; -1 of any other token.
    """

    item: Spanned
    starts: tuple[int, ...]
    stops: tuple[int, ...]


def windows(row: Question, tokenizer: PreTrainedTokenizerFast, *, stride: int) -> list[Window]:
    """The windows of a context, overlapping by `stride` tokens.

    Raises:
        DataError: the question leaves no room for the context.
    """
    borders = tokenizer.num_special_tokens_to_add(pair=True)
    asked = len(tokenizer(row.question, add_special_tokens=False)["input_ids"])
    room = tokenizer.model_max_length - borders - asked
    if room <= stride:
        raise DataError(
            f"example '{row.id}': its question has {asked} tokens, which leaves {max(room, 0)} of "
            f"{tokenizer.model_max_length} for the context, and windows overlap by {stride}; raise max_tokens or lower "
            "stride"
        )
    found = _encoded(
        tokenizer,
        row.question,
        row.context,
        truncation="only_second",
        max_length=tokenizer.model_max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    return [_window(row, found, place) for place in range(len(found["input_ids"]))]


def _window(row: Question, found: Any, place: int) -> Window:
    owners = found.sequence_ids(place)
    inside = [owner == 1 for owner in owners]
    offsets = found["offset_mapping"][place]
    starts = tuple(start if own else -1 for own, (start, _) in zip(inside, offsets, strict=True))
    stops = tuple(stop if own else -1 for own, (_, stop) in zip(inside, offsets, strict=True))
    if owners[0] is not None:
        raise DataError("the tokenizer puts nothing in front of a question, where 'no answer' is read; it needs a CLS")
    first, last = _borders(row, starts, stops)
    item = Spanned(
        id=row.id,
        tokens=tuple(found["input_ids"][place]),
        types=tuple(found["token_type_ids"][place]),
        first=first,
        last=last,
    )
    return Window(item=item, starts=starts, stops=stops)


def _borders(row: Question, starts: Sequence[int], stops: Sequence[int]) -> tuple[int, int]:
    """The first and the last token of the first answer; (0, 0) if it is not whole in the window."""
    if not row.answers:
        return 0, 0
    begin, end = row.answers[0].start, row.answers[0].start + len(row.answers[0].text)
    own = [place for place, start in enumerate(starts) if start >= 0]
    if not own or starts[own[0]] > begin or stops[own[-1]] < end:
        return 0, 0
    touched = [place for place in own if stops[place] > begin and starts[place] < end]
    return (touched[0], touched[-1]) if touched else (0, 0)


def _encoded(tokenizer: PreTrainedTokenizerFast, text: str, pair: str | None, **how: Any) -> Any:
    asked: Mapping[str, Any] = {"return_token_type_ids": True, "return_attention_mask": False, "verbose": False, **how}
    return tokenizer(text, pair, **asked)
