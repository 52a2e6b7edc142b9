"""The quick form of a recipe: the same graph with smaller numbers, and with fewer stages if it says so.

    quick:
      own_prompts.train: 24       # STAGE.SETTING: another value
      dpo_strong: null            # STAGE: null leaves the stage out

What needs a stage that is left out is left out too; where a setting is a list or a mapping of inputs, as in a report,
only the entry goes. The quick form is a recipe of its own, called NAME-quick, so it publishes into another folder. It
shares the store: what both forms have in common is made once.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnish.config import assigned, leaves, merged, nearest
from burnish.errors import ConfigError, shown
from burnish.stages.references import refers_to
from burnish.stages.registry import stage_class
from burnish.stages.stage import Stage

SUFFIX = "-quick"

Stages = Mapping[str, Mapping[str, Any]]


def quick_mistakes(stages: Stages, quick: Mapping[str, Any]) -> list[str]:
    """What is wrong with a quick section; settings are checked when the quick form is read."""
    mistakes = []
    for name, value in quick.items():
        stage, dot, _ = name.partition(".")
        if stage not in stages:
            mistakes.append(f"quick.{name}: the recipe has no stage '{stage}'; {nearest(stage, stages)}")
        elif not dot and value is not None:
            mistakes.append(
                f"quick.{name}: found {shown(value)}; '{stage}.SETTING: VALUE' changes a setting, '{stage}: null' "
                "leaves the stage out"
            )
    return mistakes


def quick_stages(stages: Stages, quick: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The stages of the quick form.

    Args:
        stages: of the recipe, as they stand in its file.
        quick: the section, without mistakes.
    """
    changed = {name: dict(values) for name, values in stages.items()}
    for name, value in quick.items():
        stage, dot, setting = name.partition(".")
        if dot:
            changed[stage] = merged(changed[stage], assigned(setting, value))
    without: set[str] = set()
    gone = {name for name, value in quick.items() if value is None and "." not in name}
    while gone - without:
        without |= gone
        kept = {name: values for name, values in changed.items() if name not in without}
        changed = {name: _without_entries(values, frozenset(without)) for name, values in kept.items()}
        gone = {name for name, values in changed.items() if refers_to(values, frozenset(without))}
    return changed


def quick_publish(publish: Mapping[str, str], stages: Stages, quick: Stages) -> dict[str, str]:
    """What the quick form publishes: nothing of stages that it leaves out."""
    without = frozenset(stages) - frozenset(quick)
    return {name: text for name, text in publish.items() if not refers_to(text, without)}


def quick_out(name: str, out: Path | None) -> tuple[str, Path | None]:
    """Name and folder of the quick form."""
    return name + SUFFIX, None if out is None else out.with_name(out.name + SUFFIX)


def _without_entries(values: Mapping[str, Any], without: frozenset[str]) -> dict[str, Any]:
    """A stage's settings, its lists and mappings of inputs without entries that refer to stages left out."""
    several = _several(values.get("use"))
    return {name: _left(value, without) if name in several else value for name, value in values.items()}


def _left(value: Any, without: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: item for key, item in value.items() if not refers_to(item, without)}
    if isinstance(value, (list, tuple)):
        return [item for item in value if not refers_to(item, without)]
    return value


def _several(use: Any) -> frozenset[str]:
    """The settings of a stage kind that hold a list or a mapping of inputs; none of a kind that does not exist."""
    try:
        return _several_of(stage_class(use)) if isinstance(use, str) else frozenset()
    except ConfigError:  # reported where the recipe is read
        return frozenset()


@functools.cache
def _several_of(cls: type[Stage]) -> frozenset[str]:
    """The same of its class."""
    several = (leaf for leaf in leaves(cls) if "list of" in leaf.type or "mapping" in leaf.type)
    return frozenset(leaf.name for leaf in several if leaf.source)
