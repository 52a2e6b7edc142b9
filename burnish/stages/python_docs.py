"""`burnish python-docs`: documents from the Python that runs, to try the data engine on without a download."""

from __future__ import annotations

import json
from pathlib import Path
from types import FunctionType
from typing import Annotated, Any, ClassVar, Literal, cast

import pydantic

from burnish.config import setting, settings
from burnish.data.curate.python_docs import TOPICS, python_docs, topics_in
from burnish.stages.stage import Plan, Stage, Work
from burnish.store import Code

DOCUMENTS = "documents.jsonl"
RUNNING = "running"


def resolved(value: Any) -> Any:
    """The file that `running` stands for: what it holds belongs to the identity of a run."""
    return str(TOPICS) if value == RUNNING else value


Topics = Annotated[str, pydantic.BeforeValidator(resolved)]


@settings
class PythonDocsStage(Stage):
    """Write Python's own documentation as documents."""

    verb: ClassVar[str] = "python-docs"

    topics: Topics = setting(
        RUNNING,
        "pydoc_data/topics.py of a Python, whose library is read too; 'running' is that of the running one",
        source=True,
        validate_default=True,
    )
    only: Literal["topics", "modules"] | None = setting(None, "one of the two sources alone, as a domain of its own")

    def plan(self) -> Plan:
        """Read the topics; the library is left for the run."""
        count = len(topics_in(Path(self.topics)))
        return Plan(lines=(f"{count} topics, and the docstrings of the library around them",), facts={"topics": count})

    def run(self, work: Work) -> None:
        """Write `documents.jsonl`."""
        rows = (row for row in python_docs(Path(self.topics)) if self.only in (None, row["source"]))
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (work.out / DOCUMENTS).write_text("".join(lines), encoding="utf-8")
        count = len(lines)
        work.record({"documents": count})
        work.say(f"{count:,} documents in {work.out / DOCUMENTS}")

    def code(self) -> tuple[Code, ...]:
        """What finds the texts."""
        return (cast(FunctionType, python_docs),)
