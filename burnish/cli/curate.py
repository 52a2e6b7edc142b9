"""`burnish curate`: run a recipe or the stage alone, say why a document was dropped, try another threshold."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from burnish.cli import commands, stage
from burnish.cli.console import say
from burnish.cli.words import Option, Words, one, read_words, refuse, split_words
from burnish.errors import StoreError

_HELP = """burnish curate RECIPE.yaml [options of burnish run]: run a recipe
burnish curate --data SOURCE=PATH --steps "[{kind: KIND}]" --out DIR: run the stage alone, settings below
burnish curate explain DOC_ID [--run DIR]: what became of a document, and why
burnish curate what-if --step STEP --threshold X [options]: what another limit would change, without running again

  --run DIR       folder of the curation, or of a recipe that has one (default: the newest finished curation)
  --rule RULE     which rule of the step, where it has several
  --samples N     documents shown on each side (default 5)
  --workers N     processes that work, for the first two (default: one for each core)
  --ray ADDRESS   work on a Ray cluster; `local` starts one here"""

_ENVIRONMENT = {"workers": "BURNISH_WORKERS", "ray": "BURNISH_RAY"}


def curate(words: Sequence[str]) -> None:
    """`burnish curate ...`."""
    first = words[0] if words else "--help"
    if first == "explain":
        _explain(words[1:])
    elif first == "what-if":
        _what_if(words[1:])
    elif first in ("--help", "-h"):
        say(_HELP)
        stage.run("curate", ["--help"])
    else:
        rest, chosen = _machine(words)
        with _variables(chosen):
            commands.run(rest) if first.endswith((".yaml", ".yml")) else stage.run("curate", rest)


def _explain(words: Sequence[str]) -> None:
    from burnish.data.curate.explain import explain
    from burnish.data.curate.record import Curated

    read = read_words(words, _HELP, ("run",))
    if read is None:
        return
    mistakes: list[str] = []
    if len(read.plain) != 1:
        mistakes.append("burnish curate explain takes one id of a document")
    given = _values(read, mistakes)
    refuse(mistakes)
    for line in explain(Curated(_folder(given.get("run"))), read.plain[0]):
        say(line)


def _what_if(words: Sequence[str]) -> None:
    from burnish.data.curate.record import Curated
    from burnish.data.curate.what_if import what_if

    read = read_words(words, _HELP, ("run", "step", "rule", "threshold", "samples"))
    if read is None:
        return
    mistakes = [f"unexpected word '{word}'" for word in read.plain]
    given = _values(read, mistakes)
    mistakes += [f"--{name} is required" for name in ("step", "threshold") if name not in given]
    threshold = _number(given.get("threshold", "0"), "threshold", mistakes)
    samples = _number(given.get("samples", "5"), "samples", mistakes)
    refuse(mistakes)
    run = Curated(_folder(given.get("run")))
    for line in what_if(run, given["step"], threshold, rule=given.get("rule", ""), samples=int(samples)).lines():
        say(line)


def _values(read: Words, mistakes: list[str]) -> dict[str, str]:
    return {option.name: one(option, "VALUE", mistakes) for option in read.options}


def _number(text: str, name: str, mistakes: list[str]) -> float:
    try:
        return float(text)
    except ValueError:
        mistakes.append(f"--{name} is '{text}'; expected a number")
        return 0.0


def _folder(given: str | None) -> Path:
    """The folder of the curation that is meant; of a recipe's folder, the artefact of its last one.

    Raises:
        StoreError: none is named and none is found.
    """
    from burnish.store import read_record

    if given is not None:
        stages = (read_record(Path(given)) or {}).get("stages", {})
        made = [stage["folder"] for stage in stages.values() if stage["verb"] == "curate"]
        return Path(made[-1] if made else given)
    store = Path(os.environ.get("BURNISH_STORE") or commands.STORE)
    folders = [path for place in (store, Path("runs")) for path in place.glob("*/") if path.suffix != ".part"]
    records = {folder: read_record(folder) or {} for folder in folders}
    done = [f for f, r in records.items() if r.get("verb") == "curate" and r.get("state") == "finished"]
    if not done:
        raise StoreError(f"no finished curation in {store} or runs/; name its folder with --run DIR")
    newest = max(done, key=lambda folder: str(records[folder]["ended"]))
    say(f"of {newest}")
    return newest


def _machine(words: Sequence[str]) -> tuple[list[str], Mapping[str, str]]:
    """The words without those that say who works, and what these say."""
    read = split_words(words)
    mistakes: list[str] = []
    chosen = {_ENVIRONMENT[o.name]: one(o, "VALUE", mistakes) for o in read.options if o.name in _ENVIRONMENT}
    refuse(mistakes)
    rest = [*read.plain, *(word for o in read.options if o.name not in _ENVIRONMENT for word in _typed(o))]
    return rest, chosen


def _typed(option: Option) -> tuple[str, ...]:
    return (option.shown, *option.values)


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
