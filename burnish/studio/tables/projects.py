"""Projects, their quotas and guidelines, and the items that people work on."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from burnish.studio.tables.base import Base, Key, Moment, Plain, Prose, Word

Kind = Literal[
    "reformulate", "create", "evaluate", "demonstrate", "compare", "rank", "rate", "thumbs", "spans", "arena"
]
State = Literal["open", "done", "withdrawn"]


class Project(Base):
    """Items of one kind of work. Settings may be updated; the kind may not.

    Attributes:
        slug: its name in addresses.
        kind: see `burnish.studio.kinds`.
        languages: list of them; an item has one of these.
        overlap: how many different people judge an item.
        gold_rate: probability that somebody's next item is a gold one.
        lease_seconds: how long an item is reserved.
        options: what the kind asks for (`burnish.studio.kinds.Options`).
        feeds_id: the project in which prompts that are written or accepted here become items.
        is_open: whether work is handed out.
    """

    __tablename__ = "projects"

    id: Mapped[Key]
    slug: Mapped[Word] = mapped_column(unique=True)
    title: Mapped[Word]
    kind: Mapped[Word]
    languages: Mapped[Plain]
    overlap: Mapped[int]
    gold_rate: Mapped[float]
    lease_seconds: Mapped[int]
    options: Mapped[Plain]
    feeds_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    is_open: Mapped[bool]
    created_at: Mapped[Moment]


class Quota(Base):
    """How many items of a language may be begun in a project; no row means no bound."""

    __tablename__ = "quotas"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    language: Mapped[Word] = mapped_column(primary_key=True)
    items: Mapped[int]


class Guideline(Base):
    """One version of what people are told; never updated."""

    __tablename__ = "guidelines"
    __table_args__ = (UniqueConstraint("project_id", "version"),)

    id: Mapped[Key]
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    version: Mapped[int]
    text: Mapped[Prose]
    author_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[Moment]


class Item(Base):
    """One prompt, with the answers to judge. `state`, `judged` and `priority` are updated, nothing else.

    Attributes:
        key: the id that it had in the data; unique in the project.
        language: one of the project's.
        prompt: list of messages, `{"role", "content"}`; empty for a prompt that is still to be created.
        answers: list of `{"messages": [...], "model": name or None}`.
        gold: the right content in stored order, None for an ordinary item.
        priority: high is first.
        state: "open", "done" (judged as often as asked), or "withdrawn".
        judged: how many judgements count.
        parent_id: the item that it was made from.
        origin: where it came from: file and line, columns of the row, or the judgement that wrote it.
        author_id: who wrote its prompt in the studio; they do not get it to judge.
    """

    __tablename__ = "items"
    __table_args__ = (
        UniqueConstraint("project_id", "key"),
        Index("ix_items_queue", "project_id", "state", "language", text("priority DESC"), text("judged DESC"), "id"),
    )

    id: Mapped[Key]
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    key: Mapped[Word]
    language: Mapped[Word]
    prompt: Mapped[Plain]
    answers: Mapped[Plain]
    gold: Mapped[Plain | None]
    priority: Mapped[float]
    state: Mapped[Word]
    judged: Mapped[int]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("items.id"), index=True)
    origin: Mapped[Plain]
    author_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[Moment]
