"""Settings as plain data: to mappings and back from YAML, one mapping laid over another, and what they name outside."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from burnish.config.declare import is_settings, is_source, own_words
from burnish.errors import ConfigError, shown


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Raises:
        ConfigError: the file is missing, is not YAML, holds a name twice, or is not a mapping.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _OnceLoader)
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError([f"no such file: {path}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path} is not YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(values, dict):
        raise ConfigError([f"{path}: found {shown(values)}; expected a mapping of settings"])
    return values


class _OnceLoader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML without the silent rule that the last of two equal names wins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := [name for name in names if names.count(name) > 1 and name != "<<"]:
            raise yaml.constructor.ConstructorError(None, None, f"'{twice[0]}' stands here twice", node.start_mark)
        return typing.cast(dict[Any, Any], super().construct_mapping(node, deep))


def dump(value: Any) -> Any:
    """A settings value as plain data (mappings, lists, numbers, strings); `load` reads it back unchanged."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: dump(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): dump(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [dump(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `change` laid over it, mapping by mapping; another `kind` starts from its own defaults."""
    result = dict(base)
    for key, value in change.items():
        old = result.get(key)
        result[key] = value
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            kinds = {side["kind"] for side in (old, value) if isinstance(side.get("kind"), str)}
            if len(kinds) < 2:
                result[key] = merged(old, value)
    return result


def assigned(name: str, value: Any) -> dict[str, Any]:
    """`a.b`, 3 as `{"a": {"b": 3}}`."""
    for part in reversed(name.split(".")):
        value = {part: value}
    return typing.cast(dict[str, Any], value)


def sources(value: Any) -> dict[str, str]:
    """What a settings value names outside of itself: dotted name -> the string that stands there.

    Lists and mappings of names are opened: `data[0]`, `scores.start`. The same names address the strings in
    `dump(value)`.
    """
    return dict(_sources(value, ""))


def _sources(value: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _sources(item, f"{prefix}[{index}]")
    if not is_settings(type(value)):
        return
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        name = f"{prefix}.{field.name}" if prefix else field.name
        if is_source(type(value), field.name):
            own = own_words(type(value), field.name)
            yield from ((place, text) for place, text in _strings(inner, name) if text not in own)
        else:
            yield from _sources(inner, name)


def _strings(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, (str, Path)):
        yield name, str(value)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(item, f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _strings(item, f"{name}[{index}]")
