"""`burnish scaling`: run a ladder of small models, fit a law to losses that are given, or run the stage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from burnish.cli import stage
from burnish.cli.console import say
from burnish.cli.listing import settings_listing
from burnish.cli.options import change_from, option_hints
from burnish.cli.words import Option, none, one, refuse, split_words
from burnish.config import load, merged
from burnish.errors import ConfigError

_HELP = """burnish scaling ladder --tokenizer DIR --data TOKENS --held_out_data FILE --out DIR [options]: train models
                  of several sizes on several numbers of tokens, fit a law, write a report; its recipe is DIR.yaml
burnish scaling fit FILE [--budgets C ...] [--json]: fit a law to losses that are given, and print it
burnish scaling --runs NAME=DIR ... --out DIR: fit a law to finished runs, settings below

  --dry-run       of ladder: write the recipe, and show which of its stages would run"""


def scaling(words: Sequence[str]) -> None:
    """`burnish scaling ...`."""
    first = words[0] if words else "--help"
    if first == "ladder":
        _ladder(words[1:])
    elif first == "fit":
        _fit(words[1:])
    elif first in ("--help", "-h"):
        say(_HELP)
        stage.run("scaling", ["--help"])
    else:
        stage.run("scaling", words)


def _fit(words: Sequence[str]) -> None:
    from burnish.stages.scaling import ScalingStage

    read = split_words(words)
    if any(option.name == "help" for option in read.options):
        say(_HELP)
        return
    if len(read.plain) != 1:
        raise ConfigError([f"burnish scaling fit takes one file of losses; found {len(read.plain)}"])
    mistakes: list[str] = []
    as_json = any(none(option, mistakes) for option in read.options if option.name == "json")
    values = _settings(ScalingStage, read.options, mistakes, also=("json",))
    refuse(mistakes)
    asked = load(ScalingStage, {**values, "losses": read.plain[0]}, source="burnish scaling fit")
    fit = asked.fitted()
    if as_json:
        say(json.dumps(asked.figures(fit), indent=2))
        return
    for line in asked.lines(fit):
        say(line)


def _ladder(words: Sequence[str]) -> None:
    from burnish.stages.graph import chosen_steps, run_recipe, state_of
    from burnish.stages.ladder import Ladder, write_ladder
    from burnish.stages.recipe import read_recipe

    read = split_words(words)
    if not words or any(option.name == "help" for option in read.options):
        say(_HELP)
        for line in settings_listing(Ladder):
            say(line)
        return
    mistakes = [f"unexpected word '{word}'; settings are given as --NAME VALUE" for word in read.plain]
    places = [one(option, "DIR", mistakes) for option in read.options if option.name == "out"]
    dry_run = any(none(option, mistakes) for option in read.options if option.name == "dry_run")
    values = _settings(Ladder, read.options, mistakes, also=("out", "dry_run"))
    if not places:
        mistakes.append("--out is required: the folder of the report; type --out DIR")
    refuse(mistakes)
    ladder = load(Ladder, values, source="burnish scaling ladder")
    recipe = read_recipe(write_ladder(ladder, Path(places[-1])))
    if not dry_run:
        say(f"finished: {run_recipe(recipe, say=say)}")
        return
    for step in chosen_steps(recipe):
        say(f"{step.name:<24} {'is there' if state_of(step) == 'cached' else 'would run':<10} {step.folder}")


def _settings(cls: type, options: Sequence[Option], mistakes: list[str], *, also: Sequence[str]) -> dict[str, Any]:
    """The options but for those in `also`, as nested data."""
    hints, values = option_hints(cls), dict[str, Any]()
    for option in options:
        if option.name not in also:
            for change in change_from(option, hints, "scaling", mistakes, also=also):
                values = merged(values, change)
    return values
