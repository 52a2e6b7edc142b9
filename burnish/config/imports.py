"""Classes and functions by name: `file.py:Name` or `package.module:Name`, for a user's own stages, losses, graders.

A file is run once per content: edited and named again in one process, it is read again.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import FunctionType, ModuleType

from burnish.config.load import nearest
from burnish.errors import ConfigError, shown


def imported(spec: str) -> type:
    """The class that `spec` names.

    Args:
        spec: `path/to/file.py:Name` (relative to the working directory) or `package.module:Name`.

    Raises:
        ConfigError: there is no such file, module or class, or it fails while it is imported.
    """
    module, place, name = _found(spec, "class")
    classes = {key: value for key, value in vars(module).items() if isinstance(value, type)}
    if name not in classes:
        own = [key for key, value in classes.items() if value.__module__ == module.__name__]
        raise ConfigError([f"'{spec}': {place} has no class '{name}'; {nearest(name, own)}"])
    return classes[name]


def imported_code(spec: str) -> type | FunctionType:
    """The class or function that `spec` names.

    Args:
        spec: as for `imported`.

    Raises:
        ConfigError: there is no such file, module, class or function, or it fails while it is imported.
    """
    module, place, name = _found(spec, "class or function")
    known = {key: value for key, value in vars(module).items() if isinstance(value, (type, FunctionType))}
    if name not in known:
        own = [key for key, value in known.items() if value.__module__ == module.__name__]
        raise ConfigError([f"'{spec}': {place} has no class or function '{name}'; {nearest(name, own)}"])
    return known[name]


def _found(spec: str, what: str) -> tuple[ModuleType, str, str]:
    """The module that `spec` names, its place and the name in it."""
    place, _, name = spec.rpartition(":")
    if not place or not name.isidentifier():
        raise ConfigError([f"{shown(spec)} names no {what}; expected path/to/file.py:Name or package.module:Name"])
    return (_file(Path(place), spec) if place.endswith(".py") else _module(place, spec)), place, name


def _file(path: Path, spec: str) -> ModuleType:
    try:
        content = path.read_bytes()
    except OSError:
        raise ConfigError([f"'{spec}': no such file: {path}"]) from None
    name = f"{path.stem}_{hashlib.sha256(content + bytes(path.resolve())).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, path.resolve())
    if found is None or found.loader is None:
        raise ConfigError([f"'{spec}': {path} is not a Python file"])
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # annotations are resolved through it while the file runs
    try:
        found.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError([f"'{spec}': {path} fails when it is imported: {_cause(error)}"]) from error
    return module


def _module(place: str, spec: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and (place == error.name or place.startswith(f"{error.name}.")):
            raise ConfigError([f"'{spec}': there is no module '{error.name}'; is it installed?"]) from None
        raise ConfigError([f"'{spec}': {place} fails when it is imported: {_cause(error)}"]) from error
    except Exception as error:
        raise ConfigError([f"'{spec}': {place} fails when it is imported: {_cause(error)}"]) from error


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
