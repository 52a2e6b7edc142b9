"""Leases, judgements, skips, flags and adjudications."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from burnish.studio.tables.base import Base, Key, Moment, Plain, Prose, Word

LeaseState = Literal["live", "judged", "skipped", "released"]


class Lease(Base):
    """That an item was handed to a person; one row for the two, updated when it is handed out again or ends.

    Attributes:
        expires_at: until when a live lease reserves a place.
        shown_order: at each place on this person's screen, which answer of the item stands there; drawn once.
        state: "live", "judged", "skipped" or "released". A live one that is past its time has expired.
    """

    __tablename__ = "leases"
    __table_args__ = (
        UniqueConstraint("item_id", "person_id"),
        Index("ix_leases_person_id_state", "person_id", "state"),
    )

    id: Mapped[Key]
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"))
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    taken_at: Mapped[Moment]
    expires_at: Mapped[Moment]
    shown_order: Mapped[Plain]
    state: Mapped[Word]


_FIRST = text("supersedes_id IS NULL")


class Judgement(Base):
    """What one person said of one item. Only ever inserted.

    The partial index is the last word on "never twice by one person": somebody has one first judgement of an item, and
    each judgement is superseded by one at most.

    Attributes:
        client_id: made by the browser; the same one is the same judgement.
        content: in stored order (`burnish.studio.contents`).
        content_hash: of what the browser sent, to tell a repetition from another content.
        shown_order: at each place on the screen, which answer of the item stood there.
        guideline_version: under which it was made; 0 if the project had none.
        seconds: from seeing the item to submitting it, as the browser says.
        counted: whether it fills one of the places of the item.
        supersedes_id: the judgement that it corrects.
    """

    __tablename__ = "judgements"
    __table_args__ = (
        Index("uq_judgements_first", "item_id", "person_id", unique=True, sqlite_where=_FIRST, postgresql_where=_FIRST),
        Index("ix_judgements_person_id_project_id", "person_id", "project_id"),
    )

    id: Mapped[Key]
    client_id: Mapped[Word] = mapped_column(unique=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), index=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"), index=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    content: Mapped[Plain]
    content_hash: Mapped[Word]
    shown_order: Mapped[Plain]
    guideline_version: Mapped[int]
    seconds: Mapped[float]
    counted: Mapped[bool]
    supersedes_id: Mapped[int | None] = mapped_column(ForeignKey("judgements.id"), unique=True)
    created_at: Mapped[Moment]


class Skip(Base):
    """That a person passed over an item, and why; they do not get it again."""

    __tablename__ = "skips"
    __table_args__ = (UniqueConstraint("item_id", "person_id"),)

    id: Mapped[Key]
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"))
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    reason: Mapped[Prose]
    created_at: Mapped[Moment]


class Flag(Base):
    """That a person says something is wrong with an item. Updated when a reviewer resolves it."""

    __tablename__ = "flags"

    id: Mapped[Key]
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"), index=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    reason: Mapped[Word]
    comment: Mapped[Prose]
    created_at: Mapped[Moment]
    resolution: Mapped[Word | None]
    resolved_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    resolved_at: Mapped[Moment | None]


class Adjudication(Base):
    """What a reviewer decided on an item; only ever inserted, the newest holds."""

    __tablename__ = "adjudications"

    id: Mapped[Key]
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"), index=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    content: Mapped[Plain]
    reason: Mapped[Prose]
    created_at: Mapped[Moment]
