"""`burnish python-docs`: documents from the Python that runs, to try the data engine on without a download."""

from __future__ import annotations

import json
from pathlib import Path
from types import FunctionType
from typing import ClassVar, cast

from burnish.config import setting, settings
from burnish.data.curate.python_docs import TOPICS, python_docs, topics_in
from burnish.stages.stage import Plan, Stage, Work
from burnish.store import Code

DOCUMENTS = "documents.jsonl"


@settings
class PythonDocsStage(Stage):
    """Write Python's own documentation as documents."""

    verb: ClassVar[str] = "python-docs"

    topics: str = setting(
        str(TOPICS),
        "pydoc_data/topics.py of a Python; its library is read too (default: of the running one)",
        source=True,
    )

    def plan(self) -> Plan:
        """Read the topics; the library is left for the run."""
        count = len(topics_in(Path(self.topics)))
        return Plan(lines=(f"{count} topics, and the docstrings of the library around them",), facts={"topics": count})

    def run(self, work: Work) -> None:
        """Write `documents.jsonl`."""
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in python_docs(Path(self.topics))]
        (work.out / DOCUMENTS).write_text("".join(lines), encoding="utf-8")
        count = len(lines)
        work.record({"documents": count})
        work.say(f"{count:,} documents in {work.out / DOCUMENTS}")

    def code(self) -> tuple[Code, ...]:
        """What finds the texts."""
        return (cast(FunctionType, python_docs),)
