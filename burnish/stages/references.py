"""References in a recipe: `@name` is the artefact folder of another stage, `@name/x` something in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any


def reference(text: str) -> tuple[str, str] | None:
    """`@name/x` as ("name", "x"), None for any other text."""
    if not text.startswith("@"):
        return None
    name, _, inside = text[1:].partition("/")
    return name, PurePosixPath(inside).as_posix() if inside else ""


def texts(value: Any) -> list[str]:
    """Every string in plain data."""
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return [text for item in items for text in texts(item)]


def replaced(value: Any, new: Mapping[str, str]) -> Any:
    """Plain data with strings put in place of others."""
    if isinstance(value, str):
        return new.get(value, value)
    if isinstance(value, Mapping):
        return {key: replaced(item, new) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [replaced(item, new) for item in value]
    return value


def refers_to(value: Any, names: frozenset[str]) -> bool:
    """Whether plain data refers to one of the stages."""
    return any(found is not None and found[0] in names for found in map(reference, texts(value)))
