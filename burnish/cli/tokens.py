"""`burnish tokenise`: run the stage, or say which document holds a training token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from burnish.cli import stage
from burnish.cli.console import say
from burnish.cli.words import one, read_words, refuse

_HELP = """burnish tokenise --model MODEL --data SOURCE=PATH --out DIR: write token files, settings below
burnish tokenise where TOKEN --run DIR: which document holds the training token of that number, from 0

The variable BURNISH_WORKERS says how many processes work (default: one for each core)."""


def tokenise(words: Sequence[str]) -> None:
    """`burnish tokenise ...`."""
    first = words[0] if words else "--help"
    if first == "where":
        _where(words[1:])
    elif first in ("--help", "-h"):
        say(_HELP)
        stage.run("tokenise", ["--help"])
    else:
        stage.run("tokenise", words)


def _where(words: Sequence[str]) -> None:
    from burnish.data.tokens.files import TokenFiles

    read = read_words(words, _HELP, ("run",))
    if read is None:
        return
    mistakes: list[str] = []
    given = {option.name: one(option, "DIR", mistakes) for option in read.options}
    if len(read.plain) != 1 or not read.plain[0].isdecimal():
        mistakes.append("burnish tokenise where takes the number of one token, a whole number from 0")
    if "run" not in given:
        mistakes.append("--run is required: the folder of the token files")
    refuse(mistakes)
    files, token = TokenFiles(Path(given["run"])), int(read.plain[0])
    if token >= files.num_tokens:
        refuse([f"token {token:,} is not there; {given['run']} has the tokens 0 to {files.num_tokens - 1:,}"])
    found = files.holder(token)
    say(f"token {token:,} is number {found.offset:,} of the {found.stop - found.start:,} tokens of '{found.document}'")
    say(f"source '{found.source}', {found.shard}, tokens {found.start:,} to {found.stop - 1:,} of the stream")
