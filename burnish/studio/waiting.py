"""Items that wait for judgements, as examples: what an ensemble of reward models looks at to say what comes first."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import null, select
from sqlalchemy.orm import Session

from burnish.example import Completion, Example, messages_from
from burnish.studio.kinds import kind_named
from burnish.studio.refusals import Invalid
from burnish.studio.tables import Item, Project

_FEWEST = 2


def waiting(session: Session, project: Project) -> Iterator[Example]:
    """The open items of a project that have two answers or more, in the order of import; gold ones are left out.

    The id of an example is the item's key, by which `set_priorities` knows it.

    Raises:
        Invalid: work of this kind compares no answers.
    """
    if kind_named(project.kind).most < _FEWEST or project.kind == "spans":
        raise Invalid("kind", f"work of the kind '{project.kind}' compares no answers; expected compare, rank or rate")
    ordinary = (Item.project_id == project.id, Item.gold.is_(null()), Item.state == "open")
    for item in session.scalars(select(Item).where(*ordinary).order_by(Item.id)):
        if len(item.answers) >= _FEWEST:
            yield Example(
                id=item.key,
                prompt=messages_from(item.prompt, field="prompt", file="the studio", line=0),
                completions=tuple(
                    Completion(
                        messages=messages_from(answer["messages"], field="messages", file="the studio", line=0),
                        policy_version=answer["model"],
                    )
                    for answer in item.answers
                ),
                columns={"language": item.language},
            )
