"""For each setting of a class, a change to another valid value: what "every option matters" is tested with."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from burnish.config import Leaf, assigned, dump, leaves, load, merged, options
from burnish.errors import ConfigError

_KINDS = ("width", "function", "after", "length", "hidden", "start")
_OF_TASKS = ("", ".data", ".answer_tokens", ".cache_tokens", ".max_rows")
_EWC = {"adapter": None, "ewc": {"fisher": "x", "strength": 1.0}}

ALONE: dict[str, dict[str, Any]] = {
    **{f"adapter.{name}": {"adapter_only": True} for name in _KINDS},
    **dict.fromkeys(("ewc", "ewc.fisher", "ewc.strength"), _EWC),
    **{f"held_out_tasks{name}": {"held_out_tasks": {"data": ["x"]}} for name in _OF_TASKS},
}
"""What settings need beside them: of adapters that cannot be merged, of EWC, which holds all weights, and of tasks."""


def changed_values(
    cls: type,
    base: Mapping[str, Any],
    also: Mapping[str, Any] | None = None,
    beside: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, dict[str, Any]]:
    """A change for each setting of `cls`, by its name and, where it exists in one shape only, `name (shape)`.

    Args:
        cls: a settings class.
        base: plain data that makes a valid value, required settings included.
        also: a value to try first, by the last part of a setting's name, for settings with a form of their own.
        beside: settings that one needs beside it, its own included, by the end of its name, and from the same place on;
            laid over `base` first.

    Returns:
        What to lay over `base` with `burnish.config.merged`: the result is valid and differs in this setting.

    Raises:
        AssertionError: no valid change was found for a setting; names it.
    """
    changes = {}
    for leaf in leaves(cls):
        found = next(_valid_changes(cls, base, leaf, also or {}, _beside(leaf.name, beside or {})), None)
        assert found is not None, f"{cls.__name__}.{leaf.name}: no valid change found; allowed is {leaf.type}"
        changes[leaf.name + (f" ({leaf.shape})" if leaf.shape else "")] = found
    return changes


def _beside(name: str, beside: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """What the setting of that name needs, laid out from the top."""
    for end, needed in beside.items():
        if f".{name}".endswith(f".{end}"):
            prefix = name.removesuffix(end).rstrip(".")
            return assigned(prefix, needed) if prefix else needed
    return {}


def _valid_changes(
    cls: type, base: Mapping[str, Any], leaf: Leaf, also: Mapping[str, Any], beside: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Changes that load, and that change more than the shape which they need."""
    shape = merged(assigned(*leaf.shape.split(" ")) if leaf.shape else {}, beside)
    shaped = _loaded(cls, merged(base, shape))
    if shaped is None:
        return
    own = leaf.name.rpartition(".")[2]
    candidates = _candidates(_at(dump(shaped), leaf.name), leaf)
    for candidate in (*([also[own]] if own in also else []), *candidates):
        change = merged(shape, assigned(leaf.name, candidate))
        loaded = _loaded(cls, merged(base, change))
        if loaded is not None and dump(loaded) != dump(shaped):
            yield change


def _loaded(cls: type, values: Mapping[str, Any]) -> Any:
    try:
        return load(cls, values)
    except ConfigError:
        return None


def _at(data: Any, name: str) -> Any:
    for part in name.split("."):
        if not isinstance(data, Mapping) or part not in data:
            return None
        data = data[part]
    return data


def _candidates(now: Any, leaf: Leaf) -> Iterator[Any]:
    """Values to try, of every type that the setting allows."""
    if leaf.name.endswith(".kind") or leaf.choices:
        yield from (None if choice == "none" else {} if choice == "{}" else choice for choice in leaf.choices)
    members = options(leaf.hint)
    if bool in members:
        yield not now
    number = now if isinstance(now, (int, float)) and not isinstance(now, bool) else 1
    if int in members or float in members:
        yield from (number + 1, number - 1, number * 2, 2, 1, 0)
    if float in members:
        yield from (number / 2, number + 0.05, 0.5, 0.25)
    if str in members or Path in members:
        yield from (f"{now}x" if now else "x", "other")
    for member in members:
        origin, inner = typing.get_origin(member), typing.get_args(member)
        if origin is tuple:
            yield from ([*(now or []), item] for item in _items(inner[0]))
        elif isinstance(origin, type) and issubclass(origin, Mapping):
            yield from ({**(now or {}), "x": item} for item in ("other", 1))
    if type(None) in members:
        yield None


def _items(hint: Any) -> Iterator[Any]:
    for member in options(hint):
        if typing.get_origin(member) is typing.Literal:
            yield from typing.get_args(member)
    yield from ("x", 1, 0.5)
