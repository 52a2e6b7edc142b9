"""The peer's settings: how it comes, and what its tuning tries, each choice on top of the best so far.

    words            how texts are split: a language whose splitter datatrove has, or "white space", a splitter of three
                     lines that we give it (`datatrove_side.AtWhiteSpace`) and that splits as our side does
    tasks, workers   over how many tasks the files are spread, and how many run at once
    start            how worker processes are started
    precision, hash  of the hashes
    norm             what is left out of the normalisation: our side folds neither numbers nor accents
    lines_to_buffer  signatures that are read at a time

Bands, slots of a band and words of a shingle are ours, on both sides. Hashes, task counts and buffers change no
decision but by chance; the splitter does, a little, and is kept apart: `shipped` is what datatrove has of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WHITE_SPACE = "white space"

START: Mapping[str, Any] = {
    "words": "eng",
    "tasks": 16,
    "workers": 2,
    "start": "forkserver",
    "precision": 64,
    "hash": "xxhash",
    "norm": {},
    "lines_to_buffer": 5,
}
"""As datatrove comes, for English, on two cores and sixteen files."""

CHOICES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("split at white space, by us", {"words": WHITE_SPACE}),
    ("a task for each core", {"tasks": 2}),
    ("fork", {"start": "fork"}),
    ("hashes of 32 bits", {"precision": 32}),
    ("SHA-1", {"hash": "sha1"}),
    ("accents stay", {"norm": {"norm_unicode_diacritics": False}}),
    ("accents and numbers stay", {"norm": {"norm_unicode_diacritics": False, "norm_numbers": False}}),
    ("1000 signatures at a time", {"lines_to_buffer": 1000}),
)


def shipped(best: Mapping[str, Any]) -> dict[str, Any]:
    """The best settings with datatrove's own splitter for English."""
    return {**best, "words": START["words"]}
