"""Options as changes to settings: `--train.steps 5` as `{"train": {"steps": 5}}`, read by the setting's own type."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.cli.words import Option, one
from burnish.config import assigned, leaves, nearest, type_name, value_from


def option_hints(cls: type) -> dict[str, Any]:
    """Dotted name of each setting -> its annotation; what several shapes of a union share takes any of theirs."""
    hints: dict[str, Any] = {}
    for leaf in leaves(cls):
        hints[leaf.name] = typing.Union[hints[leaf.name], leaf.hint] if leaf.name in hints else leaf.hint  # noqa: UP007
    return hints


def change_from_set(text: str, hints: Mapping[str, Any], mistakes: list[str]) -> dict[str, Any]:
    """`a.b=c` as nested data; {} after adding to `mistakes`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        mistakes.append(f"--set takes NAME=VALUE; found '{text}'")
        return {}
    return assigned(name, value_from(hints.get(name), [value]))


def change_from(
    option: Option, hints: Mapping[str, Any], verb: str, mistakes: list[str], *, also: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """An option as nested data; [] after adding to `mistakes`.

    Args:
        option: as it was typed.
        hints: from `option_hints`.
        verb: for the messages.
        mistakes: grows by what is wrong.
        also: other names that may be meant.
    """
    option = _full(option, hints, mistakes)
    opened = any(option.name.startswith(f"{name}.") and _is_mapping(hint) for name, hint in hints.items())
    if option.name not in hints and not opened:
        known = nearest(option.name, [*hints, *also])
        near = known.replace("did you mean '", "did you mean '--")
        near = near if near.startswith("did") else f"burnish {verb} --help lists all"
        mistakes.append(f"unknown option {option.shown}; {near}")
        return []
    hint = hints.get(option.name)
    name = type_name(hint) if hint is not None else ""
    values = option.values
    if not values and name == "true|false":
        values = ("true",)
    if len(values) != 1 and "list of" not in name and not _is_mapping(hint):
        one(option, "VALUE", mistakes)
        return []
    if not values:
        mistakes.append(f"{option.shown} needs a value")
        return []
    return [assigned(option.name, value_from(hint, values))]


def _full(option: Option, hints: Mapping[str, Any], mistakes: list[str]) -> Option:
    """The option with its whole name, where only the last part was typed and one setting alone ends in it."""
    if option.name in hints:
        return option
    fits = [name for name in hints if name.endswith(f".{option.name}")]
    if len(fits) > 1:
        mistakes.append(f"{option.shown} may be {' or '.join(f'--{name}' for name in fits)}; type one of them")
    return Option(fits[0], option.values) if fits else option


def _is_mapping(hint: Any) -> bool:
    return hint is not None and "mapping" in type_name(hint).split(" or ")
