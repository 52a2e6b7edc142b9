"""The contract of a stage: typed inputs, a frozen config, an artefact.

A stage is a settings class with a verb and a `run`. `burnish VERB --field value --out DIR` runs one stage into a
folder; a recipe runs a graph of them, each artefact addressed by content. Both call `run` with the same `Work`.

What an artefact folder holds, by convention:

    model/            a Hugging Face directory, if the stage makes a model
    examples.jsonl    examples in the library's own format, if the stage makes data
    metrics.jsonl     one line per step, if the stage trains
    scores.json       figures, if the stage measures
    run.json          resolved config, versions, keys of inputs, state; written by the runner, never by a stage

A field that names a model or data is marked `source=True`. Its value is what the user wrote (a hub name, a path, a
file, another run's folder); in a recipe `@name` stands for the artefact of the stage of that name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from burnish.store import Code


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a running stage is given.

    Attributes:
        out: the folder of the artefact. It may hold what a killed try left; a stage goes on from there or starts over.
        say: prints one line for the user.
        record: adds facts to `run.json`, such as `{"template_hash": ...}`; written at once. A mapping is merged with
            what stands under its name (`numerics` holds the thread count already); the runner's own names are refused.
        resume: whether `out` may hold an unfinished try of the same settings.
        leads: whether this process writes into `out`. Where several share the work of a stage, the others compute
            along and write nothing but their share of a checkpoint; `say` and `record` do nothing there.
    """

    out: Path
    say: Callable[[str], None]
    record: Callable[[Mapping[str, Any]], None]
    resume: bool = False
    leads: bool = True


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `--dry-run` shows: everything that can be found out before any work.

    Attributes:
        lines: for people.
        facts: the same as data.
    """

    lines: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class Stage(ABC):
    """A unit of work with a frozen config.

    Class attributes:
        verb: the name on the command line and in recipes.
        growable: fields that may be raised when a run is resumed, or continued after its end.
        shared: whether several processes share its work; `run` is then called in each of them. Any other stage runs on
            rank 0, and the others wait for it.
    """

    verb: ClassVar[str]
    growable: ClassVar[tuple[str, ...]] = ()
    shared: ClassVar[bool] = False

    @abstractmethod
    def run(self, work: Work) -> None:
        """Do the work into `work.out`.

        Raises:
            BurnishError: something has to be changed by the user first.
        """

    def plan(self) -> Plan:
        """Check everything that can be checked before any work (inputs exist, columns are there, sizes fit).

        Called by a dry run, before `--overwrite` moves a run away, and in a recipe for every stage whose inputs exist
        before the first one works. `run` is not preceded by it elsewhere, and checks for itself.

        Raises:
            BurnishError: the run could not succeed.
        """
        return Plan()

    def contents(self) -> Mapping[str, str]:
        """Keys of the content of inputs that are no files, such as what a database holds, by the setting's dotted name.

        Every other input is known by the file, folder or artefact that it names.
        """
        return {}

    def code(self) -> tuple[Code, ...]:
        """What, besides the stage's own class, has its source in the identity of the artefact: the objective, a user's
        own grader. Classes and functions."""
        return ()
