"""Words of the command line as options: `--name value`, `--name=value`, `--flag`, each with all its values.

Mistakes are collected, not raised, so that they can be shown with those of the settings. `-` and `_` are the same in
names; a value that begins with two dashes needs `=`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from burnish.cli.console import say
from burnish.config import nearest
from burnish.errors import ConfigError


@dataclass(frozen=True)
class Option:
    """One option as it was typed.

    Attributes:
        name: without dashes in front, `-` turned into `_`.
        values: the words after it.
    """

    name: str
    values: tuple[str, ...]

    @property
    def shown(self) -> str:
        """As it is written."""
        return f"--{self.name}"


@dataclass(frozen=True)
class Words:
    """A command line.

    Attributes:
        plain: the words before the first option.
        options: in order.
    """

    plain: tuple[str, ...]
    options: tuple[Option, ...]


def split_words(words: Sequence[str]) -> Words:
    """Group the words by option."""
    plain: list[str] = []
    options: list[tuple[str, list[str]]] = []
    for word in words:
        if word == "-h":
            options.append(("help", []))
        elif word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            options.append((name.replace("-", "_"), [value] if equals else []))
        else:
            (options[-1][1] if options else plain).append(word)
    return Words(tuple(plain), tuple(Option(name, tuple(values)) for name, values in options))


def one(option: Option, what: str, mistakes: list[str]) -> str:
    """The only value of an option; adds to `mistakes` if there is none or more than one."""
    if not option.values:
        mistakes.append(f"{option.shown} needs a value: {option.shown} {what}")
        return ""
    if len(option.values) > 1:
        mistakes.append(f"{option.shown} takes one value; unexpected: {' '.join(option.values[1:])}")
    return option.values[0]


def none(option: Option, mistakes: list[str]) -> bool:
    """True, for an option that is only given or not; adds to `mistakes` if a value follows."""
    if option.values:
        mistakes.append(f"{option.shown} takes no value; unexpected: {' '.join(option.values)}")
    return True


def refuse(mistakes: Sequence[str]) -> None:
    """Raise the mistakes, if there are any.

    Raises:
        ConfigError: lists them.
    """
    if mistakes:
        raise ConfigError(mistakes)


def read_words(words: Sequence[str], text: str, known: Sequence[str]) -> Words | None:
    """The words of a verb with few options; prints `text` and returns None if help is asked for.

    Raises:
        ConfigError: lists the unknown options.
    """
    read = split_words(words)
    if any(option.name == "help" for option in read.options):
        say(text)
        return None
    unknown = [option for option in read.options if option.name not in known]
    refuse([f"unknown option {option.shown}; {nearest(option.name, known)}" for option in unknown])
    return read
