"""The verbs about recipes and artefacts: run a recipe, explain a key, collect garbage."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.cli.console import say
from burnish.cli.options import change_from_set
from burnish.cli.words import Words, none, one, read_words, refuse

if TYPE_CHECKING:
    from burnish.stages.recipe import Recipe

STORE = Path("runs/store")

_RUN = """burnish run RECIPE.yaml [options]: run the stages whose artefacts are missing, then publish

  --quick            run the recipe's quick form: smaller numbers, into a folder of its own
  --dry-run          show which stages would run and which are there, with their keys, and stop; burnish plan
                     RECIPE.yaml adds what they would cost
  --until STAGE      run this stage and what it needs
  --set NAME=VALUE   change the recipe, such as --set stages.sft.steps=5; may be repeated"""

_EXPLAIN = """burnish explain KEY [KEY] [--store DIR]: what an artefact was made of, or in what two of them differ

  KEY            a folder, or the beginning of a key or of a folder's name in the store
  --store DIR    folder of the artefacts (default runs/store, or the variable BURNISH_STORE)"""

_GC = """burnish gc [RECIPE.yaml ...] [options]: list artefacts that none of the recipes names, and unfinished ones

  --store DIR    folder of the artefacts (default: those of the recipes)
  --delete       remove them

Without recipes, those in recipes/ are taken. Artefacts of a recipe's quick form stay, and so does an unfinished
artefact of one of the recipes."""


@dataclass(frozen=True, kw_only=True)
class RecipeWords:
    """What was asked for about a recipe.

    Attributes:
        recipe: read and resolved.
        until: the last stage, "" for all.
        dry_run: as given.
    """

    recipe: Recipe
    until: str
    dry_run: bool


def run(words: Sequence[str]) -> None:
    """`burnish run RECIPE.yaml`."""
    from burnish.stages.graph import check_plans, chosen_steps, run_recipe, state_of

    asked = recipe_words(words, _RUN)
    if asked is None:
        return
    if not asked.dry_run:
        out = run_recipe(asked.recipe, until=asked.until, say=say)
        say(f"finished: {out}")
        return
    words_of = {"cached": "is there", "unfinished": "goes on", "new": "would run"}
    steps = chosen_steps(asked.recipe, asked.until)
    plans = check_plans(steps)
    for step in steps:
        say(f"{step.name:<20} {words_of[state_of(step)]:<10} {step.folder}")
        for line in plans.get(step.name, ()):
            say(f"{'':<20} {line}")


def recipe_words(words: Sequence[str], text: str) -> RecipeWords | None:
    """Read a recipe and what is asked of it; prints `text` and returns None if help is asked for.

    Raises:
        ConfigError: lists every mistake, in the words and in the recipe.
    """
    from burnish.stages.recipe import read_recipe

    read = read_words(words, text, ("quick", "dry_run", "until", "set"))
    if read is None:
        return None
    mistakes: list[str] = []
    changes: list[dict[str, Any]] = []
    until, dry_run, quick = "", False, False
    for option in read.options:
        if option.name == "quick":
            quick = none(option, mistakes)
        elif option.name == "dry_run":
            dry_run = none(option, mistakes)
        elif option.name == "until":
            until = one(option, "STAGE", mistakes)
        elif option.name == "set":
            changes += [change_from_set(text, {}, mistakes) for text in option.values]
    if len(read.plain) != 1:
        mistakes.append(f"burnish run takes one recipe; found {len(read.plain)}: {' '.join(read.plain)}".rstrip(": "))
    refuse(mistakes)
    return RecipeWords(recipe=read_recipe(Path(read.plain[0]), changes, quick=quick), until=until, dry_run=dry_run)


def explain(words: Sequence[str]) -> None:
    """`burnish explain KEY [KEY]`."""
    from burnish.store import explain as explained
    from burnish.store import find

    read = read_words(words, _EXPLAIN, ("store",))
    if read is None:
        return
    mistakes: list[str] = []
    store = _store(read, mistakes)
    if len(read.plain) not in (1, 2):
        mistakes.append("burnish explain takes one or two keys or folders")
    refuse(mistakes)
    for line in explained(*(find(name, store) for name in read.plain)):
        say(line)


def gc(words: Sequence[str]) -> None:
    """`burnish gc [RECIPE.yaml ...]`."""
    from burnish.stages.recipe import recipe_forms
    from burnish.store import collect, garbage

    read = read_words(words, _GC, ("store", "delete"))
    if read is None:
        return
    mistakes: list[str] = []
    delete = any(none(option, mistakes) for option in read.options if option.name == "delete")
    paths = [Path(name) for name in read.plain] or sorted(Path("recipes").glob("*.yaml"))
    if not paths:
        mistakes.append("name the recipes whose artefacts stay: burnish gc RECIPE.yaml ...")
    given = _store(read, mistakes)
    refuse(mistakes)
    recipes = [recipe for path in paths for recipe in recipe_forms(path)]
    stores = {given} if any(option.name == "store" for option in read.options) else {r.store for r in recipes}
    named = {step.folder.name for recipe in recipes for step in recipe.steps}
    items = [item for store in sorted(stores) for item in garbage(store, named)]
    for item in items:
        say(f"{item.num_bytes / 1e6:10.1f} MB  {item.folder}  ({item.why})")
    total = sum(item.num_bytes for item in items) / 1e6
    if not delete:
        say(f"{len(items)} folders, {total:.1f} MB would go; type --delete to remove them")
        return
    gone = collect(items)
    say(f"removed {len(gone)} of {len(items)} folders")


def _store(read: Words, mistakes: list[str]) -> Path:
    for option in read.options:
        if option.name == "store":
            return Path(one(option, "DIR", mistakes))
    return Path(os.environ.get("BURNISH_STORE") or STORE)
