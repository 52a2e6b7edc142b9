"""People, invitations, sessions, failed log-ins."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from burnish.studio.tables.base import Base, Key, Moment, Plain, Word

Role = Literal["annotator", "reviewer", "admin"]


class Person(Base):
    """Somebody with an account. Deleting clears the name, the password and the languages; the row stays.

    Attributes:
        name: what they log in with and colleagues see; None once the account is deleted.
        name_key: `name` in the form in which two names may not be equal.
        pseudonym: what every export says instead; never changes.
        role: "annotator", "reviewer" or "admin".
        languages: list of the languages they work in.
        password_hash: argon2id; None once the account is deleted.
        created_at, deleted_at: milliseconds.
    """

    __tablename__ = "people"

    id: Mapped[Key]
    name: Mapped[Word | None]
    name_key: Mapped[Word | None] = mapped_column(unique=True)
    pseudonym: Mapped[Word] = mapped_column(unique=True)
    role: Mapped[Word]
    languages: Mapped[Plain]
    password_hash: Mapped[Word | None]
    created_at: Mapped[Moment]
    deleted_at: Mapped[Moment | None]


class Invitation(Base):
    """A link with which one person may make an account, once. Updated when it is used.

    Attributes:
        token_hash: of the secret part of the link.
        role, languages: what the account gets; the languages may be changed on joining.
        invited_by: None for the link that the first start prints, and for those of the command line.
        person_id: who used it.
    """

    __tablename__ = "invitations"

    id: Mapped[Key]
    token_hash: Mapped[Word] = mapped_column(unique=True)
    role: Mapped[Word]
    languages: Mapped[Plain]
    invited_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment]
    used_at: Mapped[Moment | None]
    person_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"))


class Login(Base):
    """A session: who holds the token with this hash is that person. Deleted on logging out."""

    __tablename__ = "sessions"

    id: Mapped[Key]
    token_hash: Mapped[Word] = mapped_column(unique=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment]


class LoginFailure(Base):
    """A wrong password or link. Deleted when it is too old to count."""

    __tablename__ = "login_failures"

    id: Mapped[Key]
    name_key: Mapped[Word] = mapped_column(index=True)
    address: Mapped[Word] = mapped_column(index=True)
    at: Mapped[Moment]
