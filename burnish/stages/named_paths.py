"""Paths by name, as settings and words give them: `{sft: runs/a}`, `sft=runs/a`, or a path called by its own name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burnish.errors import shown


def named_paths(value: Any, *, called: Callable[[str], str], expected: str) -> Any:
    """A mapping as it is; words as one.

    Args:
        value: what was given.
        called: the name of a path that is given without one.
        expected: what a word should be, for the error.

    Raises:
        ValueError: a word has no path, or a name stands twice.
    """
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)):
        return value
    found: dict[str, str] = {}
    for word in words:
        given, equals, rest = str(word).partition("=")
        name, path = (given, rest) if equals else (called(given), given)
        if not name or not path or name in found:
            raise ValueError(f"found {shown(word)}; expected {expected}")
        found[name] = path
    return found
