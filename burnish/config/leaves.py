"""Every setting of a class as `--help` and the docs show it, and text from the command line as a setting's value."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml

from burnish.config.declare import (
    default_of,
    hints_of,
    info_of,
    is_source,
    kind_of,
    options,
    shapes,
    type_name,
    usual_kind,
)


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """One setting of a class, nested ones included, as `--help` and the docs show it.

    Attributes:
        name: dotted name, such as `train.schedule.kind`.
        type: the annotation, as text.
        default: the default value, or `...` if it is required.
        meaning, unit: as given to `setting`.
        choices: the allowed values of a Literal, else ().
        shape: the choice under which the setting exists, such as `schedule.kind cosine`; "" if always.
        source: whether the value names something outside of the settings.
        hint: the annotation itself, for `value_from`.
    """

    name: str
    type: str
    default: Any
    meaning: str
    unit: str
    choices: tuple[str, ...] = ()
    shape: str = ""
    source: bool = False
    hint: Any = None


def leaves(cls: type, prefix: str = "", shape: str = "", defaults: Any = None) -> Iterator[Leaf]:
    """Yield every setting of `cls`, nested settings classes opened, in the order of definition.

    A name that several shapes of a union share is yielded once per shape.

    Args:
        cls: a settings class.
        prefix, shape: where it stands within another one.
        defaults: a value of `cls` whose fields are shown as the defaults, in place of the class's own.
    """
    hints = hints_of(cls)
    for field in dataclasses.fields(cls):
        hint, name = hints[field.name], f"{prefix}{field.name}"
        if name == f"{prefix}kind" and prefix and kind_of(cls):
            continue  # shown once, as the choice of the union
        default = getattr(defaults, field.name) if isinstance(defaults, cls) else default_of(cls, field.name)
        nested = shapes(hint)
        if not nested:
            yield _leaf(cls, field.name, name, hint, default, shape)
            continue
        yield from _union_leaves(cls, field.name, name, hint, default, shape)
        for option in nested:
            inner = f"{name}.kind {kind_of(option)}" if len(nested) > 1 else shape
            yield from leaves(option, f"{name}.", inner, default)


def _leaf(cls: type, field: str, name: str, hint: Any, default: Any, shape: str) -> Leaf:
    info = info_of(cls, field)
    return Leaf(
        name=name,
        type=type_name(hint),
        default=default,
        meaning=info.description or "",
        unit=str(typing.cast(dict[str, Any], info.json_schema_extra or {}).get("unit", "")),
        choices=tuple(_choices(hint)),
        shape=shape,
        source=is_source(cls, field),
        hint=hint,
    )


def _union_leaves(cls: type, field: str, name: str, hint: Any, default: Any, shape: str) -> Iterator[Leaf]:
    """How the whole nested setting is chosen: `name` if it may be absent, `name.kind` if it has several shapes."""
    nested, meaning = shapes(hint), info_of(cls, field).description or ""
    if type(None) in options(hint):
        shown = default if default is None or default is ... else "{}"
        choices = ("none", "{}") if len(nested) == 1 or usual_kind(cls, field) else ("none",)
        yield Leaf(
            name=name,
            type="|".join(choices),
            default=shown,
            meaning=f"{meaning} ('none' is without)",
            unit="",
            choices=choices,
            shape=shape,
            hint=type(None),
        )
    if len(nested) > 1:
        kinds = tuple(kind_of(option) for option in nested)
        chosen = kind_of(type(default)) if type(default) in nested else usual_kind(cls, field) or default
        yield Leaf(
            name=f"{name}.kind",
            type="|".join(kinds),
            default=chosen,
            meaning=meaning,
            unit="",
            choices=kinds,
            shape=shape,
            hint=str,
        )


def _choices(hint: Any) -> dict[str, Any]:
    """The allowed values of the Literals in `hint`, by what a person types for them."""
    return {str(v): v for option in options(hint) if get_origin(option) is Literal for v in get_args(option)}


def value_from(hint: Any, texts: Sequence[str]) -> Any:
    """Words of the command line as plain data for a setting annotated `hint`.

    A text stays a text even if it looks like a number; "none" is None where None is allowed; several words, or one in
    brackets, make a list. What does not fit is passed on as it is, for `load` to refuse.

    Args:
        hint: the annotation; None reads the words as YAML.
        texts: at least one word.
    """
    members = options(hint)
    lists = [get_args(member)[0] for member in members if get_origin(member) is tuple]
    text = texts[0]
    if lists and (len(texts) > 1 or (not text.startswith("[") and str not in members)):
        return [value_from(lists[0], [item]) for item in texts]
    if len(texts) > 1:
        return list(texts)
    if type(None) in members and text.lower() in ("none", "null"):
        return None
    if text in _choices(hint):
        return _choices(hint)[text]
    read = _scalar(text)
    if (str in members or Path in members) and not (lists and isinstance(read, list)):
        numeric = {bool, int, float} & set(members)
        return read if numeric and isinstance(read, (bool, int, float)) else text
    return read


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
