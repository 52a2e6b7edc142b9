"""The verbs that show things: look at data, talk to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from burnish.cli.console import output
from burnish.cli.listing import settings_listing
from burnish.cli.options import change_from, option_hints
from burnish.cli.words import Option, one, read_words, refuse
from burnish.config import load, merged
from burnish.errors import ConfigError

T = TypeVar("T")

_DATA = """burnish data inspect PATH [options]: show format, counts, lengths, and one example with its loss mask

  --model MODEL                       lengths in tokens and the loss mask, with this model's tokenizer and template
  --index N                           which example to show (default 0)"""

_CHAT = """burnish chat MODEL [options]: talk to a model; lines from a pipe are turns

  --system TEXT                       a system message in front of the conversation
  --seed N                            of the draws (default 0)"""


def data(words: Sequence[str]) -> None:
    """`burnish data inspect PATH`."""
    from burnish.data.inspect import inspection
    from burnish.data.read import DataSettings, read

    hints = option_hints(DataSettings)
    given = read_words(
        words, "\n".join([_DATA, *settings_listing(DataSettings, without=("path",))]), ("model", "index", *hints)
    )
    if given is None:
        return
    mistakes: list[str] = []
    if given.plain[:1] != ("inspect",) or len(given.plain) != 2:
        mistakes.append(f"type: burnish data inspect PATH; found: burnish data {' '.join(given.plain)}")
    extra = _extra(given.options, ("model", "index"), mistakes)
    index = _whole(extra.get("index", "0"), "index", mistakes)
    options = [option for option in given.options if option.name not in extra]
    # Who inspects data wants to see its bad rows, not to be stopped by the first.
    base = {"path": given.plain[-1] if given.plain else "", "on_bad_row": "skip"}
    settings = _loaded(DataSettings, base, options, "data inspect", mistakes)
    dataset = read(settings)
    if not 0 <= index < len(dataset.examples):
        raise ConfigError([f"--index is {index}; the data has {len(dataset.examples)} examples, counted from 0"])
    text = None
    if "model" in extra:
        from burnish.models.load import load_tokenizer
        from burnish.text.template import ChatText

        text = ChatText(load_tokenizer(extra["model"]))
    output.print(inspection(dataset, text, index=index))


def chat(words: Sequence[str]) -> None:
    """`burnish chat MODEL`."""
    from burnish.protocols import Decoding

    names = ("system", "seed", *option_hints(Decoding))
    given = read_words(words, "\n".join([_CHAT, *settings_listing(Decoding)]), names)
    if given is None:
        return
    mistakes: list[str] = []
    if len(given.plain) != 1:
        mistakes.append("burnish chat takes one model: burnish chat MODEL")
    extra = _extra(given.options, ("system", "seed"), mistakes)
    seed = _whole(extra.get("seed", "0"), "seed", mistakes)
    options = [option for option in given.options if option.name not in extra]
    decoding = _loaded(Decoding, {}, options, "chat", mistakes)
    from burnish.stages.chat import chat as talk

    talk(given.plain[0], decoding=decoding, system=extra.get("system"), seed=seed)


def _extra(options: Sequence[Option], names: Sequence[str], mistakes: list[str]) -> dict[str, str]:
    """The values of options that are no settings."""
    return {option.name: one(option, "VALUE", mistakes) for option in options if option.name in names}


def _loaded(cls: type[T], base: Mapping[str, Any], options: Sequence[Option], verb: str, mistakes: list[str]) -> T:
    hints = option_hints(cls)
    values = dict(base)
    for option in options:
        for change in change_from(option, hints, verb, mistakes):
            values = merged(values, change)
    try:
        settings = load(cls, values, source=f"burnish {verb}")
    except ConfigError as error:
        raise ConfigError([*mistakes, *error.mistakes]) from None
    refuse(mistakes)
    return settings


def _whole(text: str, name: str, mistakes: list[str]) -> int:
    try:
        return int(text)
    except ValueError:
        mistakes.append(f"--{name} is '{text}'; expected a whole number")
        return 0
