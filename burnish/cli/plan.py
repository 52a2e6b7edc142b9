"""`burnish plan`: the dry run of a verb or a recipe, and what it would cost: parameters, memory, operations, time.

burnish plan sft --model ... --data ...      what `burnish sft ... --dry-run` says, and the costs
burnish plan recipes/demo.yaml               the same of every stage that can be looked at before it runs
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.cli import stage as verbs
from burnish.cli.commands import recipe_words
from burnish.cli.console import say
from burnish.cli.costs import lines_of
from burnish.cli.words import Option, none, one, refuse, split_words
from burnish.config import nearest
from burnish.errors import ConfigError
from burnish.stages.registry import STAGES, stage_class
from burnish.stages.stage import Stage

_TEXT = """burnish plan VERB [options of the verb]
burnish plan RECIPE.yaml [--quick] [--until STAGE] [--set NAME=VALUE]

What would happen, checked as --dry-run does, and what it would cost: parameters by part, memory by phase and part,
operations, time on this machine, whether it fits, and what to change if not. Nothing is trained.

  --memory SIZE      memory that there is, such as 16GB or 24GiB (default: this machine's)
  --ranks N          processes that share the work (default 1)
  --no-clock         do not measure how fast this machine is
  --json             one JSON object in place of lines"""

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}

_OWN = ("memory", "ranks", "no_clock", "json")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What `burnish plan` was asked for.

    Attributes:
        memory: bytes, None for those of the machine.
        ranks: processes.
        clock: whether to measure.
        json: whether to print JSON.
    """

    memory: int | None
    ranks: int
    clock: bool
    json: bool


def run(words: Sequence[str]) -> None:
    """`burnish plan VERB ...` or `burnish plan RECIPE.yaml ...`.

    Raises:
        ConfigError: lists every mistake, in the words and in the settings.
        BurnishError: the run could not succeed.
    """
    what, rest = (words[0], words[1:]) if words else ("--help", ())
    if what in ("--help", "-h"):
        say(_TEXT)
        return
    asked, others = _split(rest)
    if what in STAGES or (":" in what and not what.endswith((".yaml", ".yml"))):
        found = {what: _of_stage(verbs.parse(what, stage_class(what), [*others, "--dry-run"]).stage, asked)}
    elif what.endswith((".yaml", ".yml")):
        found = _of_recipe([what, *others], asked)
    else:
        raise ConfigError([f"'{what}' is neither a verb nor a recipe; {nearest(what, STAGES)}"])
    if asked.json:
        say(json.dumps(found[what] if list(found) == [what] else found))


def _split(words: Sequence[str]) -> tuple[Asked, list[str]]:
    """This verb's own options, and the words of all others."""
    mistakes: list[str] = []
    read = split_words(words)
    own = {option.name: option for option in read.options if option.name in _OWN}
    memory = _bytes(own["memory"], mistakes) if "memory" in own else None
    ranks = _whole(own["ranks"], mistakes) if "ranks" in own else 1
    flags = {name: name in own and none(own[name], mistakes) for name in ("no_clock", "json")}
    refuse(mistakes)
    asked = Asked(memory=memory, ranks=ranks, clock=not flags["no_clock"], json=flags["json"])
    return asked, [
        *read.plain,
        *(word for option in read.options if option.name not in _OWN for word in _typed(option)),
    ]


def _typed(option: Option) -> list[str]:
    """An option as words again; `=` keeps a value that begins with dashes one."""
    return [f"{option.shown}={option.values[0]}"] if len(option.values) == 1 else [option.shown, *option.values]


def _bytes(option: Option, mistakes: list[str]) -> int:
    text = one(option, "SIZE", mistakes)
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.lower())
    if found is None or found[2] not in _UNITS:
        mistakes.append(f"--memory takes a size such as 16GB or 24GiB; found '{text}'")
        return 0
    return int(float(found[1]) * _UNITS[found[2]])


def _whole(option: Option, mistakes: list[str]) -> int:
    text = one(option, "N", mistakes)
    if not text.isdecimal() or int(text) < 1:
        mistakes.append(f"--ranks takes a whole number of processes, 1 or more; found '{text}'")
        return 1
    return int(text)


def _of_stage(stage: Stage, asked: Asked, *, indent: str = "") -> dict[str, Any]:
    """What a dry run finds, and the costs of a stage that trains."""
    from burnish.stages.costs import costs_of
    from burnish.stages.denoise import DenoiseStage
    from burnish.stages.specialist import SpecialistStage
    from burnish.stages.training import TrainingStage

    plan = stage.plan()
    costs = None
    if isinstance(stage, (TrainingStage, DenoiseStage, SpecialistStage)):
        costs = costs_of(stage, memory=asked.memory, ranks=asked.ranks, measure=asked.clock)
    for line in (*plan.lines, *(lines_of(costs) if costs else ())):
        _print(asked, indent + line)
    return {"plan": _plain(plan.facts), "costs": costs.facts() if costs else None}


def _of_recipe(words: Sequence[str], asked: Asked) -> dict[str, Any]:
    """Every stage of a recipe; costs of those that have to run and whose inputs are there."""
    from burnish.stages.graph import chosen_steps, state_of

    recipe = recipe_words(words, _TEXT)
    assert recipe is not None  # help was answered before
    found: dict[str, Any] = {}
    missing: set[str] = set()
    for step in chosen_steps(recipe.recipe, recipe.until):
        waits = [need for need in step.needs if need in missing]
        state = state_of(step)
        _print(asked, f"{step.name}: {'is there' if state == 'cached' else 'would run'} ({step.folder})")
        found[step.name] = {"state": state, "waits_for": waits}
        if state == "cached":
            continue
        missing.add(step.name)
        if waits:
            _print(asked, f"  its costs are known when {', '.join(waits)} has run")
        else:
            found[step.name] |= _of_stage(step.stage, asked, indent="  ")
    return found


def _print(asked: Asked, line: str) -> None:
    if not asked.json:
        say(line)


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as JSON takes them."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(facts), default=str))
    return plain
