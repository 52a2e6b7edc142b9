"""The command line: `burnish VERB ...`. One verb per stage kind, and a few more.

    words.py       the words of a command line, grouped by option
    options.py     options as changes to settings
    stage.py       one verb per stage kind: options made from its settings, dry run, run
    listing.py     `--help`, made from settings
    commands.py    run, explain, gc
    plan.py        what a stage or a recipe would do and cost
    talk.py        data inspect, chat
    curate.py      curate: a recipe, explain, what-if
    tokens.py      tokenise: the stage, where
    scaling.py     scaling: the stage, a ladder of models, a fit to losses that are given
    studio.py      studio: serve, backup, restore, invite
    doctor.py      what this machine can do

Errors that Burnish raises on purpose are printed without a traceback (`--debug` shows it). Exit codes: 0 done, 1 it
failed, 2 the settings or the words are wrong, 130 Ctrl-C, 143 stopped by SIGTERM with its state saved.

Under torchrun the words are the same: stages and recipes run in all of its processes, anything else in the first.
"""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType

from burnish import __version__
from burnish.cli import commands, curate, doctor, plan, scaling, stage, studio, talk, tokens
from burnish.cli.console import errors, say
from burnish.config import nearest
from burnish.errors import BurnishError, ConfigError, Stopped
from burnish.memory import keep_freed_memory
from burnish.processes import exit_code, first_launched, is_broken, joined, speaks
from burnish.stages.registry import STAGES

COMMANDS: Mapping[str, tuple[Callable[[Sequence[str]], None], str]] = {
    "run": (commands.run, "run a recipe: a graph of stages"),
    "plan": (plan.run, "show what a stage or a recipe would do and cost, and whether it fits"),
    "chat": (talk.chat, "talk to a model"),
    "curate": (curate.curate, "curate by a recipe; why a document was dropped; what another threshold would change"),
    "tokenise": (tokens.tokenise, "turn documents into token files; which document holds a training token"),
    "scaling": (scaling.scaling, "train a ladder of small models, fit a scaling law, plan a budget"),
    "data": (talk.data, "look at data: format, counts, lengths, loss mask"),
    "studio": (studio.studio, "open the web app in which people write and judge data"),
    "explain": (commands.explain, "show what an artefact was made of, or how two differ"),
    "gc": (commands.gc, "remove artefacts that no recipe names"),
    "doctor": (doctor.run, "show what this machine can do"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    Args:
        argv: the words after `burnish`; those of the process if None.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    keep_freed_memory()
    try:
        with _orderly_end(), _several(words):
            return _dispatch(words)
    except KeyboardInterrupt:
        if speaks():
            errors.print("stopped; the same command goes on where it was", markup=False)
        return exit_code(130)
    except BurnishError as error:
        if debug:
            raise
        if speaks():
            errors.print(f"burnish: {error}", markup=False, highlight=False, soft_wrap=True)
        return exit_code(_exit_code(error))
    except Exception:
        if not is_broken():
            raise
        traceback.print_exc()
        return exit_code(1)


def _runs(words: Sequence[str]) -> bool:
    """Whether the words run a stage or a recipe."""
    return bool(words) and (words[0] in STAGES or words[0] == "run" or ":" in words[0])


def _several(words: Sequence[str]) -> AbstractContextManager[object]:
    """Meet the other processes of a launcher, for work that they share."""
    return joined() if _runs(words) else nullcontext()


def _exit_code(error: BurnishError) -> int:
    if isinstance(error, Stopped):
        return 143
    return 2 if isinstance(error, ConfigError) else 1


def _dispatch(words: Sequence[str]) -> int:
    if not _runs(words) and not first_launched():
        return 0
    if not words or words[0] in ("-h", "--help", "help"):
        say(overview())
        return 0 if words else 2
    verb, rest = words[0], words[1:]
    if verb == "--version":
        say(f"burnish {__version__}")
    elif verb in COMMANDS:
        COMMANDS[verb][0](rest)
    elif verb in STAGES or ":" in verb:
        stage.run(verb, rest)
    else:
        raise ConfigError([f"there is no command '{verb}'; {nearest(verb, [*COMMANDS, *STAGES])}"])
    return 0


def overview() -> str:
    """What `burnish --help` shows."""
    lines = [f"burnish {__version__}: from raw text to a polished assistant", "", "stages, each into its own --out:"]
    lines += [f"  burnish {verb:<16} {entry.summary}" for verb, entry in STAGES.items()]
    lines += [f"  {'burnish FILE.py:CLASS':<24} a stage of your own", "", "more:"]
    lines += [f"  burnish {verb:<16} {summary}" for verb, (_, summary) in COMMANDS.items()]
    lines += ["", "burnish VERB --help lists every option; --debug shows tracebacks; --version"]
    return "\n".join(lines)


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Let SIGTERM end the process through its `finally` blocks; training has a handler of its own meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
