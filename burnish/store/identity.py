"""What an artefact is made of, and the key that follows from it.

    key = SHA-256 of (verb, settings with every source replaced by the key of its content, source text of the stage and
          of the classes it names, versions of Burnish, torch and transformers, what it was grown from)

Where a file lies does not matter, what it holds does: the settings that name inputs enter by content alone.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

from burnish import __version__
from burnish.errors import StoreError, shown

_VERSIONS = ("torch", "transformers")

Code = type | FunctionType
"""What the source of a run consists of."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What an artefact is made of.

    Attributes:
        verb: of the stage.
        settings: resolved, as plain data, with names of inputs as the user wrote them.
        inputs: dotted name of a setting -> the key of the content that it names.
        code: "file.py:Class" -> SHA-256 of the file's text.
        versions: of the libraries that decide what comes out.
        grown: earlier values of settings that were raised when the run was continued, oldest first.
    """

    verb: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    code: Mapping[str, str]
    versions: Mapping[str, str]
    grown: tuple[Mapping[str, Any], ...] = ()

    @property
    def key(self) -> str:
        """64 hexadecimal digits."""
        parts = {
            "verb": self.verb,
            "settings": _keyed(self.settings, "", self.inputs),
            "code": dict(self.code),
            "versions": dict(self.versions),
            "grown": [dict(step) for step in self.grown],
        }
        text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def folder(self) -> str:
        """The name of the artefact's folder in a store."""
        return f"{self.verb}-{self.key[:16]}"

    def record(self) -> dict[str, Any]:
        """What `run.json` says of it; `Identity.read` makes it from that again."""
        names = dict(_strings(self.settings, ""))
        return {
            "verb": self.verb,
            "key": self.key,
            "settings": dict(self.settings),
            "inputs": {name: {"path": names[name], "key": key} for name, key in self.inputs.items()},
            "code": dict(self.code),
            "versions": dict(self.versions),
            "grown": [dict(step) for step in self.grown],
        }

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Identity:
        """The identity that a record states.

        Raises:
            StoreError: a part is missing.
        """
        try:
            return cls(
                verb=record["verb"],
                settings=record["settings"],
                inputs={name: item["key"] for name, item in record["inputs"].items()},
                code=record["code"],
                versions=record["versions"],
                grown=tuple(record["grown"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"a run.json lacks {error}; it was written by another version of Burnish") from None


def identity(verb: str, settings: Mapping[str, Any], inputs: Mapping[str, str], code: Iterable[Code]) -> Identity:
    """Gather the rest of an identity: source texts and versions.

    Args:
        verb: of the stage.
        settings: resolved, as plain data.
        inputs: dotted name of a setting -> content key.
        code: the stage's class and the classes and functions that it names; what a class inherits from counts too.

    Raises:
        StoreError: the source of one of them cannot be read.
    """
    versions = {"burnish": __version__, **_library_versions()}
    return Identity(verb=verb, settings=settings, inputs=inputs, code=source_keys(code), versions=versions)


@functools.cache
def _library_versions() -> Mapping[str, str]:
    """Those that this process has, read once."""
    return {name: importlib.metadata.version(name) for name in _VERSIONS}


def source_keys(code: Iterable[Code]) -> dict[str, str]:
    """ "file.py:Name" -> SHA-256 of the whole file's text, for each function, each class and what it inherits from.

    The file and not the class alone, since a loss may call a function beside it.
    """
    keys: dict[str, str] = {}
    for item in (base for leaf in code for base in (leaf.__mro__ if isinstance(leaf, type) else (leaf,))):
        if item.__module__.partition(".")[0] in sys.stdlib_module_names:
            continue
        name, text = _source(item)
        keys[f"{name}:{item.__qualname__}"] = hashlib.sha256(text.encode()).hexdigest()
    return dict(sorted(keys.items()))


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One part in which two identities differ.

    Attributes:
        part: "verb", "setting", "input", "code", "version" or "grown".
        name: the dotted name of the setting, the file, the library.
        before, now: the two values, None where the part is absent.
    """

    part: str
    name: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.part} {self.name}: {shown(self.before)} before, {shown(self.now)} now"


def differences(before: Identity, now: Identity) -> list[Difference]:
    """Everything in which two identities differ; a moved input with the same content is no difference."""
    found = [] if before.verb == now.verb else [Difference(part="verb", name="verb", before=before.verb, now=now.verb)]
    pairs: tuple[tuple[str, Mapping[str, Any], Mapping[str, Any]], ...] = (
        ("setting", _flat(before.settings, before.inputs), _flat(now.settings, now.inputs)),
        ("input", before.inputs, now.inputs),
        ("code", before.code, now.code),
        ("version", before.versions, now.versions),
        ("grown", {"grown": list(before.grown)}, {"grown": list(now.grown)}),
    )
    for part, old, new in pairs:
        names = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
        found += [Difference(part=part, name=name, before=old.get(name), now=new.get(name)) for name in names]
    return found


def _source(item: Code) -> tuple[str, str]:
    """The name and the text of the file that defines a class or a function."""
    try:
        file = Path(inspect.getfile(item))
        return file.name, file.read_text(encoding="utf-8")
    except (OSError, TypeError):
        raise StoreError(
            f"the source of {_kind(item)} {item.__qualname__} cannot be read, and it belongs to what a run is "
            f"known by; write {_kind(item)} in a .py file"
        ) from None


def _kind(item: Code) -> str:
    return "the class" if isinstance(item, type) else "the function"


def _joined(prefix: str, name: Any) -> str:
    return f"{prefix}[{name}]" if isinstance(name, int) else f"{prefix}.{name}" if prefix else str(name)


def _strings(value: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """Every string in plain data, by dotted name."""
    if isinstance(value, str):
        yield prefix, value
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from _strings(item, _joined(prefix, name))


def _keyed(value: Any, prefix: str, inputs: Mapping[str, str]) -> Any:
    """Plain data with the strings that name inputs replaced by the keys of their content."""
    if prefix in inputs:
        return inputs[prefix]
    if isinstance(value, Mapping):
        return {name: _keyed(item, _joined(prefix, name), inputs) for name, item in value.items()}
    if isinstance(value, list):
        return [_keyed(item, f"{prefix}[{index}]", inputs) for index, item in enumerate(value)]
    return value


def _flat(value: Any, inputs: Mapping[str, str], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name, without those that name inputs; a list is one value unless it holds inputs."""
    if prefix in inputs:
        return {}
    if isinstance(value, Mapping) and value:
        return {n: v for key, item in value.items() for n, v in _flat(item, inputs, _joined(prefix, key)).items()}
    if isinstance(value, list) and any(name.startswith(f"{prefix}[") for name in inputs):
        return {n: v for i, item in enumerate(value) for n, v in _flat(item, inputs, f"{prefix}[{i}]").items()}
    return {prefix: value}
