"""Where a prompt goes next: what is written or accepted in a project becomes an item of the project that it feeds.

    reformulate, create --> evaluate     each prompt, as soon as it is submitted
    evaluate --> demonstrate             each prompt that is accepted, with the text that was accepted

The new item names the one it was made from (`parent_id`) and the judgement or decision that made it (`origin`), so
that every prompt leads back to where it began. A corrected prompt takes the place of the old one, which is withdrawn
unless it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish.studio.agreed import outcome
from burnish.studio.tables import Item, Judgement, Project


def pass_on(session: Session, judgement: Judgement, now: int) -> Item | None:
    """Make the item that a judgement leads to, if its project feeds another one and it is time."""
    project = session.get_one(Project, judgement.project_id)
    item = session.get_one(Item, judgement.item_id)
    if project.kind == "evaluate":
        return pass_on_accepted(session, project, item, now)
    if project.feeds_id is None or not judgement.counted or item.gold is not None:
        return None
    if judgement.supersedes_id is not None:
        _withdraw(session, project.feeds_id, f"{project.slug}-{judgement.supersedes_id}")
    origin = {"project": project.slug, "judgement": judgement.id}
    made = _item(project, item, f"{project.slug}-{judgement.id}", judgement.content["text"], origin, now)
    made.author_id = judgement.person_id
    session.add(made)
    session.flush()
    return made


def pass_on_accepted(session: Session, project: Project, item: Item, now: int) -> Item | None:
    """Make the item that an evaluated prompt leads to, once, if it was accepted."""
    if project.feeds_id is None or item.gold is not None:
        return None
    came_to = outcome(session, project, item)
    if came_to is None or came_to.content is None or came_to.content["verdict"] == "reject":
        return None
    key = f"{project.slug}-{item.id}"
    if _of_key(session, project.feeds_id, key) is not None:
        return None
    text = came_to.content.get("text") or item.prompt[-1]["content"]
    made = _item(project, item, key, text, {"project": project.slug, "item": item.id}, now)
    session.add(made)
    session.flush()
    return made


def ancestry(session: Session, item: Item) -> list[dict[str, Any]]:
    """The items that a prompt was made from, the nearest first, each as `{item, project, prompt, origin}`; an item is
    named by its key.
    """
    line: list[dict[str, Any]] = []
    while item.parent_id is not None:
        item = session.get_one(Item, item.parent_id)
        project = session.get_one(Project, item.project_id)
        line.append({"item": item.key, "project": project.slug, "prompt": item.prompt, "origin": item.origin})
    return line


def _item(project: Project, parent: Item, key: str, text: str, origin: Mapping[str, Any], now: int) -> Item:
    before = [message for message in parent.prompt if message["role"] in ("system", "developer")]
    return Item(
        project_id=project.feeds_id,
        key=key,
        language=parent.language,
        prompt=[*before, {"role": "user", "content": text}],
        answers=[],
        gold=None,
        priority=parent.priority,
        state="open",
        judged=0,
        parent_id=parent.id,
        origin=dict(origin),
        created_at=now,
    )


def _withdraw(session: Session, project_id: int, key: str) -> None:
    old = _of_key(session, project_id, key)
    if old is not None and old.state == "open":
        old.state = "withdrawn"


def _of_key(session: Session, project_id: int, key: str) -> Item | None:
    return session.scalar(select(Item).where(Item.project_id == project_id, Item.key == key).with_for_update())
