"""Declare settings classes, and ask what one declares."""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, dataclass_transform, get_args, get_origin

import pydantic
from pydantic.fields import FieldInfo

T = TypeVar("T")

_RULES = pydantic.ConfigDict(extra="forbid", strict=False, allow_inf_nan=False, validate_default=False)


def setting(
    default: Any = ...,
    meaning: str = "",
    *,
    unit: str = "",
    source: bool = False,
    own_words: tuple[str, ...] = (),
    usual: str = "",
    **limits: Any,
) -> Any:
    """Describe one field of a settings class.

    Args:
        default: the value used when none is given; `...` makes the field required.
        meaning: what it does, in one phrase; shown by `--help` and in the docs.
        unit: unit of the value ("tokens", "steps", "examples"), "" for a pure number.
        source: the value names something outside of the settings (a model, a data file, a stage's artefact), whose
            content belongs to the identity of a run.
        own_words: values of a source that name nothing outside, such as "start".
        usual: of a choice between shapes, the `kind` that is meant where none is given.
        limits: pydantic's constraints: `gt`, `ge`, `lt`, `le`, `min_length`, `pattern`.
    """
    extra: dict[str, Any] = {"unit": unit, "source": source, "own_words": own_words, "usual": usual}
    if isinstance(default, (list, dict)):
        raise TypeError("use a tuple or a frozen value as the default of a setting")
    return pydantic.Field(default, description=meaning, json_schema_extra=extra, **limits)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(cls: type[T]) -> type[T]:
    """Make `cls` a settings class: frozen, keyword-only, every field checked when a value is made."""
    return typing.cast(type[T], pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=_RULES)(cls))


def is_settings(cls: Any) -> bool:
    """Whether `cls` was made by `@settings`."""
    return isinstance(cls, type) and "__pydantic_fields__" in vars(cls)


def info_of(cls: type, name: str) -> FieldInfo:
    """What `setting` said of the field `name` of the settings class `cls`."""
    return typing.cast(dict[str, FieldInfo], vars(cls)["__pydantic_fields__"])[name]


@functools.cache
def hints_of(cls: type) -> Mapping[str, Any]:
    """The annotations of a settings class by field, inherited ones included; each text is evaluated once."""
    return types.MappingProxyType(typing.get_type_hints(cls))


def default_of(cls: type, name: str) -> Any:
    """The default of a field, `...` if it is required: the value itself, since defaults are frozen."""
    info = info_of(cls, name)
    return ... if info.is_required() else info.default


def is_source(cls: type, name: str) -> bool:
    """Whether the field names something outside of the settings."""
    return bool(typing.cast(dict[str, Any], info_of(cls, name).json_schema_extra or {}).get("source", False))


def own_words(cls: type, name: str) -> tuple[str, ...]:
    """Values of a source that name nothing outside of the settings."""
    extra = typing.cast(dict[str, Any], info_of(cls, name).json_schema_extra or {})
    return tuple(extra.get("own_words", ()))


def usual_kind(cls: type, name: str) -> str:
    """The shape that is meant where a mapping without `kind` is given for the field, "" if one must be named."""
    extra = typing.cast(dict[str, Any], info_of(cls, name).json_schema_extra or {})
    return str(extra.get("usual", ""))


def options(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself; `Annotated` is looked through."""
    if get_origin(hint) is typing.Annotated:
        return options(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(inner for arg in get_args(hint) for inner in options(arg))
    return (hint,)


def shapes(hint: Any) -> tuple[type, ...]:
    """The settings classes among the members of a union."""
    return tuple(option for option in options(hint) if is_settings(option))


def kind_of(cls: type) -> str:
    """The value of the `kind` field that tells a shape from the others of its union, "" if it has none.

    A `kind` with several values is a setting like any other: it is chosen within one class, and tells none apart.
    """
    hint = hints_of(cls).get("kind")
    kinds = get_args(hint) if get_origin(hint) is Literal else ()
    return str(kinds[0]) if len(kinds) == 1 else ""


def type_name(hint: Any) -> str:
    """A type as people read it: "int or none", "a|b", "list of path"."""
    return " or ".join(_option_name(option) for option in options(hint))


def _option_name(option: Any) -> str:
    if option is type(None):
        return "none"
    if get_origin(option) is Literal:
        return "|".join(str(value) for value in get_args(option))
    if get_origin(option) is tuple:
        return f"list of {type_name(get_args(option)[0])}"
    if option is Mapping or get_origin(option) in (dict, Mapping.__mro__[0]):
        return "mapping"
    plain = {bool: "true|false", str: "text", int: "whole number", float: "number", Path: "path"}
    if option in plain:
        return plain[option]
    return option.__name__ if isinstance(option, type) else str(option)
