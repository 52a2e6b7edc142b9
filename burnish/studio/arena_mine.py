"""A person's own votes in an arena, as they saw them: what was said up to the vote, and who the models were.

The names are told, as they were right after the first vote of the conversation.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish.studio.arena import turns
from burnish.studio.tables import Conversation, Person, Project, Turn, Vote


def my_votes(session: Session, project: Project, person: Person, *, limit: int = 50) -> list[dict[str, Any]]:
    """A person's newest votes in an arena, the last first.

    Each is `{vote, conversation, language, turns: [{text, left, right}], content: {better, both_bad}, models: {left,
    right}, guideline_version, created_at}`.
    """
    query = (
        select(Vote, Turn, Conversation)
        .join(Turn, Turn.id == Vote.turn_id)
        .join(Conversation, Conversation.id == Turn.conversation_id)
        .where(Conversation.project_id == project.id, Vote.person_id == person.id)
    )
    rows = session.execute(query.order_by(Vote.id.desc()).limit(limit)).all()
    return [_as_seen(session, vote, turn, conversation) for vote, turn, conversation in rows]


def _as_seen(session: Session, vote: Vote, turn: Turn, conversation: Conversation) -> dict[str, Any]:
    said = [
        {"text": one.text, "left": one.left_text, "right": one.right_text}
        for one in turns(session, conversation)
        if one.number <= turn.number
    ]
    return {
        "vote": vote.id,
        "conversation": conversation.id,
        "language": conversation.language,
        "turns": said,
        "content": {"better": vote.better, "both_bad": vote.both_bad},
        "models": {"left": conversation.left, "right": conversation.right},
        "guideline_version": vote.guideline_version,
        "created_at": vote.created_at,
    }
