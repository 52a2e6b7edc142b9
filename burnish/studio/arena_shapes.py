"""What the arena's votes become: pairs of whole dialogues that begin with the same turn of the person.

    prompt        the person's first turn
    completions   all that followed on each side, up to the answer that was voted on

The answer that won has rank 0, the other 1; both of a tie have 0. Which model it was stands in `policy_version`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish.example import Completion, Example, Message, assistant, user
from burnish.studio.arena import Side, said_by, turns
from burnish.studio.clock import iso
from burnish.studio.tables import Conversation, Person, Project, Turn, Vote


def arena_examples(session: Session, project: Project, *, ties: bool) -> Iterator[Example]:
    """One example for each vote, in the order in which they came.

    Args:
        session: a transaction that reads.
        project: an arena.
        ties: whether votes for neither side become examples of equal ranks.
    """
    query = (
        select(Vote, Turn, Conversation, Person.pseudonym)
        .join(Turn, Turn.id == Vote.turn_id)
        .join(Conversation, Conversation.id == Turn.conversation_id)
        .join(Person, Person.id == Vote.person_id)
        .where(Conversation.project_id == project.id)
        .order_by(Vote.id)
    )
    for vote, turn, conversation, pseudonym in session.execute(query):
        if vote.better is None and not ties:
            continue
        said = [one for one in turns(session, conversation) if one.number <= turn.number]
        columns = {"studio": _provenance(project, vote, turn, conversation, pseudonym)}
        yield Example(
            id=f"arena-{conversation.id}-{turn.number}",
            prompt=(user(said[0].text),),
            completions=(
                _side(said, "left", conversation.left, vote),
                _side(said, "right", conversation.right, vote),
            ),
            columns=columns,
        )


def _side(said: Sequence[Turn], side: Side, model: str, vote: Vote) -> Completion:
    messages: list[Message] = []
    for turn in said:
        messages += [user(turn.text), assistant(said_by(turn, side) or "")]
    rank = int(vote.better is not None and vote.better != side)
    return Completion(messages=tuple(messages[1:]), rank=rank, policy_version=model)


def _provenance(project: Project, vote: Vote, turn: Turn, conversation: Conversation, pseudonym: str) -> dict[str, Any]:
    ballot = {
        "vote": vote.id,
        "pseudonym": pseudonym,
        "content": {"better": vote.better, "both_bad": vote.both_bad},
        "at": iso(vote.created_at),
        "seconds": vote.seconds,
        "guideline_version": vote.guideline_version,
    }
    return {
        "project": project.slug,
        "kind": project.kind,
        "item": f"arena-{conversation.id}-{turn.number}",
        "language": conversation.language,
        "lineage": [],
        "agreement": 1.0,
        "decided_by": "each",
        "votes": [ballot],
    }
