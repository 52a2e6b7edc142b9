"""Constraints on the shape of an answer: bullets, paragraphs, a JSON object, quotation marks around it.

The table of all kinds is in `format.py`.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from burnish.config import setting, settings
from burnish.errors import shown
from burnish.graders.constraint import Constraint
from burnish.graders.words import pieces, plain, words

_BULLET = re.compile(r"^[ \t]*(?:[-*+–][ \t]+|[•‣◦▪●][ \t]*)(.*)$|^[ \t]*[-*+–]$", re.MULTILINE)
_FENCE = re.compile(r"\A```(?:json|JSON)?[ \t]*\n(.*)\n[ \t]*```\Z", re.DOTALL)
_BLANK_LINES = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+")
_SHORTEST_PARAGRAPH = 3  # words


@settings
class Bullets(Constraint):
    """Exactly `count` bullet points.

    A bullet is a line that starts with -, *, +, –, •, ‣, ◦, ▪ or ● (a space behind the first four). Numbered lines are
    not bullets. Lines before and after the list are allowed; empty bullets and a bullet said twice are not.
    """

    kind: Literal["bullets"] = "bullets"
    count: int = setting(..., "bullets wanted", ge=1)

    def fault(self, text: str) -> str | None:
        """The number is another, or a bullet is empty or said twice."""
        bullets = [pieces(match[1] or "") for match in _BULLET.finditer(plain(text))]
        if len(bullets) != self.count:
            return f"{len(bullets)} bullet(s); expected {self.count}"
        if not all(bullets):
            return "a bullet is empty"
        return "two bullets say the same" if len(set(map(tuple, bullets))) < len(bullets) else None


@settings
class Paragraphs(Constraint):
    """Exactly `count` paragraphs: blocks between blank lines; a block without letters (a rule) is none."""

    kind: Literal["paragraphs"] = "paragraphs"
    count: int = setting(..., "paragraphs wanted", ge=1)

    def fault(self, text: str) -> str | None:
        """The number is another, or one is too short to be a paragraph."""
        lengths = [len(words(block)) for block in _BLANK_LINES.split(plain(text)) if pieces(block)]
        if len(lengths) != self.count:
            return f"{len(lengths)} paragraph(s); expected {self.count}"
        short = min(lengths)
        return f"a paragraph of {short} word(s) only" if short < _SHORTEST_PARAGRAPH else None


@settings
class JsonKeys(Constraint):
    """One JSON object with exactly these keys at its top, in any order.

    A Markdown code fence around the object is tolerated, other text is not. Strict JSON: no key twice, no NaN, no
    trailing comma. No value may be empty. Only the values count as content, so a topic named in a key is not named.
    """

    kind: Literal["json_keys"] = "json_keys"
    keys: tuple[str, ...] = setting(..., "keys of the object", min_length=1)

    def fault(self, text: str) -> str | None:
        """It is not such an object."""
        try:
            value = _json(text)
        except (ValueError, RecursionError) as error:
            return f"not JSON: {error}"
        if not isinstance(value, dict):
            return f"JSON, but {shown(value)} is not an object"
        if set(value) != set(self.keys):
            return f"keys {shown(sorted(value))}; expected {', '.join(sorted(self.keys))}"
        empty = [key for key in self.keys if not pieces(_json_text(value[key]))]
        return f"nothing under '{empty[0]}'" if empty else None

    def content(self, text: str) -> str:
        """The values, a line each; the text itself if it is not JSON."""
        try:
            return _json_text(_json(text))
        except (ValueError, RecursionError):
            return plain(text)


def _json(text: str) -> Any:
    body = text.replace("\r\n", "\n").strip().removeprefix("\ufeff")
    fenced = _FENCE.match(body)
    return json.loads(
        fenced[1] if fenced else body, object_pairs_hook=_without_repeats, parse_constant=_refused_constant
    )


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return dict(pairs)


def _refused_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _json_text(value: Any) -> str:
    """The strings and numbers inside a JSON value, a line each; null and empty containers give nothing."""
    if isinstance(value, dict):
        return "\n".join(_json_text(item) for item in value.values())
    if isinstance(value, list):
        return "\n".join(_json_text(item) for item in value)
    return "" if value is None else str(value)


@settings
class Quoted(Constraint):
    """Wrapped in double quotation marks, straight or curly; quotations inside take single ones."""

    kind: Literal["quoted"] = "quoted"

    def fault(self, text: str) -> str | None:
        """A mark is missing at an end, or there are others inside."""
        body = plain(text)
        if len(body) < 2 or not (body.startswith('"') and body.endswith('"')):
            return f"from {shown(body[:12])} to {shown(body[-12:])}; expected a double quotation mark at both ends"
        inside = body.count('"') - 2
        return f"{inside} more double quotation mark(s) inside" if inside else None
