"""Conversations of one person with two hidden models, their turns and the votes on them."""

from __future__ import annotations

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from burnish.studio.tables.base import Base, Key, Moment, Prose, Word


class Conversation(Base):
    """A chat with two models; which stands on which side is drawn when it begins and never told before a vote.

    Attributes:
        left, right: names of the models.
        language: that of the person's choice, one of the project's.
    """

    __tablename__ = "arena_conversations"

    id: Mapped[Key]
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    language: Mapped[Word]
    left: Mapped[Word]
    right: Mapped[Word]
    created_at: Mapped[Moment]


class Turn(Base):
    """What the person said, and what both models answered. An answer is updated once, from None to its text.

    Attributes:
        number: 0, 1, ... in the conversation.
        left_text, right_text: None until the model has answered.
    """

    __tablename__ = "arena_turns"
    __table_args__ = (UniqueConstraint("conversation_id", "number"),)

    id: Mapped[Key]
    conversation_id: Mapped[int] = mapped_column(ForeignKey("arena_conversations.id"))
    number: Mapped[int]
    text: Mapped[Prose]
    left_text: Mapped[Prose | None]
    right_text: Mapped[Prose | None]
    created_at: Mapped[Moment]


class Vote(Base):
    """Which side was better after a turn; only ever inserted.

    Attributes:
        better: "left", "right", or None for a tie.
        both_bad: for a tie, whether neither was good.
        content_hash: to tell a repetition from another vote with the same client id.
    """

    __tablename__ = "arena_votes"
    __table_args__ = (UniqueConstraint("turn_id", "person_id"),)

    id: Mapped[Key]
    client_id: Mapped[Word] = mapped_column(unique=True)
    turn_id: Mapped[int] = mapped_column(ForeignKey("arena_turns.id"))
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    better: Mapped[Word | None]
    both_bad: Mapped[bool]
    content_hash: Mapped[Word]
    guideline_version: Mapped[int]
    seconds: Mapped[float]
    created_at: Mapped[Moment]
