"""`burnish studio-export`: take the judgements that people of a studio agreed on, as data for the trainers.

    votes: {use: studio-export, project: gems}
    reward: {use: reward, model: "@start/model", data: "@votes/examples.jsonl", heads: 4}

The artefact is known by what goes in, not by the database's file: new votes that change an outcome make a new one, and
votes that change none, sign-ins and open work do not. One state of the database is read, once, when the run is planned,
so what is written is what the key says, even if people go on voting meanwhile. Every example carries its provenance in
the column `studio` (see `burnish.studio.shapes`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from types import FunctionType
from typing import ClassVar, Literal

from burnish.config import setting, settings
from burnish.errors import DataError, MissingExtra
from burnish.example import Example, example_dict
from burnish.stages.artefact import write_examples
from burnish.stages.stage import Plan, Stage, Work
from burnish.store import Code

PLACE = "folder of a studio, its database file, postgresql://..., or env:VARIABLE that holds such an address"
FITTING: Mapping[str, str] = {
    "compare": "preferences",
    "rank": "rankings",
    "rate": "rankings",
    "arena": "preferences",
    "thumbs": "unpaired",
    "demonstrate": "demonstrations",
    "reformulate": "prompts",
    "create": "prompts",
    "evaluate": "prompts",
}
"""The shape that fits each kind of work."""


@settings
class StudioExportStage(Stage):
    """Take a project's agreed judgements."""

    verb: ClassVar[str] = "studio-export"

    studio: str = setting("runs/studio", PLACE, source=True)
    project: str = setting(..., "name of the project, as it stands in addresses", min_length=1)
    shape: Literal["preferences", "rankings", "unpaired", "demonstrations", "prompts"] | None = setting(
        None, "what to make of the judgements; what fits the kind of work if not given"
    )
    agreement: float = setting(0.0, "least weight of agreement of what is taken", ge=0, le=1)

    def plan(self) -> Plan:
        """Count what there is."""
        count = len(self._wanted())
        line = f"{count} examples of the project '{self.project}' in {self.studio}"
        return Plan(lines=(line,), facts={"examples": count})

    def run(self, work: Work) -> None:
        """Write the examples."""
        examples = self._wanted()
        write_examples(work, examples)
        people = {vote["pseudonym"] for example in examples for vote in example.columns["studio"]["votes"]}
        votes = sum(len(example.columns["studio"]["votes"]) for example in examples)
        work.record({"studio": {"examples": len(examples), "votes": votes, "people": len(people)}})
        work.say(f"{len(examples)} examples from {votes} judgements by {len(people)} people")

    def contents(self) -> Mapping[str, str]:
        """The key of the examples."""
        return {"studio": digest(self._taken)}

    def code(self) -> tuple[Code, ...]:
        """What makes examples of judgements."""
        from burnish.studio.agreed import Outcome
        from burnish.studio.arena_shapes import arena_examples
        from burnish.studio.shapes import Judged

        assert isinstance(arena_examples, FunctionType)
        return (Outcome, Judged, arena_examples)

    @cached_property
    def _taken(self) -> tuple[Example, ...]:
        """The examples of the one state that is read."""
        require_studio()
        from burnish.studio.place import studio_at
        from burnish.studio.projects import project_named
        from burnish.studio.refusals import Invalid
        from burnish.studio.shapes import examples

        with studio_at(self.studio) as database, database.read() as session:
            project = project_named(session, self.project)
            shape = self.shape or FITTING.get(project.kind)
            if shape is None:
                raise Invalid("kind", f"work of the kind '{project.kind}' makes no data for the trainers")
            made = tuple(examples(session, project, shape))
        return tuple(one for one in made if one.columns["studio"]["agreement"] >= self.agreement)

    def _wanted(self) -> tuple[Example, ...]:
        if not self._taken:
            raise DataError(
                f"the project '{self.project}' in {self.studio} has no judgements to take yet (open, disputed and gold "
                f"items and agreement below {self.agreement:g} are left out); judge and decide, then run again"
            )
        return self._taken


def digest(examples: Iterable[Example]) -> str:
    """The key of examples out of a studio."""
    total = hashlib.sha256()
    for example in examples:
        total.update(json.dumps(example_dict(example), ensure_ascii=False, sort_keys=True).encode() + b"\n")
    return f"studio:{total.hexdigest()}"


def require_studio() -> None:
    """Check that what the studio needs is installed.

    Raises:
        MissingExtra: it is not; names the command.
    """
    try:
        import alembic  # noqa: F401
        import argon2  # noqa: F401
        import sqlalchemy  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "sqlalchemy", "studio") from error
