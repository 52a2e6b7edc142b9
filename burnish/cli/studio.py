"""`burnish studio`: serve it, back it up, restore it, invite somebody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.cli.console import say
from burnish.cli.listing import settings_listing
from burnish.cli.options import change_from, option_hints
from burnish.cli.words import Option, Words, none, one, refuse, split_words
from burnish.config import load, merged, nearest
from burnish.errors import MissingExtra

if TYPE_CHECKING:
    from burnish.studio.settings import StudioSettings

_HELP = """burnish studio [options]: open the web app in which people write and judge data
burnish studio backup [FILE] [options]: save its data in FILE.db or FILE.jsonl, while people work
burnish studio restore FILE [options]: put a backup into a studio that has no data
burnish studio invite --role ROLE [--languages TAG ...] [options]: print a link with which one person joins

  --demo               serve sample work, in runs/studio-demo unless --folder says otherwise
  --role ROLE          annotator, reviewer or admin (default annotator)
  --languages TAG ...  languages of the person, such as en is"""

_PLAIN = ("serve", "backup", "restore", "invite")


def studio(words: Sequence[str]) -> None:
    """`burnish studio ...`."""
    try:
        import argon2  # noqa: F401
        import fastapi  # noqa: F401
        import sqlalchemy  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "fastapi", "studio") from error
    from burnish.studio.settings import StudioSettings

    read = split_words(words)
    if any(option.name == "help" for option in read.options):
        say("\n".join([_HELP, *settings_listing(StudioSettings)]))
        return
    verb, rest = (read.plain[0], read.plain[1:]) if read.plain else ("serve", ())
    if verb not in _PLAIN:
        refuse([f"there is no burnish studio {verb}; {nearest(verb, _PLAIN)}"])
    own = {option.name: option for option in read.options if option.name in ("demo", "role", "languages")}
    mistakes = [f"--{name} does not go with burnish studio {verb}" for name in own if name not in _OWN[verb]]
    mistakes += [f"unexpected word '{word}'" for word in rest[_MOST_WORDS[verb] :]]
    demo = "demo" in own and none(own["demo"], mistakes)
    settings = _settings(read, own, demo, mistakes)
    _VERBS[verb](settings, rest, own, mistakes)


def _settings(read: Words, own: Mapping[str, Option], demo: bool, mistakes: list[str]) -> StudioSettings:
    from burnish.studio.settings import StudioSettings

    hints = option_hints(StudioSettings)
    changes: dict[str, Any] = {"folder": "runs/studio-demo"} if demo else {}
    for option in read.options:
        if option.name not in own:
            for change in change_from(option, hints, "studio", mistakes, also=("demo", "role", "languages")):
                changes = merged(changes, change)
    refuse(mistakes)
    return load(StudioSettings, changes)


def _serve(settings: StudioSettings, rest: Sequence[str], own: Mapping[str, Option], mistakes: list[str]) -> None:
    from burnish.studio.serve import serve

    serve(settings, demo="demo" in own, say=say)


def _backup(settings: StudioSettings, rest: Sequence[str], own: Mapping[str, Option], mistakes: list[str]) -> None:
    from burnish.studio.app import backup_path
    from burnish.studio.backup import backup
    from burnish.studio.clock import wall_clock
    from burnish.studio.database import Database

    with closing(Database(settings.database_url)) as database:
        path = Path(rest[0]) if rest else backup_path(settings, database, wall_clock())
        say(f"saved in {backup(database, path)}")


def _restore(settings: StudioSettings, rest: Sequence[str], own: Mapping[str, Option], mistakes: list[str]) -> None:
    from burnish.store import locked
    from burnish.studio.backup import restore
    from burnish.studio.database import Database

    if not rest:
        refuse(["burnish studio restore takes one file: a backup"])
    with locked(settings.path), closing(Database(settings.database_url)) as database:
        restore(database, Path(rest[0]))
    say(f"restored into {settings.folder}; its schema is brought up to date when it starts")


def _invite(settings: StudioSettings, rest: Sequence[str], own: Mapping[str, Option], mistakes: list[str]) -> None:
    from burnish.studio.app import open_studio
    from burnish.studio.serve import invitation

    role = one(own["role"], "ROLE", mistakes) if "role" in own else "annotator"
    refuse(mistakes)
    opened = open_studio(settings)
    with closing(opened.database), opened.database.write() as session:
        languages = own["languages"].values if "languages" in own else ()
        say(invitation(opened, session, role=role, languages=languages))


Verb = Callable[["StudioSettings", Sequence[str], Mapping[str, Option], list[str]], None]
_VERBS: Mapping[str, Verb] = {"serve": _serve, "backup": _backup, "restore": _restore, "invite": _invite}
_OWN: Mapping[str, tuple[str, ...]] = {"serve": ("demo",), "backup": (), "restore": (), "invite": ("role", "languages")}
_MOST_WORDS: Mapping[str, int] = {"serve": 0, "backup": 1, "restore": 1, "invite": 0}
