"""Run one stage into a folder: lock it, write `run.json` first and last, resume what was cut short.

    run.json: state "running"  ──►  stage.run(work)  ──►  state "finished"     (each written whole, in one step)

`run_stage` serves single verbs: it trains into the folder that the user names, resumes an unfinished run there if
nothing that matters has changed, and refuses otherwise. `make_artefact` serves recipes: the folder is named by what the
artefact is made of, so what is there is right by its name. Neither knows what a stage does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.config import dump, sources
from burnish.errors import Changed, ConfigError, Finished, StoreError
from burnish.processes import Processes
from burnish.stages.attempt import execute
from burnish.stages.stage import Stage
from burnish.stages.together import dismiss, follow
from burnish.store import PART, RECORD, Difference, Identity, content_key, differences, identity, locked, read_record

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Start:
    """How a run in a folder would begin.

    Attributes:
        identity: what the run is made of, earlier values of raised settings included.
        record: the run.json of the try that it goes on from, None for a fresh start.
        replaces: whether a run in the folder is moved away first.
        says: one line for people.
    """

    identity: Identity
    record: Mapping[str, Any] | None
    replaces: bool
    says: str


def stage_identity(stage: Stage, known: Mapping[str, str] | None = None) -> Identity:
    """What the artefact of a stage is made of.

    Args:
        stage: with resolved settings.
        known: keys of artefacts that do not exist yet, by path.

    Raises:
        ConfigError: lists every input that is not there.
    """
    own, keys, mistakes = stage.contents(), {}, []
    for name, value in sources(stage).items():
        try:
            keys[name] = own[name] if name in own else content_key(value, known)
        except StoreError as error:
            mistakes.append(f"'{name}': {error}")
    if mistakes:
        raise ConfigError(mistakes)
    return identity(stage.verb, dump(stage), keys, (type(stage), *stage.code()))


def run_stage(stage: Stage, out: Path, *, overwrite: bool = False, say: Say = print) -> Path:
    """Run one stage into `out`; go on there if an unfinished run has the same settings and data.

    Where there are several processes, all of them call this.

    Args:
        stage: what to do.
        out: the folder of the result.
        overwrite: start over; the run that is there is moved beside first.
        say: prints one line.

    Returns:
        `out`.

    Raises:
        Busy: another process works in `out`.
        Changed: the unfinished run there has other settings, data or code; lists each difference.
        Finished: the run there is complete.
        StoreError: `out` holds something that is no run.
        ConfigError: an input is not there, or lies in `out`.
        BurnishError: what the stage itself raises; the run can be resumed after a fix.
    """
    if not Processes().leads:
        follow({"": (stage, stage_identity(stage))})
        return out
    with locked(out):
        start = start_of(stage, out, overwrite=overwrite)
        if start.replaces:
            stage.plan()  # nothing is moved for a run that could not succeed
            say(f"moved the old run to {_moved_away(out)}")
        elif start.record is not None:
            say(start.says)
        execute(stage, out, start.identity, start.record, say=say)
    dismiss()
    return out


def make_artefact(stage: Stage, made_of: Identity, store: Path, *, name: str, say: Say = print) -> Path:
    """The folder of an artefact in `store`, made now if it is not there.

    Args:
        stage: makes it.
        made_of: names its folder.
        store: holds artefacts.
        name: of the stage in its recipe, recorded for people.
        say: prints one line.

    Raises:
        Busy: another process makes it now.
    """
    folder = store / made_of.folder
    with locked(folder):
        if folder.is_dir():
            return folder
        part = folder.with_name(folder.name + PART)
        record = read_record(part)
        if record is None or record.get("state") != "finished":
            execute(stage, part, made_of, record, say=say, name=name)
        part.rename(folder)
    return folder


def start_of(stage: Stage, out: Path, *, overwrite: bool = False) -> Start:
    """How `run_stage` would begin; the same checks, without any change.

    Raises:
        Changed, Finished, StoreError, ConfigError: as `run_stage` does.
    """
    _refuse_overlap(stage, out)
    now = stage_identity(stage)
    record = read_record(out)
    if record is None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise StoreError(f"{out} exists and is no run folder (it has no run.json); choose another --out")
        return Start(identity=now, record=None, replaces=False, says=f"starts in {out}")
    if overwrite:
        return Start(identity=now, record=None, replaces=True, says=f"starts in {out}, the run there is moved away")
    if record.get("state") == "finished":
        raise Finished(_finished_message(out, record))
    before = Identity.read(record)
    found = differences(before, dataclasses.replace(now, grown=before.grown))
    raised = [item for item in found if _is_raised(item, stage.growable)]
    # An error is mended by changing code; anything else that changed would make a run that nobody can repeat.
    mends = [item for item in found if "error" in record and item.part in ("code", "version")]
    if rest := [item for item in found if item not in raised and item not in mends]:
        if _holds_nothing(out):
            return Start(identity=now, record=None, replaces=False, says=f"starts in {out}")
        raise Changed(_changed_message(out, rest, before, now, stage.growable))
    steps = tuple({f"{item.part} {item.name}": item.before} for item in (*raised, *mends))
    also = "".join(f"; {item.name} was {item.before}, is {item.now}" for item in raised)
    also += "".join(f"; {item.name} has changed since" for item in mends)
    grown = dataclasses.replace(now, grown=(*before.grown, *steps))
    says = f"goes on with the unfinished run in {out}{also}"
    return Start(identity=grown, record=record, replaces=False, says=says)


def _holds_nothing(out: Path) -> bool:
    """Whether a try ended before it made anything, so that nothing is lost by starting over with other settings."""
    return not any(path.is_file() and path.stat().st_size for path in out.rglob("*") if path.name != RECORD)


def _refuse_overlap(stage: Stage, out: Path) -> None:
    place = out.resolve()
    mistakes = []
    for name, value in sources(stage).items():
        path = Path(value).expanduser().resolve()
        if path.exists() and (path.is_relative_to(place) or place.is_relative_to(path)):
            mistakes.append(f"'{name}' is {value}, and --out is {out}: one lies in the other; choose another --out")
    if mistakes:
        raise ConfigError(mistakes)


def _is_raised(item: Difference, growable: tuple[str, ...]) -> bool:
    return (
        item.part == "setting"
        and item.name in growable
        and isinstance(item.before, (int, float))
        and isinstance(item.now, (int, float))
        and item.now > item.before
    )


def _finished_message(out: Path, record: Mapping[str, Any]) -> str:
    return (
        f"{out} holds a finished run of '{record['verb']}'; type --overwrite to start over (the old one is kept beside)"
        ", or choose another --out"
    )


def _changed_message(
    out: Path, found: list[Difference], before: Identity, now: Identity, growable: tuple[str, ...]
) -> str:
    lines = [_changed_line(item, before, now, growable) for item in found]
    return "\n".join(
        [
            f"the unfinished run in {out} was started otherwise:",
            *(f"  - {line}" for line in lines),
            "or type --overwrite to start over (the old one is kept beside), or choose another --out",
        ]
    )


def _changed_line(item: Difference, before: Identity, now: Identity, growable: tuple[str, ...]) -> str:
    if item.part == "setting":
        limit = " (it may be raised, not lowered)" if item.name in growable else ""
        return f"{item.name} was {item.before}, is {item.now}{limit}; type --{item.name} {item.before} to go on"
    if item.part == "input":
        old, new = before.record()["inputs"].get(item.name), now.record()["inputs"].get(item.name)
        if old is None or new is None or old["path"] != new["path"]:
            was, is_ = (side["path"] if side else "not given" for side in (old, new))
            return f"{item.name} was {was}, is {is_}, with other content; give the first one again to go on"
        return f"the content of {item.name} ({new['path']}) has changed; put the old content back to go on"
    if item.part == "code":
        return f"the code of {item.name} has changed; put the old text back to go on"
    if item.part == "version":
        return f"{item.name} was {item.before}, is {item.now}; type pip install {item.name}=={item.before} to go on"
    return f"the verb was {item.before}, is {item.now}"


def _moved_away(out: Path) -> Path:
    number = 1
    while (target := out.with_name(f"{out.name}.replaced-{number}")).exists():
        number += 1
    out.rename(target)
    return target
