"""The exceptions that Burnish raises, as one tree.

    BurnishError
    ├── ConfigError      a setting is unknown, of the wrong type or out of range; lists every mistake at once
    ├── DataError        a row or a file cannot be read
    │   └── BadRow       one row: file, line, field, what was found, what is allowed
    ├── TemplateError    a chat template breaks a promise that training relies on
    ├── ModelError       a model cannot be loaded, saved, merged or run in the layout asked for
    ├── TrainingError    a run has to stop
    │   ├── NonFinite    a loss or gradient is NaN or infinite; names the examples
    │   ├── Stopped      a signal asked the run to stop; its state is saved
    │   └── OverBudget   a group that must stay whole does not fit the token budget; names the budget it needs
    ├── GraderError      a grader could not score a completion; names the example and the cause
    │   └── WrongCount   a grader gave more or fewer grades than it got answers
    ├── EndpointError    an endpoint gave no usable reply; names its URL, the status and the beginning of the body
    ├── StoreError       a folder or artefact is not in the state that was asked for
    │   ├── Busy         another process works in the folder
    │   ├── Finished     the run in the folder is complete already
    │   └── Changed      the unfinished run in the folder was started with other settings or data
    ├── RankFailed       another process of the run failed, and said why
    │   └── RankLost     another process of the run is gone without a word
    ├── WorkersLost      the processes that sample have ended, more often than they may be replaced; says how
    └── MissingExtra     an optional dependency is needed; names the install command

Every message says what happened with the value found, what is allowed, and what to type.
"""

from __future__ import annotations

from collections.abc import Sequence


class BurnishError(Exception):
    """Root of all errors that Burnish raises on purpose. The command line prints it without a traceback."""


class ConfigError(BurnishError):
    """One or more settings are wrong. `mistakes` holds one line per mistake."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        count = len(self.mistakes)
        head = "1 mistake in the settings:" if count == 1 else f"{count} mistakes in the settings:"
        super().__init__("\n".join([head, *(f"  - {mistake}" for mistake in self.mistakes)]))


class DataError(BurnishError):
    """A data file or folder cannot be read as examples."""


class BadRow(DataError):
    """One row cannot be read.

    Args:
        file: path or name of the source.
        line: 1-based line (JSONL, CSV) or row number (JSON, Parquet, datasets).
        field: dotted name of the field at fault, such as `messages[2].role`.
        found: what stands there, shortened by `shown`.
        allowed: what may stand there, as the end of the phrase "expected ...".
    """

    def __init__(self, *, file: str, line: int, field: str, found: str, allowed: str) -> None:
        self.file, self.line, self.field, self.found, self.allowed = file, line, field, found, allowed
        super().__init__(f"{file}, row {line}, field '{field}': found {found}; expected {allowed}")


class TemplateError(BurnishError):
    """A chat template breaks a promise that training relies on (see `burnish.text`)."""


class ModelError(BurnishError):
    """A model cannot be loaded, saved, merged or run in the layout asked for."""


class TrainingError(BurnishError):
    """A run has to stop; nothing was updated by the step that raised it."""


class NonFinite(TrainingError):
    """A loss or gradient is NaN or infinite. Raised before the update."""


class Stopped(TrainingError):
    """A signal asked the run to stop. Its state is saved; the same command goes on."""


class OverBudget(TrainingError):
    """A group that must stay whole has more tokens than a micro-batch may hold."""


class GraderError(BurnishError):
    """A grader could not score a completion."""


class WrongCount(GraderError):
    """A grader gave more or fewer grades than it got answers, so that nobody knows which grade is whose."""


class EndpointError(BurnishError):
    """An endpoint gave no usable reply, after as many tries as it was to get.

    Args:
        message: names the URL, never the key, and says what came back.
        place: which of the conversations that were asked together, counted from 0; None if it concerns all of them.
    """

    def __init__(self, message: str, *, place: int | None = None) -> None:
        self.place = place
        super().__init__(message)


class StoreError(BurnishError):
    """A run folder or artefact is not in the state that was asked for."""


class Busy(StoreError):
    """Another process works in the same folder."""


class Finished(StoreError):
    """The run in the folder is complete; nothing was done."""


class Changed(StoreError):
    """The unfinished run in the folder was started with other settings or data."""


class RankFailed(BurnishError):
    """Another process of the run failed, so this one ends too; the message is the other's."""


class RankLost(RankFailed):
    """Another process of the run is gone without a word: killed, out of memory, or its machine is lost."""


class WorkersLost(BurnishError):
    """The processes that sample have ended, more often than they may be replaced."""


class MissingExtra(BurnishError):
    """An optional dependency is not installed.

    Args:
        package: the module that is missing.
        extra: the extra of Burnish that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs the package '{package}'; install it with: pip install 'burnish[{extra}]'")


def shown(value: object, *, limit: int = 60) -> str:
    """Return `value` as it can stand in a message: its repr, cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
