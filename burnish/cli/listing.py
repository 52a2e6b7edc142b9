"""`burnish VERB --help`: every option with its default, unit, meaning and choices, by section.

Made by hand and not by argparse, whose layout changes with the version of Python.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from burnish.config import Leaf, leaves

_WIDTH, _COLUMN = 110, 38

RUN_OPTIONS: Mapping[str, str] = {
    "--out DIR": "folder of the result; an unfinished run there goes on (required)",
    "--config FILE": "YAML file with settings; options on the command line win",
    "--set NAME=VALUE": "a setting by its dotted name; may be repeated",
    "--dry-run": "check everything, show what would happen, and stop; burnish plan adds what it would cost",
    "--overwrite": "start over in --out; the run that is there is kept beside",
    "--debug": "show tracebacks",
}


def listing(verb: str, cls: type, summary: str) -> str:
    """The help of a stage.

    Args:
        verb: as it was typed.
        cls: the settings class of the stage.
        summary: one phrase.
    """
    found = [leaf for leaf in leaves(cls) if leaf.default is ... and not leaf.shape]
    required = "".join(f"--{leaf.name} {_value(leaf)} " for leaf in found)
    lines = [f"burnish {verb}: {summary}", "", f"  burnish {verb} {required}--out DIR [options]", "", "the run"]
    for name, meaning in RUN_OPTIONS.items():
        lines += _entry(name, meaning)
    lines += settings_listing(cls)
    lines += ["", "The last part of a name is enough where no other ends in it; - and _ are the same."]
    return "\n".join(lines)


def settings_listing(cls: type, *, without: Sequence[str] = ()) -> list[str]:
    """The lines about the settings of a class, by section; `without` leaves some out."""
    sections: dict[str, list[str]] = {"": []}
    for leaf, shapes in _grouped([leaf for leaf in leaves(cls) if leaf.name not in without]):
        part = leaf.name.removesuffix(".kind") if leaf.name.endswith(".kind") else leaf.name.rpartition(".")[0]
        sections.setdefault(part, []).extend(_entry(f"--{leaf.name} {_value(leaf)}", _meaning(leaf, shapes)))
    return [line for name, entries in sections.items() if entries for line in ("", name or "settings", *entries)]


def _grouped(found: list[Leaf]) -> Iterator[tuple[Leaf, list[str]]]:
    """Leaves with the shapes that they exist in; what several shapes share is listed once."""
    groups: dict[tuple[Any, ...], tuple[Leaf, list[str]]] = {}
    for leaf in found:
        key = (leaf.name, leaf.type, repr(leaf.default), leaf.meaning, leaf.unit)
        groups.setdefault(key, (leaf, []))[1].append(leaf.shape)
    yield from groups.values()


def _meaning(leaf: Leaf, shapes: list[str]) -> str:
    notes = [leaf.unit] if leaf.unit else []
    notes.append("required" if leaf.default is ... else f"default {shown_value(leaf.default)}")
    if shapes[0]:
        head = shapes[0].rpartition(" ")[0]
        notes.append(f"with {head} {' or '.join(shape.rpartition(' ')[2] for shape in shapes)}")
    return f"{leaf.meaning} ({'; '.join(notes)})".strip()


def shown_value(value: Any) -> str:
    """A default as it would be typed."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return " ".join(shown_value(item) for item in value) or "[]"
    return str(value) if value != "" else "''"


def _value(leaf: Leaf) -> str:
    """What stands after an option: choices as they are, else the type in capitals."""
    if leaf.choices:
        kinds = leaf.type
    else:
        short = {"whole number": "N", "number": "X", "true|false": "true|false"}
        kinds = "|".join(
            short.get(part, part.upper() if part != "none" else "none")
            for part in leaf.type.removeprefix("list of ").split(" or ")
        )
    return f"{kinds} ..." if leaf.type.startswith("list of") else kinds.replace(" or none", "|none")


def _entry(name: str, meaning: str) -> list[str]:
    body = textwrap.wrap(meaning, _WIDTH - _COLUMN)
    head = f"  {name}"
    if len(head) > _COLUMN - 2:
        return [head, *(" " * _COLUMN + line for line in body)]
    return [head.ljust(_COLUMN) + body[0], *(" " * _COLUMN + line for line in body[1:])]
