"""Projects, their guidelines and quotas: made and changed by admins, looked up by everybody."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from burnish.studio.contents import legible
from burnish.studio.kinds import kind_named
from burnish.studio.options import options_dict, options_from
from burnish.studio.people import checked_languages
from burnish.studio.refusals import Conflict, Invalid, Unknown
from burnish.studio.tables import Guideline, Item, Project, Quota

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")
_LONGEST_GUIDELINE = 200_000
SETTINGS = ("title", "languages", "overlap", "gold_rate", "lease_seconds", "options", "feeds", "is_open", "quotas")
"""What may be changed later. The overlap only while nothing was judged."""


def new_project(
    session: Session, *, slug: str, title: str, kind: str, languages: Sequence[str], now: int, **settings: Any
) -> Project:
    """Make a project.

    Args:
        session: a transaction.
        slug: its name in addresses: lower-case letters, digits and `-`.
        title: its name for people.
        kind: a kind of work.
        languages: one or more tags.
        now: the time.
        settings: any of `SETTINGS`; overlap 1, gold rate 0, leases of 30 minutes if not given.

    Raises:
        Invalid: a value is wrong.
        Conflict: the slug is taken.
    """
    if not _SLUG.fullmatch(slug):
        raise Invalid("slug", f"found the slug '{slug}'; expected lower-case letters, digits and '-', at most 60")
    if session.scalar(select(Project.id).where(Project.slug == slug)) is not None:
        raise Conflict("slug-taken", f"there is a project '{slug}' already")
    project = Project(
        slug=slug,
        title=title,
        kind=kind_named(kind).name,
        languages=[],
        overlap=1,
        gold_rate=0.0,
        lease_seconds=1800,
        options=options_dict(options_from({})),
        is_open=True,
        created_at=now,
    )
    session.add(project)
    session.flush()
    change_project(session, project, {"title": title, "languages": languages, **settings})
    return project


def change_project(session: Session, project: Project, changes: Mapping[str, Any]) -> None:
    """Change some of a project's `SETTINGS`.

    Raises:
        Invalid: a value is wrong.
        Conflict: the overlap of a project in which something was judged.
    """
    unknown = sorted(set(changes) - set(SETTINGS))
    if unknown:
        raise Invalid("settings", f"found {', '.join(unknown)}; expected some of {', '.join(SETTINGS)}")
    for name, value in changes.items():
        _CHANGES[name](session, project, value)
    session.flush()


def project_named(session: Session, slug: str) -> Project:
    """The project of that slug.

    Raises:
        Unknown: there is none.
    """
    found = session.scalar(select(Project).where(Project.slug == slug))
    if found is None:
        raise Unknown("project", f"there is no project '{slug}'")
    return found


def all_projects(session: Session) -> Sequence[Project]:
    """Every project, by title."""
    return session.scalars(select(Project).order_by(Project.title, Project.id)).all()


def publish(session: Session, project: Project, text: str, *, author_id: int | None, now: int) -> Guideline:
    """Publish the next version of a project's guidelines; work that is under way keeps the version it was shown.

    Raises:
        Invalid: the text is empty or too long.
    """
    if not text.strip() or len(text) > _LONGEST_GUIDELINE:
        raise Invalid("guideline", f"guidelines have 1 to {_LONGEST_GUIDELINE} characters; found {len(text)}")
    version = guideline_version(session, project) + 1
    guideline = Guideline(
        project_id=project.id, version=version, text=legible(text), author_id=author_id, created_at=now
    )
    session.add(guideline)
    session.flush()
    return guideline


def guideline_version(session: Session, project: Project) -> int:
    """The newest version; 0 if there is none."""
    newest = select(func.max(Guideline.version)).where(Guideline.project_id == project.id)
    return session.scalar(newest) or 0


def guideline(session: Session, project: Project, version: int | None = None) -> dict[str, Any]:
    """A version of the guidelines, the newest if None, as `{version, text}`; version 0 says nothing.

    Raises:
        Unknown: there is no such version.
    """
    wanted = guideline_version(session, project) if version is None else version
    if wanted == 0:
        return {"version": 0, "text": ""}
    same = (Guideline.project_id == project.id, Guideline.version == wanted)
    found = session.scalar(select(Guideline).where(*same))
    if found is None:
        raise Unknown("guideline", f"the guidelines of '{project.slug}' have no version {wanted}")
    return {"version": found.version, "text": found.text}


def quotas(session: Session, project: Project) -> dict[str, int]:
    """How many items of each language may be begun; a language that is not named has no bound."""
    rows = session.scalars(select(Quota).where(Quota.project_id == project.id).order_by(Quota.language))
    return {row.language: row.items for row in rows}


def shown(session: Session, project: Project) -> dict[str, Any]:
    """A project as the browser gets it."""
    fields = ("id", "slug", "title", "kind", "languages", "overlap", "gold_rate", "lease_seconds", "options", "is_open")
    feeds = session.get(Project, project.feeds_id) if project.feeds_id is not None else None
    plain = {field: getattr(project, field) for field in fields}
    return {**plain, "feeds": feeds.slug if feeds else None, "quotas": quotas(session, project)}


def _set_title(session: Session, project: Project, title: Any) -> None:
    if not isinstance(title, str) or not 1 <= len(title.strip()) <= 200:
        raise Invalid("title", "a title has 1 to 200 characters")
    project.title = title.strip()


def _set_languages(session: Session, project: Project, languages: Any) -> None:
    if not isinstance(languages, (list, tuple)) or not languages or not all(isinstance(x, str) for x in languages):
        raise Invalid("languages", "a project has a list of one or more languages")
    project.languages = checked_languages(languages)


def _set_overlap(session: Session, project: Project, overlap: Any) -> None:
    if not _is_whole(overlap) or not 1 <= overlap <= 100:
        raise Invalid("overlap", f"found an overlap of {overlap}; expected 1 to 100")
    begun = select(Item.id).where(Item.project_id == project.id, Item.judged > 0).limit(1)
    if overlap != project.overlap and session.scalar(begun) is not None:
        raise Conflict("overlap", "people have judged here already; another overlap needs a new project")
    if kind_named(project.kind).made_on_demand and overlap != 1:
        raise Invalid("overlap", f"work of the kind '{project.kind}' is done by one person; expected an overlap of 1")
    project.overlap = overlap


def _set_gold_rate(session: Session, project: Project, rate: Any) -> None:
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        raise Invalid("gold_rate", f"found a gold rate of {rate}; expected 0 to 1")
    project.gold_rate = float(rate)


def _set_lease_seconds(session: Session, project: Project, seconds: Any) -> None:
    if not _is_whole(seconds) or not 1 <= seconds <= 7 * 86_400:
        raise Invalid("lease_seconds", f"found leases of {seconds} seconds; expected 1 second to 7 days")
    project.lease_seconds = seconds


def _set_options(session: Session, project: Project, options: Any) -> None:
    if not isinstance(options, Mapping):
        raise Invalid("options", "expected an object of options")
    project.options = options_dict(options_from({**project.options, **options}))


def _set_feeds(session: Session, project: Project, slug: Any) -> None:
    if slug is None:
        project.feeds_id = None
        return
    target = project_named(session, str(slug))
    allowed = {"reformulate": ("evaluate",), "create": ("evaluate",), "evaluate": ("demonstrate",)}
    if target.kind not in allowed.get(project.kind, ()):
        raise Invalid("feeds", f"work of the kind '{project.kind}' cannot feed one of the kind '{target.kind}'")
    project.feeds_id = target.id


def _set_open(session: Session, project: Project, is_open: Any) -> None:
    if not isinstance(is_open, bool):
        raise Invalid("is_open", f"found {is_open}; expected true or false")
    project.is_open = is_open


def _set_quotas(session: Session, project: Project, bounds: Any) -> None:
    if not isinstance(bounds, Mapping) or not all(_is_whole(n) and 0 <= n < 2**31 for n in bounds.values()):
        raise Invalid("quotas", "expected whole numbers by language, such as {is: 1000}")
    strange = sorted(set(bounds) - set(project.languages))
    if strange:
        raise Invalid(
            "quotas", f"found {', '.join(strange)}; the project's languages are {', '.join(project.languages)}"
        )
    session.execute(delete(Quota).where(Quota.project_id == project.id))
    session.add_all([Quota(project_id=project.id, language=tag, items=number) for tag, number in bounds.items()])


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_CHANGES = {
    "title": _set_title,
    "languages": _set_languages,
    "overlap": _set_overlap,
    "gold_rate": _set_gold_rate,
    "lease_seconds": _set_lease_seconds,
    "options": _set_options,
    "feeds": _set_feeds,
    "is_open": _set_open,
    "quotas": _set_quotas,
}
