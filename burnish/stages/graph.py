"""Run a recipe: each stage whose artefact is missing, then publish files of the artefacts into the recipe's folder.

    runs/demo/run.json      which artefact each stage has, its seconds and memory in the run that made it
    runs/demo/model/        published: hard links into the store (copies where the file system has none)

Stages run in this process, one after the other: imports are paid once, and what a stage held is freed before the next.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal

from burnish.errors import ConfigError, StoreError
from burnish.processes import Processes
from burnish.stages.attempt import now, peak_memory_bytes
from burnish.stages.recipe import Recipe, Step
from burnish.stages.run import make_artefact
from burnish.stages.together import dismiss, follow
from burnish.store import PART, locked, read_record, write_record

Say = Callable[[str], None]

State = Literal["cached", "unfinished", "new"]


def run_recipe(recipe: Recipe, *, until: str = "", say: Say = print) -> Path:
    """Run what is missing and publish. Where there are several processes, all of them call this.

    Args:
        recipe: from `read_recipe`.
        until: the last stage to run, with what it needs; "" runs all.
        say: prints one line.

    Returns:
        The recipe's folder.

    Raises:
        Busy: another process runs this recipe, or makes one of its artefacts.
        StoreError: the recipe's folder holds something else.
        BurnishError: what a stage raises; the same command goes on after a fix.
    """
    chosen = chosen_steps(recipe, until)
    if not Processes().leads:
        follow({step.name: (step.stage, step.identity) for step in chosen})
        return recipe.out
    with locked(recipe.out):
        _check_out(recipe)
        check_plans(chosen, but=chosen[:1])  # the first one checks itself, now
        recipe.out.mkdir(parents=True, exist_ok=True)
        record: dict[str, Any] = {"state": "running", "recipe": recipe.name, "started": now(), "stages": {}}
        for step in chosen:
            _run_step(step, recipe.store, say)
            record["stages"][step.name] = _step_record(step)
            write_record(recipe.out, record)
        published = _publish(recipe, {step.name for step in chosen}, say)
        spent = [item["seconds"] for item in record["stages"].values()]
        peaks = [item["peak_memory_bytes"] for item in record["stages"].values()]
        record |= {"state": "finished", "ended": now(), "seconds": round(sum(spent), 3), "published": published}
        record["peak_memory_bytes"] = max([peak_memory_bytes(), *peaks])
        write_record(recipe.out, record)
    dismiss()
    return recipe.out


def state_of(step: Step) -> State:
    """Whether the artefact of a stage is there."""
    if step.folder.is_dir():
        return "cached"
    return "unfinished" if step.folder.with_name(step.folder.name + PART).is_dir() else "new"


def chosen_steps(recipe: Recipe, until: str = "") -> tuple[Step, ...]:
    """The stages that a run covers.

    Raises:
        ConfigError: `until` is no stage of the recipe.
    """
    by_name = {step.name: step for step in recipe.steps}
    if not until:
        return recipe.steps
    if until not in by_name:
        raise ConfigError([f"--until {until}: the recipe has no such stage; it has: {', '.join(by_name)}"])
    wanted, waiting = {until}, [until]
    while waiting:
        new = set(by_name[waiting.pop()].needs) - wanted
        wanted |= new
        waiting += new
    return tuple(step for step in recipe.steps if step.name in wanted)


def check_plans(steps: Collection[Step], *, but: Collection[Step] = ()) -> dict[str, tuple[str, ...]]:
    """Let each stage that has to run, and whose inputs exist, check what it can; returns the lines of its plan.

    Args:
        steps: of a recipe, all that are to run.
        but: those of them that are not asked.

    Raises:
        BurnishError: what the first stage that could not succeed raises.
    """
    ready = {step.name for step in steps if state_of(step) != "cached"}
    waits = {step.name for step in steps if any(need in ready for need in step.needs)}
    return {step.name: step.stage.plan().lines for step in steps if step.name in ready - waits and step not in but}


def _run_step(step: Step, store: Path, say: Say) -> None:
    state = state_of(step)
    if state == "cached":
        say(f"{step.name}: done before ({step.folder})")
        return
    say(f"{step.name}: {'goes on' if state == 'unfinished' else 'starts'} ({step.folder})")
    make_artefact(step.stage, step.identity, store, name=step.name, say=lambda line: say(f"{step.name}: {line}"))
    seconds = _step_record(step)["seconds"]
    say(f"{step.name}: done in {seconds:.0f} s")
    gc.collect()


def _step_record(step: Step) -> dict[str, Any]:
    made = read_record(step.folder)
    if made is None:
        raise StoreError(f"{step.folder} has no run.json; remove the folder and run again")
    return {
        "verb": step.identity.verb,
        "key": step.identity.key,
        "folder": str(step.folder),
        "needs": list(step.needs),
        "seconds": made["seconds"],
        "peak_memory_bytes": made["peak_memory_bytes"],
    }


def _check_out(recipe: Recipe) -> None:
    record = read_record(recipe.out)
    if record is None and recipe.out.is_dir() and any(recipe.out.iterdir()):
        raise StoreError(f"{recipe.out} is not empty and holds no run.json; type --set out=FOLDER to choose another")
    if record is not None and record.get("recipe") != recipe.name:
        raise StoreError(f"{recipe.out} holds another run; type --set out=FOLDER to choose another")


def _publish(recipe: Recipe, made: Collection[str], say: Say) -> list[str]:
    published = []
    for name, (stage, inside) in recipe.publish.items():
        if stage not in made:
            continue
        folder = next(step.folder for step in recipe.steps if step.name == stage)
        source = folder / inside
        if not source.exists():
            have = ", ".join(sorted(path.name for path in folder.iterdir()))
            raise StoreError(f"publish.{name}: '{stage}' made no '{inside}'; it made: {have}")
        _link(source, recipe.out / name)
        say(f"published {recipe.out / name}")
        published.append(name)
    return published


def _link(source: Path, target: Path) -> None:
    """Put `source` at `target` in one step for a file, in two for a folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside, old = (target.with_name(f".{target.name}.{word}") for word in ("new", "old"))
    for leftover in (beside, old):
        _remove(leftover)
    if source.is_dir():
        shutil.copytree(source, beside, copy_function=_link_file)
    else:
        _link_file(str(source), str(beside))
    if target.is_dir() or source.is_dir():
        if target.exists():
            target.rename(old)
        beside.rename(target)
        _remove(old)
    else:
        beside.replace(target)
        beside.unlink(missing_ok=True)  # a link replaced by another link to the same file stays


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
