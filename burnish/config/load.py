"""Plain data to a settings value, or one error with every mistake.

Nested settings are opened before pydantic sees them: what is given is laid over the field's own default, the shape of a
union is chosen by `kind` alone, and a mistake inside one shape is never reported as a mistake of the others.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args, get_origin

import pydantic

from burnish.config.declare import (
    default_of,
    hints_of,
    info_of,
    is_settings,
    kind_of,
    options,
    shapes,
    type_name,
    usual_kind,
)
from burnish.config.plain import dump, merged
from burnish.errors import ConfigError, shown

T = TypeVar("T")


def load(cls: type[T], values: Mapping[str, Any], *, source: str = "settings") -> T:
    """Build a settings value from plain data.

    Args:
        cls: the settings class.
        values: nested mappings, as YAML gives them.
        source: where they come from, for the messages.

    Raises:
        ConfigError: lists every mistake, each with its dotted name, what was found, what is allowed and, for an
            unknown name, the nearest known one.
    """
    mistakes: list[str] = []
    value = _built(cls, values, "", mistakes)
    if mistakes:
        raise ConfigError([f"{source}: {mistake}" for mistake in mistakes])
    return typing.cast(T, value)


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(names)}"


def _built(cls: type, values: Mapping[str, Any], prefix: str, mistakes: list[str]) -> Any:
    """A value of `cls`, or None after adding to `mistakes`."""
    names = [field.name for field in dataclasses.fields(cls)]
    hints = hints_of(cls)
    given: dict[str, Any] = {}
    broken: set[str] = set()
    for name, value in values.items():
        if name not in names:
            path = f"{prefix}{name}"
            mistakes.append(f"unknown setting '{path}' (value {shown(value)}); {nearest(str(name), names)}")
            broken.add("")
            continue
        count = len(mistakes)
        value = _with_kind(value, usual_kind(cls, name))
        opened = _opened(hints[name], default_of(cls, name), value, f"{prefix}{name}", mistakes)
        if len(mistakes) > count:
            broken.add(name)
        else:
            given[name] = opened
    try:
        return cls(**given)
    except pydantic.ValidationError as error:
        mistakes.extend(_mistakes(cls, hints, error, prefix, broken))
        return None


def _with_kind(value: Any, usual: str) -> Any:
    """A mapping with the usual kind, where there is one and none is named; everything else as it is."""
    return {"kind": usual, **value} if usual and isinstance(value, Mapping) and "kind" not in value else value


def _opened(hint: Any, default: Any, value: Any, path: str, mistakes: list[str]) -> Any:
    """`value` with the mappings that stand for nested settings built; everything else as it is."""
    nested = shapes(hint)
    if nested and isinstance(value, Mapping):
        if is_settings(type(default)):
            value = merged({"": dump(default)}, {"": value})[""]
        shape = _shape(nested, value, path, mistakes)
        return _built(shape, value, f"{path}.", mistakes) if shape else None
    items = [get_args(option)[0] for option in options(hint) if get_origin(option) is tuple]
    if items and isinstance(value, (list, tuple)):
        return [_opened(items[0], ..., item, f"{path}[{i}]", mistakes) for i, item in enumerate(value)]
    return value


def _shape(nested: tuple[type, ...], value: Mapping[str, Any], path: str, mistakes: list[str]) -> type | None:
    if len(nested) == 1:
        return nested[0]
    kinds = {kind_of(option): option for option in nested}
    kind = value.get("kind")
    if isinstance(kind, str) and kind in kinds:
        return kinds[kind]
    allowed = f"one of {', '.join(kinds)}"
    found = f"'{path}.kind' is required; it is {allowed}"
    if kind is not None:
        found = f"'{path}.kind' is {shown(kind)}; expected {allowed}"
    mistakes.append(found)
    return None


def _mistakes(
    cls: type, hints: Mapping[str, Any], error: pydantic.ValidationError, prefix: str, broken: set[str]
) -> list[str]:
    """One line per field at fault; `broken` names fields whose mistakes are known already."""
    by_place: dict[tuple[str, ...], list[Any]] = {}
    for item in error.errors(include_url=False):
        loc = item["loc"]
        name = str(loc[0]) if loc else ""
        open_ended = bool(loc) and not any(get_origin(option) is tuple for option in options(hints[name]))
        place = [f"[{part}]" for part in loc[1:] if isinstance(part, int)]
        place += (
            [f".{part}" for part in loc[1:] if isinstance(part, str)] if open_ended and _is_open(hints[name]) else []
        )
        by_place.setdefault((name, *place), []).append(item)
    lines = []
    for (name, *rest), items in by_place.items():
        if name in broken or (not name and broken):
            continue
        lines.append(_line(cls, hints, name, f"{prefix}{name}{''.join(rest)}", items))
    return lines


def _is_open(hint: Any) -> bool:
    """Whether the value is a mapping with free keys."""
    return any(type_name(option) == "mapping" for option in options(hint))


def _line(cls: type, hints: Mapping[str, Any], name: str, path: str, items: list[Any]) -> str:
    kind = items[0]["type"]
    if kind in ("missing", "missing_argument", "missing_keyword_only_argument"):
        meaning = info_of(cls, name).description
        return f"'{path}' is required" + (f": {meaning}" if meaning else "")
    messages = list(
        dict.fromkeys(str(item["msg"]).removeprefix("Input should be ").partition(", unable to")[0] for item in items)
    )
    if kind in ("value_error", "assertion_error"):
        text = messages[0].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        place = path.rstrip(".")
        return f"{place}: {text}" if place else text
    if any(is_settings(option) for option in options(hints[name])):
        return f"'{path}' is {shown(items[0]['input'])}; expected its settings by name"
    if all(message.startswith("a valid ") for message in messages):
        return f"'{path}' is {shown(items[0]['input'])}; expected {type_name(hints[name])}"
    return f"'{path}' is {shown(items[0]['input'])}; it must be {' or '.join(messages)}"
