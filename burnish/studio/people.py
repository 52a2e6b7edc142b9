"""Accounts: who is there, under which name, pseudonym, role and languages.

A name is how colleagues know somebody; a pseudonym, drawn at random, is what every export says. Deleting an account
forgets the name, the password, the languages and the sessions; what the person judged stays, under the pseudonym.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Sequence
from typing import Any, get_args

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from burnish.studio.passwords import hashed, matches
from burnish.studio.refusals import Conflict, Denied, Invalid, Unknown
from burnish.studio.tables import Login, Person, Role

ROLES: tuple[Role, ...] = get_args(Role)
_LONGEST_NAME = 60
_LANGUAGE = re.compile(r"[a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8})*")
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


def name_key(name: str) -> str:
    """The form in which two names may not be equal: compatibility characters, case and spaces do not tell apart."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def new_person(session: Session, *, name: str, password: str, role: str, languages: Sequence[str], now: int) -> Person:
    """Make an account.

    Raises:
        Invalid: the name, the password, the role or a language cannot be one.
        Conflict: the name is taken.
    """
    name = " ".join(name.split())
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        raise Invalid("name", f"a name has 1 to {_LONGEST_NAME} printable characters")
    key = name_key(name)
    if session.scalar(select(Person.id).where(Person.name_key == key)) is not None:
        raise Conflict("name-taken", f"the name '{name}' is taken; choose another")
    person = Person(
        name=name,
        name_key=key,
        pseudonym=_new_pseudonym(session),
        role=checked_role(role),
        languages=checked_languages(languages),
        password_hash=hashed(password),
        created_at=now,
    )
    session.add(person)
    session.flush()
    return person


def person_with(session: Session, person_id: int) -> Person:
    """The person with this id, who may have been deleted.

    Raises:
        Unknown: there is nobody.
    """
    person = session.get(Person, person_id)
    if person is None:
        raise Unknown("person", f"there is no person {person_id}")
    return person


def everybody(session: Session) -> Sequence[Person]:
    """All people, by id, those deleted included."""
    return session.scalars(select(Person).order_by(Person.id)).all()


def set_role(session: Session, person_id: int, role: str) -> Person:
    """Give somebody another role.

    Raises:
        Unknown: there is nobody.
        Invalid: there is no such role.
        Conflict: it would leave no admin.
    """
    person = _present(session, person_id)
    if role != "admin":
        _leaves_an_admin(session, person)
    person.role = checked_role(role)
    return person


def set_languages(session: Session, person_id: int, languages: Sequence[str]) -> Person:
    """Say in which languages somebody works.

    Raises:
        Unknown: there is nobody.
        Invalid: one of them cannot be a language.
    """
    person = _present(session, person_id)
    person.languages = checked_languages(languages)
    return person


def set_password(session: Session, person_id: int, old: str, new: str) -> None:
    """Change a password.

    Raises:
        Denied: the old one is wrong.
        Invalid: the new one is too short.
    """
    person = _present(session, person_id)
    if not matches(old, person.password_hash):
        raise Denied("wrong-password", "the old password is wrong")
    person.password_hash = hashed(new)


def delete_person(session: Session, person_id: int, now: int) -> None:
    """Delete an account; judgements stay under the pseudonym.

    Raises:
        Unknown: there is nobody.
        Conflict: it is the last admin.
    """
    person = _present(session, person_id)
    _leaves_an_admin(session, person)
    person.name = person.name_key = person.password_hash = None
    person.languages = []
    person.deleted_at = now
    session.execute(delete(Login).where(Login.person_id == person_id))


def shown(person: Person) -> dict[str, Any]:
    """What the person themself and the admins may know."""
    fields = ("id", "name", "pseudonym", "role", "languages", "created_at", "deleted_at")
    return {field: getattr(person, field) for field in fields}


def checked_role(role: str) -> Role:
    """The role of that name.

    Raises:
        Invalid: there is none.
    """
    for known in ROLES:
        if role == known:
            return known
    raise Invalid("role", f"found the role '{role}'; expected one of {', '.join(ROLES)}")


def checked_languages(languages: Sequence[str]) -> list[str]:
    """Tags of languages such as `is`, `pt-BR`, each once, in the order given.

    Raises:
        Invalid: one is not shaped like a tag.
    """
    for language in languages:
        if not _LANGUAGE.fullmatch(language):
            raise Invalid("language", f"found the language '{language}'; expected a tag such as en, is or pt-BR")
    return list(dict.fromkeys(languages))


def _present(session: Session, person_id: int) -> Person:
    person = person_with(session, person_id)
    if person.deleted_at is not None:
        raise Unknown("person", f"person {person_id} was deleted")
    return person


def _leaves_an_admin(session: Session, person: Person) -> None:
    others = select(func.count()).where(Person.role == "admin", Person.deleted_at.is_(None), Person.id != person.id)
    if person.role == "admin" and not session.scalar(others):
        raise Conflict("last-admin", "this is the only admin; make another one first")


def _new_pseudonym(session: Session) -> str:
    while True:
        pseudonym = "p-" + "".join(secrets.choice(_ALPHABET) for _ in range(8))
        if session.scalar(select(Person.id).where(Person.pseudonym == pseudonym)) is None:
            return pseudonym
