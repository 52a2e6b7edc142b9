"""Settings: frozen dataclasses that are read from YAML and the command line, with every mistake at once.

A class marked `@settings` is a frozen, keyword-only dataclass whose fields are checked when a value is made. Each
field states its default, meaning, unit and range in one place, through `setting(...)`; `--help`, the docs and the
error messages are made from that.

    @settings
    class DPO(Objective):
        beta: float = setting(0.1, "strength of the pull towards the reference", gt=0)

Choices between shapes are unions of settings classes, told apart by a `kind` field with one allowed value, so that a
setting that would not be read in one shape cannot be written there. `load` reports all mistakes together, each with
the nearest known spelling.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, dataclass_transform, get_args, get_origin

import pydantic
import yaml
from pydantic.fields import FieldInfo

from burnish.errors import ConfigError, shown

T = TypeVar("T")

_RULES = pydantic.ConfigDict(extra="forbid", strict=False, allow_inf_nan=False, validate_default=False)


def setting(default: Any = ..., meaning: str = "", *, unit: str = "", source: bool = False, **limits: Any) -> Any:
    """Describe one field of a settings class.

    Args:
        default: the value used when none is given; `...` makes the field required.
        meaning: what it does, in one phrase; shown by `--help` and in the docs.
        unit: unit of the value ("tokens", "steps", "examples"), "" for a pure number.
        source: the value names something outside of the settings (a model, a data file, a stage's artefact), whose
            content belongs to the identity of a run.
        limits: pydantic's constraints: `gt`, `ge`, `lt`, `le`, `min_length`, `pattern`.
    """
    extra: dict[str, Any] = {"unit": unit, "source": source}
    if isinstance(default, (list, dict)):
        raise TypeError("use a tuple or a frozen value as the default of a setting")
    return pydantic.Field(default, description=meaning, json_schema_extra=extra, **limits)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(setting,))
def settings(cls: type[T]) -> type[T]:
    """Make `cls` a settings class: frozen, keyword-only, every field checked when a value is made."""
    return typing.cast(type[T], pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=_RULES)(cls))


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
    try:
        return pydantic.TypeAdapter(cls).validate_python(dict(values))
    except pydantic.ValidationError as error:
        raise ConfigError([_mistake(cls, dict(item), source) for item in error.errors()]) from None


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Raises:
        ConfigError: the file is missing, is not YAML, or is not a mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError([f"no such file: {path}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path} is not YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(values, dict):
        raise ConfigError([f"{path}: found {shown(values)}; expected a mapping of settings"])
    return values


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
    """`base` with `change` laid over it, mapping by mapping; a changed `kind` starts from the defaults of its shape."""
    result = dict(base)
    for key, value in change.items():
        old = result.get(key)
        result[key] = value
        if (
            isinstance(old, Mapping)
            and isinstance(value, Mapping)
            and value.get("kind", old.get("kind")) == old.get("kind")
        ):
            result[key] = merged(old, value)
    return result


def assigned(name: str, text: str) -> dict[str, Any]:
    """`a.b`, `"1e-4"` as `{"a": {"b": 1e-4}}`: the value is read as YAML, numbers such as 1e-4 included."""
    value = _scalar(text)
    for part in reversed(name.split(".")):
        value = {part: value}
    return typing.cast(dict[str, Any], value)


def _scalar(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, str):
        try:  # YAML 1.1 reads 1e-4 as a string
            return float(value)
        except ValueError:
            return value
    return value


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """One setting of a class, nested ones included, as `--help` and the docs show it.

    Attributes:
        name: dotted name, such as `train.schedule.kind`.
        type: the annotation, as text.
        default: the default value, or `...` if it is required.
        meaning, unit: as given to `setting`.
        choices: the allowed values of a Literal, else ().
        shape: the `kind` under which the setting exists, "" if always.
        source: whether the value names something outside of the settings.
    """

    name: str
    type: str
    default: Any
    meaning: str
    unit: str
    choices: tuple[str, ...] = ()
    shape: str = ""
    source: bool = False


def leaves(cls: type, prefix: str = "", shape: str = "") -> Iterator[Leaf]:
    """Yield every setting of `cls`, nested settings classes opened, in the order of definition."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        name = f"{prefix}{field.name}"
        if name == f"{prefix}kind" and prefix:
            continue  # shown once, as the choice of the union
        nested = [option for option in options(hints[field.name]) if is_settings(option)]
        info = _info(cls, field.name)
        if not nested:
            yield _leaf(name, hints[field.name], info, shape)
            continue
        if len(nested) > 1 or type(None) in options(hints[field.name]):
            yield _union_leaf(name, nested, info, shape)
        for option in nested:
            yield from leaves(option, f"{name}.", f"{name}: {kind_of(option)}" if len(nested) > 1 else shape)


def _leaf(name: str, hint: Any, info: FieldInfo, shape: str) -> Leaf:
    extra = typing.cast(dict[str, Any], info.json_schema_extra or {})
    choices = tuple(str(v) for option in options(hint) if get_origin(option) is Literal for v in get_args(option))
    return Leaf(
        name=name,
        type=_type_name(hint),
        default=... if info.is_required() else info.get_default(call_default_factory=True, validated_data={}),
        meaning=info.description or "",
        unit=str(extra.get("unit", "")),
        choices=choices,
        shape=shape,
        source=bool(extra.get("source", False)),
    )


def _union_leaf(name: str, nested: list[type], info: FieldInfo, shape: str) -> Leaf:
    default = None if info.is_required() else info.get_default(call_default_factory=True, validated_data={})
    kinds = tuple(kind for option in nested if (kind := kind_of(option)))
    shown_default = kind_of(type(default)) if default is not None else None
    return Leaf(
        name=f"{name}.kind" if kinds else name,
        type="choice",
        default=... if info.is_required() else shown_default,
        meaning=info.description or "",
        unit="",
        choices=kinds,
        shape=shape,
    )


def options(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself; `Annotated` is looked through."""
    if get_origin(hint) is typing.Annotated:
        return options(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(inner for arg in get_args(hint) for inner in options(arg))
    return (hint,)


def is_settings(cls: Any) -> bool:
    """Whether `cls` was made by `@settings`."""
    return isinstance(cls, type) and "__pydantic_fields__" in vars(cls)


def kind_of(cls: type) -> str:
    """The value of the `kind` field that tells a shape from the others of its union, "" if it has none."""
    hint = typing.get_type_hints(cls).get("kind")
    return str(get_args(hint)[0]) if get_origin(hint) is Literal else ""


def _info(cls: type, name: str) -> FieldInfo:
    return typing.cast(dict[str, FieldInfo], vars(cls)["__pydantic_fields__"])[name]


def _type_name(hint: Any) -> str:
    names = []
    for option in options(hint):
        if option is type(None):
            names.append("none")
        elif get_origin(option) is Literal:
            names.append("|".join(str(v) for v in get_args(option)))
        elif get_origin(option) is tuple:
            names.append(f"list of {_type_name(get_args(option)[0])}")
        else:
            names.append(option.__name__ if isinstance(option, type) else str(option))
    return " or ".join(names)


def _mistake(cls: type, item: dict[str, Any], source: str) -> str:
    path, at = _walk(cls, item["loc"])
    kind, found = item["type"], item.get("input")
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        known = [f.name for f in dataclasses.fields(at)] if at is not None else []
        near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.6)
        hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
        return f"{source}: unknown setting '{path}' (value {shown(found)}); {hint}"
    if kind in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return f"{source}: '{path}' is required"
    message = str(item["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind in ("value_error", "assertion_error"):
        return f"{source}: {path + ': ' if path else ''}{message}"
    return f"{source}: '{path}' is {shown(found)}; {message[0].lower()}{message[1:]}"


def _walk(cls: type, loc: tuple[Any, ...]) -> tuple[str, type | None]:
    """The dotted name of an error's place, without the tags that pydantic adds, and the class that holds it."""
    parts: list[str] = []
    at: type | None = cls
    holder: type | None = cls
    pending: list[Any] = []
    for part in loc:
        text = str(part)
        tags = {
            tag for option in pending for tag in (kind_of(option) if is_settings(option) else "", _tag(option)) if tag
        }
        if text and text in tags:
            at = next((o for o in pending if is_settings(o) and text in (kind_of(o), _tag(o))), None)
            pending = []
            continue
        holder = at
        parts.append(text)
        hints = typing.get_type_hints(at) if at is not None and is_settings(at) else {}
        pending = list(options(hints[text])) if text in hints else []
        nested = [option for option in pending if is_settings(option)]
        at = nested[0] if len(nested) == 1 else None
    return ".".join(parts), holder


def _tag(option: Any) -> str:
    return option.__name__ if isinstance(option, type) else str(option)
