"""One verb per stage kind: options made from its settings, laid over a config file; then a dry run or the run.

defaults  <  --config FILE  <  --set a.b=c and --a.b c, in the order in which they stand
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from burnish.cli.console import say
from burnish.cli.listing import RUN_OPTIONS, listing
from burnish.cli.options import change_from, change_from_set, option_hints
from burnish.cli.words import none, one, refuse, split_words
from burnish.config import dump, load, load_yaml, merged
from burnish.errors import ConfigError
from burnish.stages.registry import STAGES, stage_class
from burnish.stages.run import run_stage, stage_identity, start_of
from burnish.stages.stage import Stage

RUN_NAMES = tuple(name.split()[0].removeprefix("--").replace("-", "_") for name in RUN_OPTIONS)
"""Names that no setting of a stage may have."""


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """What was asked for.

    Attributes:
        stage: with resolved settings.
        out: the folder; None only for a dry run.
        dry_run, overwrite: as given.
    """

    stage: Stage
    out: Path | None
    dry_run: bool
    overwrite: bool


def run(verb: str, words: Sequence[str]) -> None:
    """`burnish VERB ...`."""
    cls = stage_class(verb)
    if any(option.name == "help" for option in split_words(words).options):
        say(listing(verb, cls, _summary(verb, cls)))
        return
    asked = parse(verb, cls, words)
    if asked.dry_run:
        _dry_run(asked)
    elif asked.out is not None:
        run_stage(asked.stage, asked.out, overwrite=asked.overwrite, say=say)
        say(f"finished: {asked.out}")


def parse(verb: str, cls: type[Stage], words: Sequence[str]) -> Invocation:
    """Read the words for a stage.

    Raises:
        ConfigError: lists every mistake, in the words and in the settings.
    """
    hints = option_hints(cls)
    if taken := sorted(set(hints) & set(RUN_NAMES)):
        raise TypeError(f"{cls.__name__} has settings named like options of every run: {', '.join(taken)}")
    read = split_words(words)
    mistakes = [f"unexpected word '{word}'; settings are given as --NAME VALUE" for word in read.plain]
    out, dry_run, overwrite = None, False, False
    base: dict[str, Any] = {}
    changes: list[dict[str, Any]] = []
    for option in read.options:
        if option.name == "out":
            out = Path(one(option, "DIR", mistakes))
        elif option.name == "dry_run":
            dry_run = none(option, mistakes)
        elif option.name == "overwrite":
            overwrite = none(option, mistakes)
        elif option.name == "config":
            base = merged(base, _config_file(one(option, "FILE", mistakes), mistakes))
        elif option.name == "set":
            changes += [change for text in option.values if (change := change_from_set(text, hints, mistakes))]
        else:
            changes += change_from(option, hints, verb, mistakes, also=RUN_NAMES)
    if out is None and not dry_run:
        mistakes.append("--out is required: the folder of the result; type --out DIR")
    for change in changes:
        base = merged(base, change)
    try:
        stage = load(cls, base, source=f"burnish {verb}")
    except ConfigError as error:
        raise ConfigError([*mistakes, *error.mistakes]) from None
    refuse(mistakes)
    return Invocation(stage=stage, out=out, dry_run=dry_run, overwrite=overwrite)


def _config_file(name: str, mistakes: list[str]) -> Mapping[str, Any]:
    try:
        return load_yaml(Path(name)) if name else {}
    except ConfigError as error:
        mistakes += error.mistakes
        return {}


def _summary(verb: str, cls: type[Stage]) -> str:
    return STAGES[verb].summary if verb in STAGES else (cls.__doc__ or cls.__name__).strip().splitlines()[0]


def _dry_run(asked: Invocation) -> None:
    start = start_of(asked.stage, asked.out, overwrite=asked.overwrite) if asked.out is not None else None
    made_of = start.identity if start is not None else stage_identity(asked.stage)
    plan = asked.stage.plan()
    if start is not None:
        say(start.says)
    for line in plan.lines:
        say(line)
    for name, key in made_of.inputs.items():
        say(f"input {name}: {key}")
    say(f"key {made_of.key}")
    say(yaml.safe_dump(dump(asked.stage), sort_keys=False, allow_unicode=True).rstrip())
