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

    declare.py   setting, settings, and what can be asked of a settings class
    load.py      plain data -> a settings value, or all mistakes
    plain.py     a settings value -> plain data; YAML; one mapping laid over another
    leaves.py    every setting of a class as `--help` shows it, and text from the command line -> a value
    imports.py   "file.py:Name" or "package.module:Name" -> a class or a function
"""

from burnish.config.declare import is_settings, kind_of, options, setting, settings, type_name
from burnish.config.imports import imported, imported_code
from burnish.config.leaves import Leaf, leaves, value_from
from burnish.config.load import load, nearest
from burnish.config.plain import assigned, dump, load_yaml, merged, sources

__all__ = [
    "Leaf",
    "assigned",
    "dump",
    "imported",
    "imported_code",
    "is_settings",
    "kind_of",
    "leaves",
    "load",
    "load_yaml",
    "merged",
    "nearest",
    "options",
    "setting",
    "settings",
    "sources",
    "type_name",
    "value_from",
]
