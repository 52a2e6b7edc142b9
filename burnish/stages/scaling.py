"""`burnish scaling`: fit a scaling law to finished pretraining runs, or to losses in a file, and plan budgets with it.

    burnish scaling --runs runs/d2 runs/d4 ... --budgets 1e18 1e20 --out runs/law
    burnish scaling --losses losses.csv --budgets 1e18 --out runs/law

A run's N is counted from its model's config, D are the tokens that it trained on, L is its last held-out loss. The file
is JSONL or CSV with `parameters`, `tokens` and `loss`, and a `name` where there is one. Writes `scores.json`, which
`burnish report` draws. `burnish.stages.ladder` makes the runs.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import Annotated, Any, ClassVar, cast

import pydantic

from burnish.config import setting, settings
from burnish.errors import ConfigError, DataError, StoreError, shown
from burnish.evals.scaling_bounds import AtBound, undetermined
from burnish.evals.scaling_fit import Fit, fit_law
from burnish.evals.scaling_law import ScalingLaw, TrainedRun, require_fitting
from burnish.reports.records import read_run
from burnish.stages.artefact import write_scores
from burnish.stages.named_paths import named_paths
from burnish.stages.stage import Plan, Stage, Work
from burnish.stats import Interval
from burnish.store import Code

_COLUMNS = ("parameters", "tokens", "loss")


def by_name(value: Any) -> Any:
    """Folders by name; one without is called by its own name."""
    return named_paths(
        value, called=lambda folder: Path(folder).name, expected="NAME=FOLDER or FOLDER, every name once"
    )


Folders = Annotated[dict[str, str], pydantic.BeforeValidator(by_name)]
Budget = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]


@settings
class ScalingStage(Stage):
    """Fit a scaling law."""

    verb: ClassVar[str] = "scaling"

    runs: Folders | None = setting(None, "finished pretraining runs with held-out losses", source=True)
    losses: str | None = setting(None, "file of parameters, tokens, loss in place of runs", source=True)
    budgets: tuple[Budget, ...] = setting((), "to be planned for, by 6 N D", unit="operations")
    resamples: int = setting(200, "drawings of the runs that intervals come from", ge=20)
    seed: int = setting(0, "of the drawings")

    def plan(self) -> Plan:
        """Read what the law would be fitted to, and check that it can be."""
        runs = self._trained()
        require_fitting(runs)
        sizes, tokens = {run.parameters for run in runs}, {run.tokens for run in runs}
        line = f"{len(runs)} runs of {len(sizes)} sizes and {len(tokens)} numbers of tokens"
        return Plan(lines=(line,), facts={"runs": [dataclasses.asdict(run) for run in runs]})

    def run(self, work: Work) -> None:
        """Fit, and write `scores.json`."""
        fit = self.fitted()
        write_scores(work, self.figures(fit))
        for line in self.lines(fit):
            work.say(line)

    def code(self) -> tuple[Code, ...]:
        """What fits and foretells."""
        return (ScalingLaw, AtBound, Fit, cast(FunctionType, fit_law))

    def fitted(self) -> Fit:
        """The law.

        Raises:
            ConfigError: neither runs nor losses are given, or both.
            DataError, StoreError: the runs cannot be read, or no law can be fitted to them.
        """
        return fit_law(self._trained(), resamples=self.resamples, seed=self.seed)

    def figures(self, fit: Fit) -> dict[str, Any]:
        """What `scores.json` holds."""
        rows = [
            {**dataclasses.asdict(run), "foretold": _plain(_foretold(fit, run.parameters, run.tokens))}
            for run in fit.runs
        ]
        no_plan = fit.unplannable
        plans = [
            {"flops": budget, **{name: _plain(value) for name, value in fit.best(budget).items()}}
            for budget in (() if no_plan else self.budgets)
        ]
        constants = {name: _plain(value) for name, value in fit.constants().items()}
        return {
            "constants": constants,
            "at_bounds": [dataclasses.asdict(one) for one in fit.at_bounds],
            "warnings": fit.warnings(),
            "flops": "6 N D",
            "runs": rows,
            "plans": plans,
            "no_plan": no_plan,
            "resamples": self.resamples,
        }

    def lines(self, fit: Fit) -> list[str]:
        """The same for people."""
        unknown = undetermined(fit.at_bounds)
        lines = [
            f"{name:<6}{_words(value)}{', not determined' if name in unknown else ''}"
            for name, value in fit.constants().items()
        ]
        lines += [f"warning: {sentence}" for sentence in fit.warnings()]
        if fit.unplannable:
            return [*lines, *(f"{budget:.3g} operations: no plan, for {fit.unplannable}" for budget in self.budgets)]
        for budget in self.budgets:
            best = fit.best(budget)
            lines.append(
                f"{budget:.3g} operations: {_words(best['parameters'])} parameters, {_words(best['tokens'])} tokens, "
                f"{_words(best['tokens_per_parameter'])} tokens per parameter, loss {_words(best['loss'])}"
            )
        return lines

    def _trained(self) -> list[TrainedRun]:
        if (self.runs is None) == (self.losses is None):
            raise ConfigError(["give either runs (folders of pretraining runs) or losses (a file)"])
        if self.losses is not None:
            return read_losses(Path(self.losses).expanduser())
        return [trained_run(name, Path(folder)) for name, folder in (self.runs or {}).items()]


def trained_run(name: str, folder: Path) -> TrainedRun:
    """The size, tokens and last held-out loss of a pretraining run.

    Raises:
        StoreError: it is not finished, did not pretrain, or looked at no held-out data at its end.
        ModelError: its model's config cannot be read.
    """
    from burnish.models.load import load_config  # transformers is slow to import, and a file of losses needs none
    from burnish.models.parameters import model_parameters

    run = read_run(folder)
    if run.verb != "pretrain" or not run.finished:
        state = "finished" if run.finished else "unfinished"
        raise StoreError(f"'{name}': {folder} is an {state} run of '{run.verb}'; expected a finished one of 'pretrain'")
    if not run.steps or "held_out_loss" not in run.steps[-1]:
        raise StoreError(f"'{name}': {folder} has no held-out loss at its end; pretrain it with --held_out_data FILE")
    return TrainedRun(
        name=name,
        parameters=model_parameters(load_config(str(folder))).total,
        tokens=run.num_tokens or 0,
        loss=run.steps[-1]["held_out_loss"],
    )


def read_losses(path: Path) -> list[TrainedRun]:
    """The runs of a JSONL or CSV file.

    Raises:
        DataError: it cannot be read, or a row lacks a number; names the row.
    """
    if path.suffix not in (".jsonl", ".csv"):
        raise DataError(f"{path} is neither .jsonl nor .csv; expected rows with {', '.join(_COLUMNS)}")
    try:
        text = path.read_text(encoding="utf-8")
        rows: Sequence[Any] = (
            list(csv.DictReader(text.splitlines()))
            if path.suffix == ".csv"
            else [json.loads(line) for line in text.splitlines() if line.strip()]
        )
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return [_row(path, number, row) for number, row in enumerate(rows, start=1)]


def _row(path: Path, number: int, row: Any) -> TrainedRun:
    try:
        values = {name: float(row[name]) for name in _COLUMNS}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}, row {number}: found {shown(row)}; expected numbers {', '.join(_COLUMNS)}") from error
    return TrainedRun(name=str(row.get("name") or f"row {number}"), **values)


def _foretold(fit: Fit, parameters: float, tokens: float) -> Interval:
    return fit.interval(lambda law: law.loss(parameters, tokens))


def _plain(value: Interval) -> Mapping[str, float]:
    return {"estimate": value.estimate, "low": value.low, "high": value.high, "count": value.count}


def _words(value: Interval) -> str:
    return f"{value.estimate:.4g} ({value.low:.4g} to {value.high:.4g})"
