"""People, projects and items for the studio's tests, made without passwords."""

from __future__ import annotations

from sqlalchemy.orm import Session

from burnish.studio.projects import new_project
from burnish.studio.secret import Secret
from burnish.studio.tables import Item, Person, Project

SECRET = Secret("a secret of the tests, long enough for one")
LANGUAGES = ("en", "is")


def people(session: Session, count: int, *, role: str = "annotator") -> list[Person]:
    made = [
        Person(
            name=f"{role} {number}",
            name_key=f"{role} {number}",
            pseudonym=f"p-{role[:2]}{number}",
            role=role,
            languages=list(LANGUAGES),
            created_at=0,
        )
        for number in range(count)
    ]
    session.add_all(made)
    session.flush()
    return made


def compare(session: Session, *, slug: str = "gems", kind: str = "compare", **settings: object) -> Project:
    settings = {"languages": LANGUAGES, "overlap": 2, "lease_seconds": 60, **settings}
    return new_project(session, slug=slug, title=slug.title(), kind=kind, now=0, **settings)


def items(session: Session, project: Project, count: int, *, num_answers: int = 2, **fields: object) -> list[Item]:
    before = session.query(Item).filter_by(project_id=project.id).count()
    rest = {"language": "en", "priority": 0.0, "state": "open", "judged": 0, "origin": {}, "created_at": 0}
    said = [[{"role": "assistant", "content": f"answer {number}"}] for number in range(num_answers)]
    answers = [{"messages": messages, "model": f"m{number}"} for number, messages in enumerate(said)]
    made = [
        Item(
            project_id=project.id,
            key=f"k{number}",
            prompt=[{"role": "user", "content": f"Name gem {number}."}],
            answers=answers,
            **{**rest, **fields},
        )
        for number in range(before, before + count)
    ]
    session.add_all(made)
    session.flush()
    return made
