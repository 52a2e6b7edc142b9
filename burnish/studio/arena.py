"""The arena: one person chats with two hidden models side by side, and votes after any turn.

    start     two models of the project are drawn, and which stands on which side
    say       the person's next turn; each side's model hears its own side of the conversation
    answer    what a model answered, written once; the caller asks the model with what `heard` gives
    vote      left, right, a tie, or a tie in which both are bad; once a turn, idempotent by client id
    reveal    the models' names, once a turn was voted on

What a side said before, wins or losses notwithstanding, stays that side's. Votes follow the rules of judgements: the
same client id with the same content is the same vote, and nothing is updated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from burnish.studio.contents import legible
from burnish.studio.judgements import checked_client_id, checked_seconds
from burnish.studio.options import options_from
from burnish.studio.projects import guideline_version
from burnish.studio.refusals import Conflict, Invalid, Unknown
from burnish.studio.secret import Secret
from burnish.studio.tables import Conversation, Person, Project, Turn, Vote

Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = ("left", "right")

_MOST_TURNS = 50


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """A vote as the browser sends it.

    Attributes:
        client_id: made once for this vote.
        turn_id: after which turn.
        better: "left", "right" or None for a tie.
        both_bad: for a tie, that neither is good.
        guideline_version: that was shown.
        seconds: since the answers stood there.
    """

    client_id: str
    turn_id: int
    better: Side | None
    both_bad: bool = False
    guideline_version: int = 0
    seconds: float = 0.0

    def hash(self) -> str:
        """What has to be the same for a repetition."""
        said = [self.turn_id, self.better, self.both_bad, self.guideline_version]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def start(
    session: Session, secret: Secret, project: Project, person: Person, *, language: str, now: int
) -> Conversation:
    """Begin a conversation with two models that are drawn for it.

    Raises:
        Invalid: the project is no open arena, has fewer than two models, or the language is not one of its.
    """
    models = options_from(project.options).models
    if project.kind != "arena" or not project.is_open or len(models) < 2:
        raise Invalid("arena", f"'{project.slug}' is not an open arena with two or more models")
    if language not in project.languages or language not in person.languages:
        raise Invalid("language", f"found the language '{language}'; it is not one that you and this arena share")
    count = session.scalar(select(func.count()).select_from(Conversation).where(Conversation.person_id == person.id))
    left, right, *_ = secret.order(len(models), "arena", project.id, person.id, count)
    made = Conversation(
        project_id=project.id,
        person_id=person.id,
        language=language,
        left=models[left],
        right=models[right],
        created_at=now,
    )
    session.add(made)
    session.flush()
    return made


def conversation_of(session: Session, conversation_id: int, person: Person, *, to_change: bool = False) -> Conversation:
    """A person's own conversation; its row is locked if it is to be changed.

    Raises:
        Unknown: there is none of that number, or it is another person's.
    """
    found = session.get(Conversation, conversation_id, with_for_update=True if to_change else None)
    if found is None or found.person_id != person.id:
        raise Unknown("conversation", f"you have no conversation {conversation_id}")
    return found


def say(session: Session, conversation: Conversation, text: str, now: int) -> Turn:
    """The person's next turn, without answers yet.

    Raises:
        Invalid: the text is empty or too long.
        Conflict: the turn before is not answered yet, or the conversation is long enough.
    """
    project = session.get_one(Project, conversation.project_id)
    longest = options_from(project.options).longest
    if not text.strip() or len(text) > longest:
        raise Invalid("text", f"found {len(text)} characters; expected 1 to {longest}")
    before = turns(session, conversation)
    if before and None in (before[-1].left_text, before[-1].right_text):
        raise Conflict("unanswered", "the turn before is still being answered")
    if len(before) >= _MOST_TURNS:
        raise Conflict("too-many-turns", f"a conversation has at most {_MOST_TURNS} turns; begin another")
    made = Turn(conversation_id=conversation.id, number=len(before), text=legible(text), created_at=now)
    session.add(made)
    session.flush()
    return made


def heard(session: Session, conversation: Conversation, turn: Turn, side: Side) -> list[dict[str, str]]:
    """The messages that the model on one side is asked with at a turn."""
    messages: list[dict[str, str]] = []
    for one in turns(session, conversation):
        if one.number > turn.number:
            break
        messages.append({"role": "user", "content": one.text})
        if one.number < turn.number:
            messages.append({"role": "assistant", "content": said_by(one, side) or ""})
    return messages


def answer(session: Session, turn_id: int, side: Side, text: str) -> Turn:
    """Write down what a model answered; the first answer holds.

    Raises:
        Unknown: there is no such turn.
    """
    turn = session.get(Turn, turn_id, with_for_update=True)
    if turn is None:
        raise Unknown("turn", f"there is no turn {turn_id}")
    kept = legible(text.replace("\0", "�"))
    if side == "left" and turn.left_text is None:
        turn.left_text = kept
    if side == "right" and turn.right_text is None:
        turn.right_text = kept
    return turn


def vote(session: Session, person: Person, ballot: Ballot, now: int) -> tuple[Vote, bool]:
    """Take in a vote; returns it, and whether it was there already.

    Raises:
        Unknown: there is no such turn of this person.
        Invalid: the turn is not answered, or the vote says two things.
        Conflict: the client id was used for something else, or the turn has a vote.
    """
    checked_client_id(ballot.client_id)
    turn = session.get(Turn, ballot.turn_id, with_for_update=True)
    if turn is None:
        raise Unknown("turn", f"there is no turn {ballot.turn_id}")
    conversation = conversation_of(session, turn.conversation_id, person)
    before = session.scalar(select(Vote).where(Vote.client_id == ballot.client_id))
    if before is not None:
        if before.person_id != person.id or before.content_hash != ballot.hash():
            raise Conflict("other-content", "this client id was used for another vote")
        return before, True
    _check(session, conversation, turn, ballot)
    made = Vote(
        client_id=ballot.client_id,
        turn_id=turn.id,
        person_id=person.id,
        better=ballot.better,
        both_bad=ballot.both_bad,
        content_hash=ballot.hash(),
        guideline_version=ballot.guideline_version,
        seconds=ballot.seconds,
        created_at=now,
    )
    session.add(made)
    session.flush()
    return made, False


def reveal(session: Session, conversation: Conversation) -> dict[Side, str] | None:
    """The models' names; None before the first vote."""
    voted = select(Vote.id).join(Turn, Turn.id == Vote.turn_id).where(Turn.conversation_id == conversation.id)
    if session.scalar(voted.limit(1)) is None:
        return None
    return {"left": conversation.left, "right": conversation.right}


def turns(session: Session, conversation: Conversation) -> Sequence[Turn]:
    """The turns of a conversation, in order."""
    query = select(Turn).where(Turn.conversation_id == conversation.id)
    return session.scalars(query.order_by(Turn.number)).all()


def said_by(turn: Turn, side: Side) -> str | None:
    """What a side answered at a turn."""
    return turn.left_text if side == "left" else turn.right_text


def conversation_dict(session: Session, conversation: Conversation) -> dict[str, Any]:
    """A conversation as the browser gets it; the models' names only once they are revealed."""
    voted = dict(
        session.execute(
            select(Vote.turn_id, Vote.better)
            .join(Turn, Turn.id == Vote.turn_id)
            .where(Turn.conversation_id == conversation.id)
        ).all()
    )
    said = [
        {
            "turn": turn.id,
            "text": turn.text,
            "left": turn.left_text,
            "right": turn.right_text,
            "voted": turn.id in voted,
            "better": voted.get(turn.id),
        }
        for turn in turns(session, conversation)
    ]
    shown = {"conversation": conversation.id, "language": conversation.language, "turns": said}
    return {**shown, "models": reveal(session, conversation)}


def _check(session: Session, conversation: Conversation, turn: Turn, ballot: Ballot) -> None:
    project = session.get_one(Project, conversation.project_id)
    if None in (turn.left_text, turn.right_text):
        raise Invalid("unanswered", "both models have to answer before a vote")
    if ballot.better not in (None, *SIDES) or (ballot.both_bad and ballot.better is not None):
        raise Invalid("vote", "a vote is left, right, a tie, or a tie of two bad answers")
    checked_seconds(ballot.seconds)
    if not 0 <= ballot.guideline_version <= guideline_version(session, project):
        raise Invalid("guideline", f"there is no version {ballot.guideline_version} of the guidelines")
    if session.scalar(select(Vote.id).where(Vote.turn_id == turn.id)) is not None:
        raise Conflict("voted-already", "this turn has a vote")
